"""The TwiML documents that Twilio is answered with, filled in from the templates in twiml/.

Twilio: TwiML. Templates are plain XML with `$name` for what changes, so that whoever runs the
service can edit what callers hear without touching code.
"""

import re
from functools import cache
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape

from app.errors import BridgeError

DIGITS_PLAYED = "/keys"  # the document had Twilio press keys: they are not to be pressed again

_FOLDER = Path(__file__).resolve().parents[3] / "twiml"
# White space in an attribute would reach Twilio as spaces.
_ESCAPES = {'"': "&quot;", "'": "&apos;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# Twilio: <Say>, languages of the default voice
_SAY_REGIONS = {
    "ca": "ES", "da": "DK", "de": "DE", "en": "US", "es": "ES", "fi": "FI", "fr": "FR", "it": "IT",
    "ja": "JP", "ko": "KR", "nb": "NO", "nl": "NL", "pl": "PL", "pt": "BR", "ru": "RU", "sv": "SE",
    "zh": "CN",
}  # fmt: skip
# What a caller hears before the next try, in each of them.
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
    """A TwiML document, ready to be sent as text/xml.

    `template_name`: the file in twiml/ without `.xml`. `values`: exactly the template's
    placeholders; they are escaped for text and attributes alike, and characters that XML cannot
    hold become U+FFFD. An attribute or an element that holds nothing but an empty value is left
    out.

    Raises BridgeError when there is no such template, or when values and placeholders differ.
    """
    template = _template(template_name)
    placeholders = set(template.get_identifiers())
    if missing := placeholders - values.keys():
        raise BridgeError(f"twiml/{template_name}.xml: no value for {_names(missing)}")
    if unknown := values.keys() - placeholders:
        raise BridgeError(f"twiml/{template_name}.xml has no placeholder {_names(unknown)}")
    text = template.template
    for name in placeholders:
        if not values[name]:
            text = re.sub(rf' [\w:]+="\${name}"', "", text)
            text = re.sub(rf"[ \t]*<(\w+)[^<>]*>\${name}</\1>\n?", "", text)
    return Template(text).substitute({name: _escaped(value) for name, value in values.items()})


def stream_urls(base_url: str, ticket: str, after: str = "") -> dict[str, str]:
    """Where a call's media stream goes, and what comes after it. Twilio opens streams over TLS
    only, and takes no query string (Twilio: <Stream>). `after`: what the same document does before
    it opens the stream, see `DIGITS_PLAYED`."""
    return {
        "stream_url": f"wss://{base_url.partition('://')[2]}/media-stream/{ticket}",
        "action_url": f"{base_url}/stream-ended{after}",
    }


def one_moment(language: str) -> dict[str, str]:
    """The words before another try, and what <Say> calls their language. `language`: as in
    `say_language`."""
    words = _ONE_MOMENT.get(language, _ONE_MOMENT["en"])
    return {"one_moment": words, "language": say_language(language)}


def say_language(language: str) -> str:
    """What <Say> calls a language. `language`: ISO 639-1 code; one that Twilio's default voice does
    not speak is said in English."""
    language = language if language in _SAY_REGIONS else "en"
    return f"{language}-{_SAY_REGIONS[language]}"


@cache
def _template(name: str) -> Template:
    try:
        template = Template((_FOLDER / f"{name}.xml").read_text(encoding="utf-8"))
    except OSError as error:
        raise BridgeError(f"twiml/{name}.xml cannot be read ({error.strerror})") from None
    if not template.is_valid():
        raise BridgeError(f"twiml/{name}.xml has a $ that names nothing; write $$ for a dollar")
    return template


def _escaped(value: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", value), _ESCAPES)


def _names(names: set[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))
