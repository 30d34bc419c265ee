"""The keys of send_digits: DTMF tones on the stream, or a redirect to `<Play digits>` if many."""

import json
import re

from app.audio import base64_size, dtmf_tones, tones_ms
from app.call import prompts
from app.call.commands import PlayDigits
from app.call.heard.agent_audio import OWN_SOUND, AgentAudio
from app.call.model.model import Model

SEND_DIGITS = "send_digits"
#: Tones that take longer are left to Twilio's `<Play digits>`.
LONGEST_TONES_MS = 10_000
_DIGITS = re.compile("[0-9A-D*#wW]{1,200}")


def read_digits(arguments: str) -> str:
    """Read the arguments of send_digits.

    Args:
        arguments: JSON text as the model wrote it; `digits` in it: 0-9 A-D * #, and w and W for
            pauses of 500 and 1000 ms.

    Returns:
        The digits; empty if the arguments contain none, or other characters.
    """
    try:
        digits = json.loads(arguments or "{}")["digits"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return digits if isinstance(digits, str) and _DIGITS.fullmatch(digits) else ""


class Tones:
    """Performs what `transitions.KEYS` decides about the keys of one send_digits at a time."""

    def __init__(self, audio: AgentAudio, model: Model) -> None:
        self._audio = audio
        self._answers = model.answers
        #: The send_digits that is at work, or was last.
        self.call_id = ""
        self._digits = ""

    def begin(self, call_id: str, digits: str) -> None:
        """The model calls send_digits with these digits."""
        self.call_id, self._digits = call_id, digits

    @property
    def need_twilio(self) -> bool:
        """Whether the keys are too many for tones on the stream."""
        return tones_ms(self._digits) > LONGEST_TONES_MS

    def play(self, now_ms: float) -> None:
        """Play the tones, after all audio before them."""
        payload = dtmf_tones(self._digits)
        self._audio.play(OWN_SOUND, payload, base64_size(payload), now_ms)
        self._audio.finish(OWN_SOUND, now_ms)

    def order(self) -> PlayDigits:
        """Returns the redirect to order."""
        return PlayDigits(self.call_id, self._digits)

    def sent(self, now_ms: float) -> None:
        """The keys were pressed: answer send_digits."""
        self._answers.answer(self.call_id, prompts.DIGITS_SENT, now_ms)

    def cut(self, now_ms: float) -> None:
        """The tones were cleared, or never played: answer send_digits."""
        self._answers.answer(self.call_id, prompts.DIGITS_CUT, now_ms)

    def fail(self, why: str, now_ms: float) -> None:
        """Twilio did not press the keys: answer send_digits."""
        self._answers.answer(self.call_id, prompts.digits_failed(why), now_ms)
