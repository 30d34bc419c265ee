"""The settings that the stand-in for Qwen's voices accepts, with their documented ranges.

(DashScope: Qwen-TTS Realtime API, session.update)
"""

from collections.abc import Callable
from typing import Any

DEFAULTS: dict[str, Any] = {
    "mode": "server_commit",
    "voice": "Cherry",
    "response_format": "pcm",
    "sample_rate": 24000,
}

_OLD_MODEL = "qwen-tts-realtime"
_OLD_VOICES = {"Cherry", "Serena", "Ethan", "Chelsie"}
_OLD_LACKS = {"speech_rate", "volume", "pitch_rate", "bit_rate"}
_INSTRUCT_MODEL = "qwen3-tts-instruct-flash-realtime"
_LANGUAGES = (
    "Auto Chinese English German Italian Portuguese Spanish Japanese Korean French Russian"
).split()


def is_old(model: str) -> bool:
    """Whether the model is the one with 24000 Hz only."""
    return model == _OLD_MODEL or model.startswith(f"{_OLD_MODEL}-")


def _one_of(*allowed: object) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, bool) and value in allowed


def _between(low: float, high: float, *kinds: type) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        # A bool is an int in Python, but not in JSON.
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return isinstance(value, int | float) and low <= value <= high

    return fits


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_FITS: dict[str, Callable[[object], bool]] = {
    "voice": _text,
    "mode": _one_of("server_commit", "commit"),
    "response_format": _one_of("pcm"),  # Qwen has others, the stand-in does not
    # The reference lists four rates; the dashscope package adds 22050 and 44100.
    "sample_rate": _one_of(8000, 16000, 22050, 24000, 44100, 48000),
    "language_type": _one_of(*_LANGUAGES),
    "speech_rate": _between(0.5, 2.0, int, float),
    "volume": _between(0, 100, int),
    "pitch_rate": _between(0.5, 2.0, int, float),
    "bit_rate": _between(6, 510, int),
    "instructions": _text,
    "optimize_instructions": _flag,
    "enable_tn": _flag,
}


def fault(model: str, asked: dict[str, Any]) -> str | None:
    """What is wrong with the settings of a `session.update`; None: they are accepted."""
    if "voice" not in asked:
        return "voice is missing"
    for name, value in asked.items():
        fits = _FITS.get(name)
        if fits is None:
            return f"{name} is not a setting"
        if not fits(value):
            return f"{name} cannot be {value!r}"
    if is_old(model):
        for name in sorted(_OLD_LACKS & asked.keys()):
            return f"{model} has no {name}"
        if asked.get("sample_rate", 24000) != 24000:
            return f"{model} speaks at 24000 Hz only"
        if asked["voice"] not in _OLD_VOICES:
            return f"{model} has no voice {asked['voice']!r}"
    if "instructions" in asked and not model.startswith(_INSTRUCT_MODEL):
        return f"{model} takes no instructions"
    if "optimize_instructions" in asked and "instructions" not in asked:
        return "optimize_instructions needs instructions"
    return None
