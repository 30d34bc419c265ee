"""Silence and time: idle prompts, hold tones, and the warning and goodbye of the longest call."""

from app.audio import HOLD_TONE, base64_size
from app.call import prompts
from app.call.agent import Limits
from app.call.caller.clocks import CallLength, HoldClock, IdleClock
from app.call.deadlines import next_after
from app.call.exits.exits import Exits
from app.call.heard.agent_audio import OWN_SOUND, AgentAudio
from app.call.model.responses import Responses, Wish


class IdleAndHold:
    """Runs one clock at a time: the hold clock while the caller waits, the idle clock while the
    agent listens, none while the caller speaks or types. Both count from the end of what plays."""

    def __init__(
        self, limits: Limits, audio: AgentAudio, responses: Responses, exits: Exits
    ) -> None:
        self._limits = limits
        self._audio = audio
        self._responses = responses
        self._exits = exits
        self._idle = IdleClock(limits)
        self._hold = HoldClock(limits)
        self._length = CallLength(limits)

    def start(self, now_ms: float) -> None:
        """The caller is on the line."""
        self._length.start(now_ms)

    def caller_spoke(self) -> None:
        """The caller spoke or pressed a key: the idle prompts count from 0 again."""
        self._idle.caller_spoke()

    def run(
        self,
        now_ms: float,
        *,
        caller_acts: bool,
        waits: bool,
        model_can_speak: bool,
        leaves: bool,
    ) -> None:
        """Do what is due.

        Args:
            caller_acts: The caller speaks or types.
            waits: The caller waits for the agent.
            model_can_speak: The model could say that it is still working on it.
            leaves: A transfer is under way; it ends the agent's part of the call as well.
        """
        if not self._exits.hanging_up and not leaves:
            self._keep_length(now_ms)
        if caller_acts or self._exits.hanging_up:
            self._idle.stop()
            self._hold.stop()
        elif waits:
            self._idle.stop()
            self._keep_on_hold(now_ms, model_can_speak=model_can_speak)
        else:
            self._hold.stop()
            self._listen(now_ms)

    def next_ms(self, now_ms: float) -> float:
        length = self._length
        return next_after(
            now_ms,
            self._idle.due_ms,
            self._hold.due_ms,
            length.warning_due_ms,
            length.end_due_ms,
        )

    def _keep_length(self, now_ms: float) -> None:
        if now_ms >= self._length.end_due_ms:
            self._length.ended()
            self._exits.limit_reached(now_ms)
        elif now_ms >= self._length.warning_due_ms:
            self._length.warned()
            if not self._exits.under_way:
                self._responses.want(Wish.WARNING, prompts.warning(self._limits.warning_ms))

    def _keep_on_hold(self, now_ms: float, *, model_can_speak: bool) -> None:
        self._hold.run(now_ms, self._audio.ledger.ends_ms)
        if now_ms < self._hold.due_ms or self._audio.waiting:
            return
        if self._hold.fire(model_can_speak=model_can_speak and self._responses.idle):
            self._play_tone(now_ms)
        else:
            self._responses.want(Wish.HOLD, prompts.HOLD)

    def comfort(self, now_ms: float) -> None:
        """Play the hold tone now, unless something plays."""
        if self._audio.is_open and not self._audio.ledger.playing(now_ms):
            self._play_tone(now_ms)

    def _play_tone(self, now_ms: float) -> None:
        self._audio.play(OWN_SOUND, HOLD_TONE, base64_size(HOLD_TONE), now_ms)
        self._audio.finish(OWN_SOUND, now_ms)
        self._hold.run(now_ms, self._audio.ledger.ends_ms)

    def _listen(self, now_ms: float) -> None:
        self._idle.run(max(now_ms, self._audio.ledger.ends_ms))
        if now_ms < self._idle.due_ms:
            return
        if self._idle.fire():
            self._responses.want(Wish.NUDGE, prompts.NUDGE)
        else:
            self._exits.caller_idle(now_ms)
