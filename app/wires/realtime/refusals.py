"""What the Realtime API's error codes and texts mean for a call.

OpenAI: Realtime API, server event `error`. The codes are not listed there; these were seen.
"""

import re
from typing import Any, Literal

from app.call.events import Refusal
from app.call.optional_settings import Setting

#: With these, a new session would fail as well.
FATAL = {
    "insufficient_quota",
    "invalid_api_key",
    "account_deactivated",
    "billing_hard_limit_reached",
    "beta_api_shape_disabled",
}
#: With these, the session ends.
SESSION_LOST = {"session_expired"}
_BUSY = "conversation_already_has_active_response"
# The whole text: "Audio content of 1200ms is already shorter than 1500ms".
_SHORTER = re.compile(r"Audio content of (\d+) ?ms is already shorter than")


def refusal(code: str, message: str) -> tuple[Refusal, int]:
    """The `refusal` and the `length_ms` of a `ModelFaulted` with this code and message."""
    if code == _BUSY:
        return "busy", 0
    shorter = _SHORTER.search(message)
    return ("too_short", int(shorter[1])) if shorter else ("", 0)


# --- refused settings -----------------------------------------------------------------------------

_Setting = Setting | Literal["", "required"]
# Fields of `session`, or of its `audio.input` and `audio.output`, and the setting that each of them
# is; the beta's names as well, because compatible servers still use them. A field inside one of
# these belongs to it.
_SETTINGS: dict[str, _Setting] = {
    "transcription": "transcription",
    "transcription.language": "language",
    "transcription.languages": "languages",
    "transcription.prompt": "prompt",
    "transcription.keywords": "keywords",
    "keywords": "keywords",
    "languages": "languages",
    "noise_reduction": "noise_reduction",
    "noise_reduction.strength": "noise_reduction_strength",
    "turn_detection": "detection",
    "format": "required",
    "voice": "voice",
    "speed": "speed",
    "reasoning": "reasoning_effort",
    "max_output_tokens": "max_output_tokens",
    "parallel_tool_calls": "parallel_tool_calls",
    "truncation": "truncation",
    "type": "required",
    "model": "required",
    "instructions": "required",
    "output_modalities": "required",
    "tools": "required",
    "tool_choice": "required",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "max_response_output_tokens": "max_output_tokens",
}
_INDEX = re.compile(r"\[\d+\]")
_PARENT = re.compile(r"^(session\.)?(audio\.)?((input|output)\.)?")
_PATH = re.compile(r"\bsession\.[\w.\[\]]+")
_QUOTED = re.compile(r"""['"`]([\w.\[\]]+)['"`]""")


def refused_setting(param: Any, message: str) -> _Setting:
    """The `setting` of a `ModelFaulted`: what the server names in `param`, else in its message.

    The answer to another command than `session.update` may name one as well: it means nothing then.
    """
    paths = [param] if isinstance(param, str) else []
    named = [_setting(path) for path in (*paths, *_PATH.findall(message))]
    # A quoted word may be a value. The names of required settings are such words: "type", "model".
    quoted = [_setting(word) for word in _QUOTED.findall(message)]
    named += [setting for setting in quoted if setting != "required"]
    return next((setting for setting in named if setting), "")


def _setting(path: str) -> _Setting:
    parts = _PARENT.sub("", _INDEX.sub("", path)).split(".")
    fields = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_SETTINGS[field] for field in fields if field in _SETTINGS), "")
