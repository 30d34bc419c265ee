"""The body of a request for speech, by the custom HTTP text-to-speech standard.

The standard's pages disagree with each other: most say form, the sample parses JSON, and the
ExtendData that they print is neither JSON nor Python. Every form that can be read is accepted.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, parse_options_header

from app.call.words.blank import is_blank, stripped
from app.web.stream_voices import is_speakable

logger = logging.getLogger(__name__)
# It logs what peers send that have not been authenticated.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

RATES_HZ = (8000, 16000, 24000, 48000)
LONGEST_CHARACTERS = 2000
_DIGITS = re.compile("[0-9]{1,6}")
_MOST_FIELDS = 100
_LONGEST_HEADER_BYTES = 1024  # of a part
_LONGEST_ID = 64
_IDS = {"InstanceId": "instance_id", "ChannelId": "channel_id", "SentenceId": "sentence_id"}


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A text to synthesize."""

    text: str = field(repr=False)
    #: The sample rate that the client asks for.
    hz: int
    #: Empty: any voice.
    voice_id: str
    #: The client's own names for the request, for the log.
    ids: Mapping[str, str]


def fields_of(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The fields of a body: JSON or either kind of form. A body of another content type is tried as
    JSON, then as a form; one that is neither has no fields.

    Raises:
        ValueError: the body does not match its content type. The message shows no part of it.
    """
    match content_type.partition(";")[0].strip().lower():
        case _ if not body.strip():
            return {}
        case "application/json":
            return _json(body)
        case "application/x-www-form-urlencoded":
            return _form(body)
        case "multipart/form-data":
            return _multipart(body, content_type)
    for read in (_json, _form):
        try:
            return read(body)
        except ValueError:
            continue
    return {}


def token_of(fields: Mapping[str, Any]) -> str:
    """The client's token; empty: it sent none."""
    token = fields.get("Token")
    return token if isinstance(token, str) else ""


def speech_request(fields: Mapping[str, Any]) -> SpeechRequest:
    """The text and how to synthesize it.

    Raises:
        ValueError: a field is missing or wrong; the message names it.
    """
    return SpeechRequest(
        text=_text(fields.get("Text")),
        hz=_rate(fields.get("SampleRate")),
        voice_id=_voice_id(fields.get("VoiceId")),
        ids=_ids(fields.get("ExtendData")),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("Text: expected text to synthesize")
    text = stripped(value)
    if len(text) > LONGEST_CHARACTERS:
        raise ValueError(f"Text: expected at most {LONGEST_CHARACTERS} characters, got {len(text)}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Text: expected whole characters, got half of one")
    if not is_speakable(text):
        raise ValueError("Text: expected text to synthesize; there is no letter and no digit in it")
    return text


def _rate(value: object) -> int:
    """A form has only text. There is no default: the standard's sample, 48000, would be a guess."""
    if isinstance(value, str) and _DIGITS.fullmatch(stripped(value)):
        value = int(value)
    if type(value) is not int or value not in RATES_HZ:
        raise ValueError(f"SampleRate: expected one of {', '.join(map(str, RATES_HZ))}")
    return value


def _voice_id(value: object) -> str:
    if value is None or isinstance(value, str):
        return stripped(value or "")
    raise ValueError("VoiceId: expected the name of a voice")


def _ids(extended: object) -> dict[str, str]:
    """The names in ExtendData: an object, the JSON of one, or nothing. Others are ignored."""
    if isinstance(extended, str):
        try:
            extended = {} if is_blank(extended) else _loaded(extended)
        except ValueError:
            extended = "unreadable"
    if extended is None:
        return {}
    if not isinstance(extended, dict):
        logger.warning("request for speech whose ExtendData is no JSON object")
        return {}
    return {
        told: str(extended[name])[:_LONGEST_ID]
        for name, told in _IDS.items()
        if isinstance(extended.get(name), str | int)
    }


# --- bodies ---------------------------------------------------------------------------------------


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = _loaded(body)
    except json.JSONDecodeError as error:
        raise ValueError(f"body: expected JSON; {error.msg} at character {error.pos}") from None
    except ValueError:
        raise ValueError("body: expected JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise ValueError("body: expected a JSON object")
    return found


def _loaded(text: str | bytes) -> Any:
    """Raises ValueError, for JSON that is nested too deep too."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise ValueError(
            f"body: expected a form in UTF-8 with at most {_MOST_FIELDS} fields"
        ) from None
    return dict(fields)


def _multipart(body: bytes, content_type: str) -> dict[str, str]:
    """RFC 7578. A part with a file name is a field like any other."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise ValueError("body: expected a boundary in the Content-Type of multipart/form-data")
    parts: list[tuple[bytes | None, bytes]] = []
    ends: list[bool] = []

    def keep(name: bytes | None, value: bytes | None) -> None:
        if len(parts) == _MOST_FIELDS:  # whatever else comes is not worth the time
            raise FormParserError
        parts.append((name, value or b""))

    try:
        parser = FormParser(
            "multipart/form-data",
            lambda field: keep(field.field_name, field.value),
            lambda file: keep(file.field_name, _content(file)),
            lambda: ends.append(True),
            boundary,
            config={"MAX_HEADER_SIZE": _LONGEST_HEADER_BYTES},
        )
        parser.write(b"\r\n" + body)  # the line break lets text come before the first part
        fields = {(name or b"").decode(): value.decode() for name, value in parts}
    except UnicodeDecodeError:
        raise ValueError("body: expected multipart/form-data in UTF-8") from None
    except FormParserError:
        fields = {}
    if not ends or not fields:
        raise ValueError(
            f"body: expected multipart/form-data, whole, with 1 to {_MOST_FIELDS} named fields"
        )
    return fields


def _content(file: File) -> bytes:
    file.file_object.seek(0)
    return file.file_object.read()
