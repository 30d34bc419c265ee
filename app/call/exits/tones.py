"""The keys of send_digits: DTMF tones on the stream, or a redirect to `<Play digits>` if many."""

import json
import re

from app.audio import base64_size, dtmf_tones, tones_ms
from app.call import prompts
from app.call.commands import PlayDigits
from app.call.deadlines import NEVER
from app.call.exits.answer_tool import AnswerTool
from app.call.exits.redirect import Redirect
from app.call.heard.agent_audio import OWN_SOUND, AgentAudio

SEND_DIGITS = "send_digits"
#: Tones that take longer are left to Twilio's `<Play digits>`.
LONGEST_TONES_MS = 10_000
_DIGITS = re.compile("[0-9A-D*#wW]{1,200}")


class Tones:
    """Presses the keys of one send_digits at a time. No barge-in stops them: the menu at the other
    end talks all the time."""

    def __init__(self, audio: AgentAudio, redirect: Redirect, answer_tool: AnswerTool) -> None:
        """
        Args:
            answer_tool: Gives the model the answer to send_digits.
        """
        self._audio = audio
        self._redirect = redirect
        self._answer_tool = answer_tool
        self._call_id = ""
        self._digits = ""  # not pressed yet: a voice still synthesizes what comes before

    @property
    def under_way(self) -> bool:
        return bool(self._call_id)

    @property
    def sounding(self) -> bool:
        """Whether the tones are playing, or Twilio presses the keys: no barge-in now."""
        return bool(self._call_id) and not self._digits

    def press(self, call_id: str, arguments: str, now_ms: float) -> None:
        """The model calls send_digits: press the keys, or answer why not.

        Args:
            arguments: JSON text as the model wrote it; `digits` in it: 0-9 A-D * #, and w and W for
                pauses of 500 and 1000 ms.
        """
        try:
            given = json.loads(arguments or "{}")
            digits = given["digits"]
        except (ValueError, TypeError, KeyError, RecursionError):
            digits = None
        if not isinstance(digits, str) or not _DIGITS.fullmatch(digits):
            self._answer_tool(call_id, prompts.DIGITS_UNREADABLE, now_ms)
        elif self._call_id or self._redirect.ordered:
            self._answer_tool(call_id, prompts.DIGITS_BUSY, now_ms)
        else:
            self._call_id, self._digits = call_id, digits
            self._begin(now_ms)

    def _begin(self, now_ms: float) -> None:
        """Press the keys, once what the agent says before them is synthesized."""
        if self._audio.synthesizing or not self._digits:
            return
        digits, self._digits = self._digits, ""
        if tones_ms(digits) > LONGEST_TONES_MS:
            command = PlayDigits(self._call_id, digits)
            self._redirect.order(command, SEND_DIGITS, self._failed, now_ms)
        else:
            payload = dtmf_tones(digits)
            self._audio.play(OWN_SOUND, payload, base64_size(payload), now_ms)
            self._audio.finish(OWN_SOUND, now_ms)

    def settle(self, now_ms: float) -> None:
        """Press the keys, and answer the model when they were heard."""
        self._begin(now_ms)
        if now_ms >= self.next_ms(now_ms):
            self._answer(prompts.DIGITS_SENT, now_ms)

    def next_ms(self, now_ms: float) -> float:
        if not self.sounding or self._redirect.ordered:
            return NEVER
        return self._audio.heard_to_end_ms(now_ms)

    def _failed(self, why: str, now_ms: float) -> None:
        self._answer(prompts.digits_failed(why), now_ms)

    def _answer(self, output: str, now_ms: float) -> None:
        call_id, self._call_id = self._call_id, ""
        self._answer_tool(call_id, output, now_ms)
