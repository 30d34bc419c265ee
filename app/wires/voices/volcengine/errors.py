"""What Volcengine's error codes and messages mean for the call, and how they are told to people.

The codes of v1 are 3xxx, those of v3 have eight digits.
"""

import json
from collections.abc import Sequence
from typing import Literal

from app.errors import VoiceError
from app.wires.voices.quoting import quotable

Kind = Literal["passing", "text", "fatal"]
Meaning = tuple[Kind, str]

REQID_USED = 3006

_CODES: dict[int, Meaning] = {
    3001: ("fatal", "the request is invalid; check the voice's settings"),
    3003: ("passing", "too many texts at once for this account"),
    3005: ("passing", "the service is busy"),
    REQID_USED: ("passing", "the request's id was used before"),
    3010: ("text", "the text is too long"),
    3011: ("text", "there is nothing in the text that this voice can say"),
    3030: ("passing", "the service took too long"),
    3031: ("passing", "the service failed"),
    3032: ("passing", "the service waited too long for sound"),
    3040: ("passing", "the service lost its own connection"),
    3050: ("fatal", "there is no such voice; check voice_type"),
    40402003: ("text", "the text is too long"),
    45000000: ("fatal", "the account may not use this voice; check voice_type and resource_id"),
    45000001: ("fatal", "the request is invalid; check voice_type and the other settings"),
    45000292: ("passing", "too many texts at once for this account"),
    45002001: ("text", "there is nothing in the text that this voice can say"),
    55000000: ("passing", "the service failed"),
}

# What a message says goes before its code: one code serves for several things.
_MESSAGES: dict[str, Meaning] = {
    "concurrency": ("passing", "too many texts at once for this account"),
    "_lifetime": ("fatal", "the account's quota is used up; buy more"),
    "grant not found": ("fatal", "app_id and access token do not belong together; check both"),
    "authenticate request": ("fatal", "the credentials are refused; check app_id and the token"),
    "access denied": ("fatal", "the account has not bought this voice"),
    "init engine instance failed": ("fatal", "the voice is not in this cluster; check cluster"),
    "illegal input text": ("text", "there is nothing in the text that this voice can say"),
    "mismatched with speaker": ("fatal", "the voice is of another family; check resource_id"),
    "speaker not found": ("fatal", "there is no such voice; check voice_type"),
}


class Refused(VoiceError):
    """The service answered with an error. `code`: its own."""

    def __init__(self, message: str, *, kind: Kind, code: int) -> None:
        super().__init__(message, kind=kind)
        self.code = code


def refusal(code: int, raw: str, *, private: Sequence[str], **ids: str) -> Refused:
    """The service's error, told. `raw`: its message, plain or JSON. `private`: what must not be
    repeated: the text, credentials. `ids`: what support asks for, such as `logid`."""
    message = said_in(raw)
    # v3's family 45 is the client's own mistake; of whatever else is unknown, hope
    unknown: Meaning = ("fatal" if code // 1_000_000 == 45 else "passing", "the service refused")
    kind, told = _meaning_of(message) or _CODES.get(code) or unknown
    return Refused(_told(f"code {code}", told, message, private, ids), kind=kind, code=code)


def turned_away(status: int, body: str, *, private: Sequence[str], **ids: str) -> VoiceError:
    """The HTTP answer that came instead of a socket, told."""
    message = said_in(body)
    by_status: Meaning
    if status in (401, 403):
        by_status = ("fatal", "the credentials are refused; check app_id and the token")
    elif status >= 500 or status in (408, 425, 429):
        by_status = ("passing", "the service is busy")
    else:
        by_status = ("fatal", "the service does not open a connection there; check url")
    kind, told = _meaning_of(message) or by_status
    return VoiceError(_told(f"HTTP {status}", told, message, private, ids), kind=kind)


def said_in(raw: str) -> str:
    """The message in an error's body, which is plain or JSON."""
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
    """The code in the JSON of a failed session or connection; 0 if there is none."""
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
    low = message.lower()
    return next((told for part, told in _MESSAGES.items() if part in low), None)


def _told(what: str, told: str, message: str, private: Sequence[str], ids: dict[str, str]) -> str:
    words = f"volcengine: {told} ({what}"
    if quoted := quotable(message, private):
        words += f", {quoted!r}"
    words += "".join(f", {name} {value}" for name, value in ids.items() if value)
    return words + ")"
