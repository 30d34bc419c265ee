"""Renders TwiML documents from the templates in `templates/`.

Twilio: TwiML. A template is XML with `$name` placeholders. An operator can edit what callers hear
without changing code.
"""

import re
from functools import cache
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape

from app.errors import BridgeError

DIGITS_PLAYED = "/keys"
"""Path suffix of the <Connect action> in a document that also plays DTMF digits (`send_digits`), so
that its handler does not play them again."""

_FOLDER = Path(__file__).with_name("templates")
# XML parsers turn unescaped white space in an attribute into spaces.
_ESCAPES = {'"': "&quot;", "'": "&apos;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# Twilio: <Say>, languages of the default voice
_SAY_REGIONS = {
    "ca": "ES", "da": "DK", "de": "DE", "en": "US", "es": "ES", "fi": "FI", "fr": "FR", "it": "IT",
    "ja": "JP", "ko": "KR", "nb": "NO", "nl": "NL", "pl": "PL", "pt": "BR", "ru": "RU", "sv": "SE",
    "zh": "CN",
}  # fmt: skip
# Said before a retry, in each of these languages.
_ONE_MOMENT = {
    "ca": "Un moment, si us plau.", "da": "Et øjeblik.", "de": "Einen Moment, bitte.",
    "en": "One moment, please.", "es": "Un momento, por favor.", "fi": "Hetkinen, olkaa hyvä.",
    "fr": "Un instant, s'il vous plaît.", "it": "Un momento, per favore.",
    "ja": "少々お待ちください。", "ko": "잠시만 기다려 주세요.", "nb": "Et øyeblikk.",
    "nl": "Een ogenblik, alstublieft.", "pl": "Chwileczkę, proszę.",
    "pt": "Um momento, por favor.", "ru": "Одну минуту, пожалуйста.", "sv": "Ett ögonblick, tack.",
    "zh": "请稍等。",
}  # fmt: skip
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(template_name: str, **values: str) -> str:
    """A TwiML document, to be sent as text/xml.

    Args:
        template_name: The file in `templates/` without `.xml`.
        values: One for each placeholder of the template. They are escaped for text and attributes;
            characters that XML 1.0 does not allow become U+FFFD. If a value is empty, the attribute
            or element that consists of its placeholder is omitted.

    Raises:
        BridgeError: there is no such template, or values and placeholders differ.
    """
    template = _template(template_name)
    placeholders = set(template.get_identifiers())
    if missing := placeholders - values.keys():
        raise BridgeError(f"templates/{template_name}.xml: no value for {_names(missing)}")
    if unknown := values.keys() - placeholders:
        raise BridgeError(f"templates/{template_name}.xml has no placeholder {_names(unknown)}")
    text = template.template
    for name in placeholders:
        if not values[name]:
            text = re.sub(rf' [\w:]+="\${name}"', "", text)
            text = re.sub(rf"[ \t]*<(\w+)[^<>]*>\${name}</\1>\n?", "", text)
    return Template(text).substitute({name: _escaped(value) for name, value in values.items()})


def stream_urls(
    base_url: str, ticket: str, after: str = "", replica_url: str = ""
) -> dict[str, str]:
    """The values `stream_url` and `action_url` of a document with <Connect><Stream>.

    Twilio: <Stream>. Its url has the scheme wss and no query string. `after`: a suffix of the
    action's path, empty or `DIGITS_PLAYED`. `replica_url`: the base of the stream's URL; empty:
    `base_url`.
    """
    stream_base = replica_url or base_url
    return {
        "stream_url": f"wss://{stream_base.partition('://')[2]}/media-stream/{ticket}",
        "action_url": f"{base_url}/stream-ended{after}",
    }


def one_moment(language: str) -> dict[str, str]:
    """The values `one_moment`, a sentence said before a retry, and `language`, for its <Say>.

    `language`: as for `say_language`.
    """
    words = _ONE_MOMENT.get(language, _ONE_MOMENT["en"])
    return {"one_moment": words, "language": say_language(language)}


def say_language(language: str) -> str:
    """The `language` attribute of <Say>, such as `en-US`.

    `language`: ISO 639-1. English replaces a language that Twilio's default voice does not speak.
    """
    language = language if language in _SAY_REGIONS else "en"
    return f"{language}-{_SAY_REGIONS[language]}"


@cache
def _template(name: str) -> Template:
    try:
        template = Template((_FOLDER / f"{name}.xml").read_text(encoding="utf-8"))
    except OSError as error:
        raise BridgeError(f"templates/{name}.xml cannot be read ({error.strerror})") from None
    if not template.is_valid():
        raise BridgeError(
            f"templates/{name}.xml has a $ without a name; write $$ for a dollar sign"
        )
    return template


def _escaped(value: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", value), _ESCAPES)


def _names(names: set[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))
