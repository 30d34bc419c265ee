"""Turns Volcengine's error codes and messages into VoiceError, with a kind and a fix.

Error codes are 3xxx in v1 and have eight digits in v3.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from app.errors import VoiceError, VoiceErrorKind
from app.wires.voices.connect import kind_of_status
from app.wires.voices.quoting import quotable

Meaning = tuple[VoiceErrorKind, str]

#: The request's `reqid` was used before. A retry with a new one may succeed.
REQID_USED = 3006

_NO_VOICE = "there is no such voice; check name, which is the voice_type"
_NOT_BOUGHT = "the account has not bought this voice; buy it in the console, or check name"
_RESOURCE = "the account has not activated this resource; check resource_id, or activate it"
_CREDENTIALS = (
    "app id and access token do not belong together; check VOLCENGINE_APP_ID and "
    "VOLCENGINE_ACCESS_TOKEN"
)
_UNPAID = "the account has unpaid bills; pay them in the console"
_REFUSED = (
    "the credentials are refused; check VOLCENGINE_APP_ID and VOLCENGINE_ACCESS_TOKEN, or "
    "VOLCENGINE_API_KEY"
)

_CODES: dict[int, Meaning] = {
    3001: ("fatal", "the request is invalid; check the keys under [voice]"),
    3003: ("passing", "too many texts at once for this account"),
    3005: ("passing", "the service is busy"),
    REQID_USED: ("passing", "the request's id was used before"),
    3010: ("text", "the text is too long"),
    3011: ("text", "the text has nothing that this voice can say"),
    3030: ("passing", "the service took too long"),
    3031: ("passing", "the service failed"),
    3032: ("passing", "the service waited too long for sound"),
    3040: ("passing", "the service lost its own connection"),
    3050: ("fatal", _NO_VOICE),
    40402003: ("text", "the text is too long"),
    45000000: ("fatal", "the account may not use this voice; check name and resource_id"),
    45000001: ("fatal", "the request is invalid; check name and the other keys under [voice]"),
    45000010: ("fatal", _CREDENTIALS),
    45000030: ("fatal", _RESOURCE),
    45000292: ("passing", "too many texts at once for this account"),
    45002001: ("text", "the text has nothing that this voice can say"),
    55000000: ("passing", "the service failed"),
}

# Regular expressions for messages, in lower case; the first one that matches decides. A message
# takes precedence over its code and status, because one of these has several causes.
_MESSAGES: dict[str, Meaning] = {
    "concurrency": ("passing", "too many texts at once for this account"),
    "_lifetime": ("fatal", "the account's trial quota is used up; buy more"),
    "quota exceeded": ("fatal", "the account's quota is used up; buy more"),
    r"(token|key|grant|license)( is| has)? expired|expired (token|key)": (
        "fatal",
        "the credentials have expired; renew VOLCENGINE_ACCESS_TOKEN or VOLCENGINE_API_KEY",
    ),
    "overdue|arrear|insufficient balance|balance is insufficient": ("fatal", _UNPAID),
    "mismatched with speaker": (
        "fatal",
        "the voice belongs to another resource; check resource_id and name",
    ),
    "resource not granted": ("fatal", _RESOURCE),
    "invalid resource|resource-id|resource_id": (
        "fatal",
        "the resource is refused; check resource_id",
    ),
    "(permission|access) denied": ("fatal", _NOT_BOUGHT),
    "grant not found": ("fatal", _CREDENTIALS),
    "api.?key": ("fatal", "the API key is refused; check VOLCENGINE_API_KEY"),
    "authenticate request": ("fatal", _REFUSED),
    "init engine instance failed": (
        "fatal",
        "the voice is not in this cluster; check cluster and name",
    ),
    "illegal input text": ("text", "the text has nothing that this voice can say"),
    "speaker not found": ("fatal", _NO_VOICE),
}

# The names of the service in messages, and the keys under [voice] or the variables that set them.
_KEYS = {
    "voice_type": "name",
    "speaker": "name",
    "appid": "VOLCENGINE_APP_ID",
    "cluster": "cluster",
    "model": "model",
    "rate": "sample_rate",
    "sample_rate": "sample_rate",
    "speed_ratio": "speed",
    "speech_rate": "speed",
    "volume_ratio": "volume",
    "loudness_rate": "volume",
    "pitch_ratio": "pitch",
    "emotion": "emotion",
    "emotion_scale": "emotion_scale",
    "explicit_language": "language",
    "operation": "operation",
    "extra_param": "extra_param",
    "additions": "additions",
}
# The codes and statuses of invalid requests.
_INVALID = (400, 3001, 45000001)


class VolcengineError(VoiceError):
    """An error that the service reported. `code`: the service's error code."""

    def __init__(self, message: str, *, kind: VoiceErrorKind, code: int) -> None:
        super().__init__(message, kind=kind)
        self.code = code


