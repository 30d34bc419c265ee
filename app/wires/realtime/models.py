"""What the models of the Realtime API take, as far as their names tell.

OpenAI: Realtime API, session.update: `reasoning` and `parallel_tool_calls` are for reasoning models
such as gpt-realtime-2, `keywords` and `languages` for gpt-transcribe and gpt-live-transcribe,
`prompt` for all but gpt-realtime-whisper and gpt-4o-transcribe-diarize. A name that is not listed
here, such as that of an Azure deployment, may be any model: it counts as taking everything.
"""

import re

_DATED = r"(-\d{4}-\d\d-\d\d)?"
_WITHOUT_REASONING = re.compile(
    rf"(gpt-realtime(-1\.5|-mini)?|gpt-audio(-1\.5|-mini)?|gpt-4o(-mini)?-realtime-preview){_DATED}"
)
_WITHOUT_PROMPT = re.compile(rf"(gpt-realtime-whisper|gpt-4o-transcribe-diarize){_DATED}")
_WITHOUT_HINTS = re.compile(
    rf"(whisper-1|gpt-realtime-whisper|gpt-4o(-mini)?-transcribe|gpt-4o-transcribe-diarize){_DATED}"
)
_WITHOUT = {
    "reasoning_effort": _WITHOUT_REASONING,
    "parallel_tool_calls": _WITHOUT_REASONING,
    "prompt": _WITHOUT_PROMPT,
    "keywords": _WITHOUT_HINTS,
    "languages": _WITHOUT_HINTS,
}


def takes(model: str, key: str) -> bool:
    """Whether a model takes this key of `[model]` or `[transcription]`. False: it is known not to.

    Args:
        model: The model of the session for a key of `[model]`, else that of the transcription.
    """
    without = _WITHOUT.get(key)
    return without is None or without.fullmatch(model) is None
