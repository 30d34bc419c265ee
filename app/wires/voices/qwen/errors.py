"""Turns DashScope's refusals into VoiceError, with a kind, what was refused, and a fix.

DashScope: error codes such as `InvalidApiKey`, `Throttling.RateQuota`. A refusal arrives as the
HTTP response of a handshake or as an `error` event.
"""

import json
import re

from app.errors import VoiceError, VoiceErrorKind
from app.wires.voices.connect import kind_of_status
from app.wires.voices.quoting import quotable

_LONGEST_CODE = 64

# Regular expressions for an error's code, and for its message if that cannot quote a text; both in
# lower case. The first one that matches decides.
_REFUSALS: tuple[tuple[str, VoiceErrorKind, str], ...] = (
    (r"^throttling|rate_?limit|limit_requests|burstrate", "passing", "too many requests"),
    (r"data_?inspection", "text", "the text was rejected by content inspection"),
    (
        r"freetieronly|free tier|free quota",
        "fatal",
        "the model's free quota is used up; allow paid use in the console, or check model",
    ),
    (
        r"insufficient_quota|allocation_?quota|exceeded your current quota",
        "passing",
        "the account's quota is used up for now",
    ),
    (r"arrearage|overdue|good standing", "fatal", "the account has unpaid bills; pay them"),
    (
        r"(key|token)( is| has)? expired|expired",
        "fatal",
        "the API key has expired; renew DASHSCOPE_API_KEY",
    ),
    (
        r"invalid_?api_?key|incorrect api key|invalid api[- ]key",
        "fatal",
        "the API key is wrong; check DASHSCOPE_API_KEY, and that it belongs to the url's region",
    ),
    (
        r"workspace",
        "fatal",
        "the workspace is refused; check workspace, and that DASHSCOPE_API_KEY belongs to it",
    ),
    (
        r"unpurchased",
        "fatal",
        "the account has not activated the model; activate it in the console, or check model",
    ),
    (
        r"model_?not_?found|model not (exist|found)|model .*(not exist|not found|not supported)",
        "fatal",
        "there is no such model; check model, and that the url's region has it",
    ),
    (
        r"access_?denied|access denied|forbidden",
        "fatal",
        "the API key may not use this model; check model, workspace and DASHSCOPE_API_KEY",
    ),
)
_PASSING = ("internal", "server", "service", "system", "timeout", "requesttimeout")

# The names of Qwen's settings in messages, and the keys under [voice] that set them.
_KEYS = {
    "voice": "name",
    "model": "model",
    "mode": "mode",
    "sample_rate": "sample_rate",
    "language_type": "language",
    "speech_rate": "speed",
    "volume": "volume",
    "pitch_rate": "pitch",
    "instructions": "instructions",
    "optimize_instructions": "optimize_instructions",
    "enable_tn": "enable_tn",
}
_WORD = re.compile("[a-z_]+")


def handshake_refused(status: int, body: str, secret: str) -> VoiceError:
    """The VoiceError for the HTTP response that refused a handshake.

    `secret`: no error message quotes it.
    """
    code, message = _code_and_message(body)
    ids = ", ".join(filter(None, (f"HTTP {status}", code, _quoted(message, secret))))
    if refusal := _refusal(code, message):
        kind, meaning = refusal
    elif status == 401:
        kind, meaning = _refusal("InvalidApiKey", "") or ("fatal", "")
    elif status == 403:
        kind, meaning = _refusal("AccessDenied", "") or ("fatal", "")
    elif status == 404:
        kind, meaning = "fatal", "nothing was found there; check url and model"
    elif named := _named(message):
        kind, meaning = "fatal", f"a setting is refused; check {named}"
    else:
        kind, meaning = kind_of_status(status), "the connection was refused"
        if kind == "fatal":
            meaning += "; check url and model"
    return VoiceError(f"Qwen: {meaning} ({ids})", kind=kind)


def setup_refused(code: str, message: str, secret: str) -> VoiceError:
    """The VoiceError for an error before `session.updated`, which usually rejects a setting.

    `secret`: no error message quotes it.
    """
    code = _clean(code)
    ids = ", ".join(filter(None, (code, _quoted(message, secret)))) or "no reason given"
    if refusal := _refusal(code, message):
        kind, meaning = refusal
        return VoiceError(f"Qwen: {meaning} ({ids})", kind=kind)
    if code.lower().startswith(_PASSING):
        return VoiceError(f"Qwen cannot open a session now ({ids})")
    named = _named(message) or "the keys under [voice]"
    return VoiceError(f"Qwen refused the session's settings; check {named} ({ids})", kind="fatal")


def text_refused(code: str) -> VoiceError:
    """The VoiceError for an error while a text is said. It leaves out the server's message, which
    may quote the text."""
    code = _clean(code)
    ids = code or "no code given"
    if refusal := _refusal(code, ""):
        kind, meaning = refusal
        return VoiceError(f"Qwen: {meaning} ({ids})", kind=kind)
    return VoiceError(f"Qwen stopped within the text ({ids})")


def _refusal(code: str, message: str) -> tuple[VoiceErrorKind, str] | None:
    said = (code.lower(), message.lower())
    for pattern, kind, meaning in _REFUSALS:
        if any(re.search(pattern, each) for each in said):
            return kind, meaning
    return None


def _named(message: str) -> str:
    """The key that a message is about; empty: it names none."""
    return next((_KEYS[word] for word in _WORD.findall(message.lower()) if word in _KEYS), "")


def _quoted(message: str, secret: str) -> str:
    quote = quotable(message, (secret,))
    return repr(quote) if quote else ""


def _code_and_message(body: str) -> tuple[str, str]:
    """Of a response's JSON, `{"code", "message"}`, perhaps within `error`; else the body is the
    message."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "", body
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        found = found["error"]
    if not isinstance(found, dict):
        return "", body
    return _clean(str(found.get("code") or "")), str(found.get("message") or "")


def _clean(code: str) -> str:
    """The code if it looks like one, else empty."""
    code = code[:_LONGEST_CODE]
    return code if code.replace(".", "").replace("_", "").replace("-", "").isalnum() else ""