def service_error(code: int, raw: str, *, private: Sequence[str], **ids: str) -> VolcengineError:
    """The exception for an error that the service reported.

    Args:
        code: The service's error code.
        raw: Its message, plain text or JSON.
        private: Strings that must not be quoted: the text, credentials.
        ids: Identifiers that Volcengine's support asks for, such as `logid`.
    """
    message = message_in(raw)
    # v3's codes 45xxxxxx are client errors. Any other unknown code may be passing.
    unknown: Meaning = ("fatal" if code // 1_000_000 == 45 else "passing", "the service refused")
    kind, meaning = _meaning_of(message, code, private) or _CODES.get(code) or unknown
    text = _text(meaning, f"code {code}", message, private, ids)
    return VolcengineError(text, kind=kind, code=code)


def handshake_error(status: int, body: str, *, private: Sequence[str], **ids: str) -> VoiceError:
    """The exception for an HTTP error in the WebSocket handshake. `private`, `ids`: as in
    `service_error`."""
    message = message_in(body)
    by_status: Meaning
    if status in (401, 403):
        by_status = ("fatal", _REFUSED)
    elif kind_of_status(status) == "passing":
        by_status = ("passing", "the service is busy")
    else:
        by_status = ("fatal", "the service accepts no connection there; check url")
    code = code_in(body) or status
    kind, meaning = _meaning_of(message, code, private) or _CODES.get(code) or by_status
    return VoiceError(_text(meaning, f"HTTP {status}", message, private, ids), kind=kind)


def message_in(raw: str) -> str:
    """The message in an error's body, which is plain text or JSON."""
    body = _json(raw)
    if body is None:
        return raw
    found = (body[name] for name in ("message", "error", "status_text") if name in body)
    return next((value for value in found if isinstance(value, str)), "")


def code_in(raw: str) -> int:
    """The error code in the JSON of an error; 0 if there is none."""
    body = _json(raw) or {}
    found = (body[name] for name in ("status_code", "code") if name in body)
    return next((value for value in found if isinstance(value, int)), 0)


def _json(raw: str) -> dict[str, Any] | None:
    """The JSON object of an error, perhaps within `header` or `error`; None: it is none."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    inner = (body.get(name) for name in ("header", "error"))
    return next((each for each in inner if isinstance(each, dict)), body)


def _meaning_of(message: str, code: int, private: Sequence[str]) -> Meaning | None:
    """What a message says. Its quotations of `private` strings say nothing."""
    for each in private:
        message = message.replace(each, " ") if each else message
    lower = message.lower()
    for pattern, meaning in _MESSAGES.items():
        if re.search(pattern, lower):
            return meaning
    named = next((_KEYS[word] for word in _WORD.findall(lower) if word in _KEYS), None)
    if named is None or code not in _INVALID:
        return None
    return "fatal", f"the request is invalid; check {named}"


_WORD = re.compile("[a-z_]+")


def _text(
    meaning: str, code: str, message: str, private: Sequence[str], ids: dict[str, str]
) -> str:
    text = f"volcengine: {meaning} ({code}"
    if quote := quotable(message, private):
        text += f", {quote!r}"
    text += "".join(f", {name} {value}" for name, value in ids.items() if value)
    return text + ")"
