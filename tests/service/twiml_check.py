"""TwiML against the twilio package: every verb and attribute has to be one that it knows."""

# The twilio package ships no types:
# mypy: disable-error-code="import-untyped"

import inspect
import re
from typing import Any
from xml.etree import ElementTree

from twilio.twiml.voice_response import VoiceResponse


def check_twiml(document: str) -> list[str]:
    """Build the document again, verb by verb, with the twilio package; returns its verbs."""
    root = ElementTree.fromstring(document)
    assert root.tag == "Response" and not root.attrib
    response = VoiceResponse()
    for verb in root:
        _rebuild(response, verb)
    again = ElementTree.canonicalize(str(response), strip_text=True)
    assert again == ElementTree.canonicalize(document, strip_text=True)
    return [verb.tag for verb in root]


def _rebuild(parent: Any, element: ElementTree.Element) -> None:
    append = getattr(parent, _snake(element.tag))
    attributes = {_snake(name): value for name, value in element.attrib.items()}
    known = inspect.signature(append).parameters
    assert attributes.keys() <= known.keys(), f"{element.tag}: {attributes.keys() - known.keys()}"
    text = (element.text or "").strip()
    made = append(*([text] if text else []), **attributes)
    for child in element:
        _rebuild(made, child)


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name[0].lower() + name[1:])
