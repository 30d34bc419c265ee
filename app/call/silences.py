"""Silences: the caller hears nothing and does not speak, and why.

Measured on what was heard: by the playback ledger, and by the caller's frames. A silence begins
with the end of a sound or of the caller's voice. It ends with a sound, with the caller's own
speech, or with the leg. One that was longer than `LEAST_MS` is reported, with the cause that
lasted longest in it.
"""

from app.call.commands import Cause, ReportSilence
from app.call.deadlines import NEVER
from app.call.heard.agent_audio import AgentAudio
from app.call.outbox import Outbox
from app.call.speech.agent_speech import AgentSpeech
from app.call.waiting import Waiting

#: Shorter silences are pauses of a conversation.
LEAST_MS = 4000.0
#: More than a byte, which positions in the playback ledger are rounded to.
ROUNDED_MS = 1.0


class Silences:
    """Call `begin` once, then `sound_over` before each event that comes after `heard_until_ms`, and
    `look` after each event; deltas need it only while the caller hears nothing."""

    def __init__(
        self,
        outbox: Outbox[ReportSilence],
        audio: AgentAudio,
        speech: AgentSpeech,
        waiting: Waiting,
    ) -> None:
        #: The end of what the caller hears, as far as is known; NEVER before `begin`.
        self.heard_until_ms = NEVER
        self._outbox = outbox
        self._audio = audio
        self._speech = speech
        self._waiting = waiting
        self._running = False
        self._looked_ms = 0.0
        self._spoke_ms = 0.0  # when the caller began to speak, or pressed keys last
        self._cause: Cause | None = None
        self._lasted_ms: dict[Cause, float] = {}

    def begin(self, now_ms: float, *, reports: bool) -> None:
        """The caller is on the line, and hears nothing so far. `reports`: False: count nothing."""
        if not reports:
            return
        self._running = True
        self.heard_until_ms = self._looked_ms = now_ms
        self._cause = self._present_cause(now_ms)

    def sound_over(self, now_ms: float) -> None:
        """What plays may be longer by now than it was at the last look; or it does not play."""
        self.heard_until_ms = self._audio.sound_ends_ms
        if self._cause is not None and self._is_stuck(now_ms):
            self._cause = "network"

    def look(self, now_ms: float) -> None:
        """Something happened: count the silence up to now, and report it if it is over."""
        if not self._running:
            return
        spoke = self._cause is None
        self._count(now_ms)
        self._cause = self._present_cause(now_ms)
        if self._cause is None and (not spoke or self._waiting.types):
            self._spoke_ms = now_ms
        elif self._cause is not None and spoke:
            self._begin_after_voice(self._cause, now_ms)
        self.heard_until_ms = self._audio.sound_ends_ms
        if self._cause is None or self.heard_until_ms > now_ms:
            self._over()

    def end(self, now_ms: float) -> None:
        """The leg is over."""
        if self._running:
            self._count(now_ms)
            self._over()
            self._running, self.heard_until_ms = False, NEVER

    def _count(self, now_ms: float) -> None:
        silent_ms = now_ms - max(self._looked_ms, self.heard_until_ms)
        self._looked_ms = now_ms
        if silent_ms > 0 and self._cause is not None:
            self._lasted_ms[self._cause] = self._lasted_ms.get(self._cause, 0.0) + silent_ms

    def _begin_after_voice(self, cause: Cause, now_ms: float) -> None:
        """The caller's speech is over: the silence began when their voice ended."""
        voice_ended_ms = self._waiting.voice_ended_ms
        if voice_ended_ms < self._spoke_ms:
            return  # of speech before; since then they pressed a key, or their speech was lost
        silent_ms = now_ms - max(voice_ended_ms, self.heard_until_ms)
        if silent_ms > 0:
            self._lasted_ms[cause] = silent_ms

    def _over(self) -> None:
        length_ms = sum(self._lasted_ms.values())
        if length_ms > LEAST_MS:
            cause = max(self._lasted_ms, key=self._lasted_ms.__getitem__)
            self._outbox.put(ReportSilence(cause, round(length_ms, 3)))
        self._lasted_ms.clear()

    def _present_cause(self, now_ms: float) -> Cause | None:
        """Why the caller hears nothing, if they do; None: they speak."""
        cause = self._waiting.cause
        if cause is not None and self._is_stuck(now_ms):
            return "network"
        if cause == "model" and self._speech.sends_quiet_audio:
            return "quiet_audio"
        if cause == "model" and self._speech.synthesis.busy:
            return "voice"
        return cause

    def _is_stuck(self, now_ms: float) -> bool:
        """Whether Twilio takes no audio, or does not play what it took: a mark is overdue."""
        audio, ledger = self._audio, self._audio.ledger
        if audio.waiting and not audio.is_open:
            return True
        if now_ms <= ledger.ends_ms:  # what was sent may still play, and no mark is due before
            return False
        if audio.mark_overdue(now_ms):
            return True
        return now_ms > ledger.ends_ms + ROUNDED_MS and ledger.playing(now_ms)
