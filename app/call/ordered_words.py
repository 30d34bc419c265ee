"""The words that an operator orders: said at the agent's next turn, or reported as left out.

Words of which the caller heard nothing are said again. Words of which a part was heard are not: a
barge-in interrupted them, and the transcript shows where. Words that a lost stream interrupted are
said by the next leg.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.call import prompts
from app.call.commands import ReportDecision
from app.call.events import SayRequested
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Turn
from app.call.model.model import Model
from app.call.model.responses import Wanted, Wish
from app.call.outbox import Outbox
from app.call.speech.agent_speech import AgentSpeech

#: How often words are requested of which the caller heard nothing.
TRIES = 3
#: The decision to report when words are not said.
LEFT_OUT = "leave out what it was to say"
#: The same when a part of them was said.
CUT_SHORT = "leave out the rest of what it was to say"


@dataclass(slots=True)
class _Words:
    order: SayRequested
    wanted: Wanted
    tries: int = 1
    #: The response that says them, or said them last; empty: none so far.
    response_id: str = ""
    #: What that response said.
    turns: Sequence[Turn] = ()


class OrderedWords:
    """Call `settle` after each event, and `unfinished` at the end of the leg."""

    def __init__(
        self,
        outbox: Outbox[ReportDecision],
        audio: AgentAudio,
        model: Model,
        speech: AgentSpeech,
    ) -> None:
        self._outbox = outbox
        self._audio = audio
        self._responses = model.responses
        self._speech = speech
        self._open: list[_Words] = []

    @property
    def open(self) -> tuple[SayRequested, ...]:
        """The words that were not heard to their end so far."""
        return tuple([words.order for words in self._open]) if self._open else ()

    def say(self, order: SayRequested) -> None:
        """Say this text exactly."""
        wanted = Wanted(Wish.SAY, prompts.say(order.text))
        queued = self._responses.queued(wanted)
        self._responses.want(wanted.wish, wanted.direction)
        if not queued:
            self._open.append(_Words(order, wanted))

    def drop_disallowed(self) -> None:
        """Remove the responses from the queue that may not be requested now. Reports the words."""
        for dropped in self._responses.drop_disallowed():
            if dropped.wish is Wish.SAY:
                self._open = [each for each in self._open if each.wanted != dropped]
                self.report(LEFT_OUT, "the agent is ending or transferring the call")

    def settle(self, now_ms: float) -> None:
        """Find out what became of the words whose response has ended."""
        if not self._open:
            return
        for words in list(self._open):
            if self._in_progress(words, now_ms):
                continue
            if any(turn.heard_bytes for turn in words.turns if turn.cut):
                self._open.remove(words)
                self.report(CUT_SHORT, "it was interrupted")
            elif words.turns and not all(turn.cut for turn in words.turns):
                self._open.remove(words)  # said
            elif words.tries < TRIES:
                words.tries, words.response_id, words.turns = words.tries + 1, "", ()
                self._responses.want(words.wanted.wish, words.wanted.direction)
            else:
                self._open.remove(words)
                self.report(LEFT_OUT, f"{TRIES} responses to say it were interrupted")

    def unfinished(self, now_ms: float) -> list[SayRequested]:
        """The leg is over, and its turns are cut to what was heard. Returns what was not said to
        its end."""
        return [
            words.order
            for words in self._open
            if self._waits(words)
            or not words.turns
            or any(turn.cut or not turn.finished for turn in words.turns)
        ]

    def _in_progress(self, words: _Words, now_ms: float) -> bool:
        """Whether the words are to be said, or the caller still hears them."""
        if self._waits(words):
            return True
        playing = self._audio.synthesizing or self._audio.heard_to_end_ms(now_ms) > now_ms
        return playing and any(not turn.cut for turn in words.turns)

    def _waits(self, words: _Words) -> bool:
        """Whether a response for the words is active, requested or queued. Notes what it says."""
        responses = self._responses
        if responses.active == words.wanted and responses.active_id is not None:
            if words.response_id != responses.active_id:
                words.response_id, words.turns = responses.active_id, ()
        words.turns = self._speech.turns_of(words.response_id) or words.turns
        return responses.waits(words.wanted)

    def report(self, decision: str, why: str) -> None:
        """Report that an order is not carried out, or not to its end."""
        self._outbox.put(ReportDecision(decision, why))
