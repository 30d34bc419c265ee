"""Turns Volcengine's error codes and messages into VoiceError, with a kind and a fix.

Error codes are 3xxx in v1 and have eight digits in v3.
"""

import json
from collections.abc import Sequence

from app.errors import VoiceError, VoiceErrorKind
from app.wires.voices.connect import kind_of_status
from app.wires.voices.quoting import quotable

Meaning = tuple[VoiceErrorKind, str]

#: The request's `reqid` was used before. A retry with a new one may succeed.
REQID_USED = 3006

_CODES: dict[int, Meaning] = {
    3001: ("fatal", "the request is invalid; check the voice's settings"),
    3003: ("passing", "too many texts at once for this account"),
    3005: ("passing", "the service is busy"),
    REQID_USED: ("passing", "the request's id was used before"),
    3010: ("text", "the text is too long"),
    3011: ("text", "the text has nothing that this voice can say"),
    3030: ("passing", "the service took too long"),
    3031: ("passing", "the service failed"),
    3032: ("passing", "the service waited too long for sound"),
    3040: ("passing", "the service lost its own connection"),
    3050: ("fatal", "there is no such voice; check voice_type"),
    40402003: ("text", "the text is too long"),
    45000000: ("fatal", "the account may not use this voice; check voice_type and resource_id"),
    45000001: ("fatal", "the request is invalid; check voice_type and the other settings"),
    45000292: ("passing", "too many texts at once for this account"),
    45002001: ("text", "the text has nothing that this voice can say"),
    55000000: ("passing", "the service failed"),
}

# A message takes precedence over its code, because one code has several causes.
_MESSAGES: dict[str, Meaning] = {
    "concurrency": ("passing", "too many texts at once for this account"),
    "_lifetime": ("fatal", "the account's quota is used up; buy more"),
    "grant not found": ("fatal", "app_id and access token do not belong together; check both"),
    "authenticate request": ("fatal", "the credentials are refused; check app_id and the token"),
    "access denied": ("fatal", "the account has not bought this voice"),
    "init engine instance failed": ("fatal", "the voice is not in this cluster; check cluster"),
    "illegal input text": ("text", "the text has nothing that this voice can say"),
    "mismatched with speaker": ("fatal", "the voice is of another family; check resource_id"),
    "speaker not found": ("fatal", "there is no such voice; check voice_type"),
}


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
    kind, meaning = _meaning_of(message) or _CODES.get(code) or unknown
    text = _text(meaning, f"code {code}", message, private, ids)
    return VolcengineError(text, kind=kind, code=code)


def handshake_error(status: int, body: str, *, private: Sequence[str], **ids: str) -> VoiceError:
    """The exception for an HTTP error in the WebSocket handshake. `private`, `ids`: as in
    `service_error`."""
    message = message_in(body)
    by_status: Meaning
    if status in (401, 403):
        by_status = ("fatal", "the credentials are refused; check app_id and the token")
    elif kind_of_status(status) == "passing":
        by_status = ("passing", "the service is busy")
    else:
        by_status = ("fatal", "the service accepts no connection there; check url")
    kind, meaning = _meaning_of(message) or by_status
    return VoiceError(_text(meaning, f"HTTP {status}", message, private, ids), kind=kind)


def message_in(raw: str) -> str:
    """The message in an error's body, which is plain text or JSON."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    if not isinstance(body, dict):
        return raw
    for name in ("message", "error", "status_text"):
        if isinstance(body.get(name), str):
            return str(body[name])
    return ""


def code_in(raw: str) -> int:
    """The error code in the JSON of a failed session or connection; 0 if there is none."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return 0
    if isinstance(body, dict):
        for name in ("status_code", "code"):
            if isinstance(body.get(name), int):
                return int(body[name])
    return 0


def _meaning_of(message: str) -> Meaning | None:
    lower = message.lower()
    return next((meaning for part, meaning in _MESSAGES.items() if part in lower), None)


def _text(
    meaning: str, code: str, message: str, private: Sequence[str], ids: dict[str, str]
) -> str:
    text = f"volcengine: {meaning} ({code}"
    if quote := quotable(message, private):
        text += f", {quote!r}"
    text += "".join(f", {name} {value}" for name, value in ids.items() if value)
    return text + ")"
