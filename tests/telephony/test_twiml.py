"""The TwiML documents: what Twilio is answered with."""

import inspect
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml import voice_response

from app.errors import BridgeError
from app.telephony.twiml import render, say_language

FOLDER = Path(__file__).parents[2] / "twiml"
NAMES = sorted(path.stem for path in FOLDER.glob("*.xml"))
LONG_URL = "https://a-rather-long-name.of-a-tunnel.example.com/some/prefix/stream-ended?a=1&b=2"
STREAM = {
    "action_url": LONG_URL,
    "stream_url": LONG_URL.replace("https", "wss").partition("?")[0] + "/" + "t" * 64,
}
VALUES = {
    "announced-call": {"announcement": "This is <recorded>.", "language": "en-US", **STREAM},
    "incoming-call": STREAM,
    "unavailable-dial": {"number": "+15550101"},
}
INLINE_LIMIT_CHARS = 4000  # Twilio: error 32018

# What XML 1.0 can hold.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r&<>\"'$")
)


def rendered(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(render(name, **VALUES.get(name, {})).encode())


def snake(name: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


def check_known(parent: ElementTree.Element) -> None:
    """The twilio package has a method per child of a verb, and a parameter per attribute."""
    known = getattr(voice_response, {"Response": "VoiceResponse"}.get(parent.tag, parent.tag))
    for child in parent:
        attributes = inspect.signature(getattr(known, snake(child.tag))).parameters
        assert set(map(snake, child.attrib)) <= set(attributes), child.tag
        check_known(child)


def test_all_documents_are_here() -> None:
    assert NAMES == sorted(["busy", "goodbye", "unavailable", *VALUES])


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_twiml(name: str) -> None:
    text = render(name, **VALUES.get(name, {}))
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    assert len(text) <= INLINE_LIMIT_CHARS
    assert rendered(name).tag == "Response"
    check_known(rendered(name))


def test_a_verb_that_twilio_does_not_know_would_be_noticed() -> None:
    with pytest.raises(AttributeError):
        check_known(ElementTree.fromstring("<Response><Shout/></Response>"))
    with pytest.raises(AssertionError):
        check_known(ElementTree.fromstring('<Response><Dial timeOut="5"/></Response>'))


def test_a_caller_is_joined_to_the_stream() -> None:
    response = rendered("incoming-call")
    connect = response.find("Connect")
    stream = response.find("Connect/Stream")
    assert connect is not None and stream is not None
    values = VALUES["incoming-call"]
    assert connect.attrib == {"action": values["action_url"], "method": "POST"}
    assert stream.attrib == {"url": values["stream_url"]}


@pytest.mark.parametrize("name", NAMES)
def test_every_document_ends_the_call_when_nothing_else_is_left(name: str) -> None:
    assert rendered(name)[-1].tag == "Hangup"


@pytest.mark.parametrize("name", ["busy", "unavailable", "unavailable-dial"])
def test_nobody_is_turned_away_in_silence(name: str) -> None:
    first = rendered(name)[0]
    assert first.tag == "Say"
    assert first.text


def test_a_human_is_dialled_with_a_timeout() -> None:
    dial = rendered("unavailable-dial").find("Dial")
    assert dial is not None
    assert int(dial.attrib["timeout"]) <= 30
    assert "callerId" not in dial.attrib
    assert dial.findtext("Number") == "+15550101"


@given(TEXT)
def test_values_survive_in_attributes(value: str) -> None:
    text = render("incoming-call", action_url=value, stream_url=value)
    response = ElementTree.fromstring(text.encode())
    assert response[0].attrib["action"] == value
    assert response[0][0].attrib["url"] == value


@given(TEXT)
def test_values_survive_in_text(value: str) -> None:
    response = ElementTree.fromstring(render("unavailable-dial", number=value).encode())
    assert (response.findtext("Dial/Number") or "") == value


@given(st.text())
def test_no_value_breaks_a_document(value: str) -> None:
    ElementTree.fromstring(render("unavailable-dial", number=value).encode())


def test_a_missing_value_is_named() -> None:
    with pytest.raises(BridgeError, match=r"incoming-call\.xml: no value for \$stream_url$"):
        render("incoming-call", action_url="https://h/")


def test_a_value_without_a_placeholder_is_named() -> None:
    with pytest.raises(BridgeError, match=r"goodbye\.xml has no placeholder \$number$"):
        render("goodbye", number="+15550101")


def test_a_missing_document_is_named() -> None:
    with pytest.raises(BridgeError, match=r"twiml/farewell\.xml cannot be read"):
        render("farewell")


@pytest.mark.parametrize(
    ("language", "said_in"), [("en", "en-US"), ("de", "de-DE"), ("pt", "pt-BR"), ("eo", "en-US")]
)
def test_a_language_is_named_as_twilio_names_it(language: str, said_in: str) -> None:
    assert say_language(language) == said_in
