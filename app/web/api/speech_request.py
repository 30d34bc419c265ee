"""What a request for speech says, by the custom HTTP text-to-speech standard.

Its pages disagree with each other: most say form, the sample parses JSON, and the ExtendData that
they print is neither JSON nor Python. So whatever can be understood is.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value
from typing import Any
from urllib.parse import parse_qsl

from app.call.words.blank import is_blank, stripped

logger = logging.getLogger(__name__)

RATES_HZ = (8000, 16000, 24000, 48000)
LONGEST_CHARACTERS = 2000
_DIGITS = re.compile("[0-9]{1,6}")
_MOST_FIELDS = 100
_LONGEST_ID = 64
_IDS = {"InstanceId": "instance_id", "ChannelId": "channel_id", "SentenceId": "sentence_id"}


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A text to be said. `hz`: the rate that the caller wants. `voice_id`: empty for any. `ids`:
    the caller's own names for it, for the log."""

    text: str = field(repr=False)
    hz: int
    voice_id: str
    ids: Mapping[str, str]


def fields_of(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The fields of a body, JSON or either kind of form. Of a body that is not said to be any of
    these: whatever it can be read as, and no fields if it is nothing.

    Raises:
        ValueError: it is not what it is said to be. The message names no value of it.
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
    """What the caller proves itself with; empty if there is nothing."""
    token = fields.get("Token")
    return token if isinstance(token, str) else ""


def speech_request(fields: Mapping[str, Any]) -> SpeechRequest:
    """What is to be said, and how.

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
        raise ValueError("Text: expected what is to be said")
    text = stripped(value)
    if len(text) > LONGEST_CHARACTERS:
        raise ValueError(f"Text: expected at most {LONGEST_CHARACTERS} characters, got {len(text)}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("Text: expected whole characters, got half of one")
    if not is_speakable(text):
        raise ValueError("Text: expected what is to be said; there is no letter and no digit in it")
    return text


def is_speakable(text: str) -> bool:
    """Whether there is anything in it that a voice can say."""
    return any(map(str.isalnum, text))


def _rate(value: object) -> int:
    """Forms have only text. There is no default: the sample's own, 48000, would be a guess."""
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
    """Out of ExtendData, as an object, its JSON, or nothing. What cannot be read is not missed."""
    if isinstance(extended, str):
        try:
            extended = {} if is_blank(extended) else _loaded(extended)
        except ValueError:
            extended = "unreadable"
    if extended is None:
        return {}
    if not isinstance(extended, dict):
        logger.warning("request for speech with an ExtendData that is no JSON object")
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
    """RFC 7578. Nothing in a part is split again, as a mail parser would: a deep nest takes it
    long."""
    kind = Message()
    kind["Content-Type"] = content_type
    boundary = kind.get_boundary()
    if not boundary:
        raise ValueError("body: expected a boundary in the Content-Type of multipart/form-data")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if len(parts) > _MOST_FIELDS + 2 or len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise ValueError(
            f"body: expected multipart/form-data, whole, with at most {_MOST_FIELDS} fields"
        )
    fields = {}
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(head.lstrip())
        name = headers.get_param("name", header="content-disposition")
        if name is not None:
            try:
                fields[collapse_rfc2231_value(name)] = content.decode()
            except UnicodeDecodeError:
                raise ValueError("body: expected multipart/form-data in UTF-8") from None
    return fields
