"""The goodbye: said by the model, heard to its last mark, then the hang-up over REST.

When the model does not say it, TwiML says it: the stream is closed, and Twilio requests the
`<Connect>` action URL. `transitions` decides which of these happens.
"""

from dataclasses import dataclass

from app.call import prompts
from app.call.commands import CloseStream, HangUp, ReportDecision
from app.call.exits.last_words import LastWords
from app.call.heard.agent_audio import AgentAudio
from app.call.model.model import Model
from app.call.model.responses import Wish
from app.call.outbox import Outbox
from app.call.prompts import TakenBack


@dataclass(slots=True)
class Goodbye:
    """Why the call ends, and the goodbye before that."""

    #: Becomes `CallMachine.ended_by`.
    reason: str
    words: LastWords
    #: The end_call to answer; empty: none.
    call_id: str = ""
    #: Request a goodbye with this direction; empty: expect it in the response of `words`.
    direction: str = ""
    #: What TwiML says if the model does not; empty: a plain goodbye.
    in_text: str = ""


class Farewell:
    """Performs what `transitions.EXIT` decides about the end of the call."""

    def __init__(
        self,
        outbox: Outbox[HangUp | CloseStream | ReportDecision],
        language: str,
        audio: AgentAudio,
        model: Model,
    ) -> None:
        """
        Args:
            language: `Agent.language`: of the goodbye that TwiML says.
        """
        #: The goodbye that TwiML has to say before it hangs up; empty: none.
        self.last_words = ""
        self._outbox = outbox
        self._language = language
        self._audio = audio
        self._responses = model.responses
        self._answers = model.answers
        self._goodbye = Goodbye("", LastWords(Wish.GOODBYE, 0.0))

    @property
    def reason(self) -> str:
        """Why the call ends; empty: it does not."""
        return self._goodbye.reason

    @property
    def words(self) -> LastWords:
        """The goodbye that the caller has to hear."""
        return self._goodbye.words

    def begin(self, goodbye: Goodbye, now_ms: float) -> None:
        """Decide to end the call, or to end it for another reason."""
        self._answer_ended(now_ms)  # the end_call of the reason before
        self._goodbye = goodbye
        self.words.expected(self._audio)
        self._responses.unwant(Wish.NUDGE, Wish.HOLD, Wish.WARNING, Wish.REPLY)
        if goodbye.direction:
            self._responses.unwant(Wish.GOODBYE)  # of the reason before
            self._responses.want(Wish.GOODBYE, goodbye.direction)

    def request(self, now_ms: float) -> None:
        """Request a goodbye: the response that called end_call contains none."""
        self._answer(prompts.END_UNSPOKEN, now_ms)
        self._responses.want(Wish.GOODBYE, prompts.GOODBYE)

    def take_back(self, why: TakenBack, now_ms: float) -> None:
        """The call goes on."""
        self._responses.unwant(Wish.GOODBYE)
        self._answer(prompts.end_taken_back(why), now_ms)
        self._goodbye = Goodbye("", LastWords(Wish.GOODBYE, now_ms))

    def hang_up(self, now_ms: float) -> None:
        """Hang up over REST."""
        self._answer_ended(now_ms)
        self._outbox.put(HangUp(self.reason))

    def leave_to_twiml(self, why: str, now_ms: float) -> None:
        """Close the stream, and have TwiML say the goodbye. `why`: for the record and the log."""
        self.last_words = self._goodbye.in_text or prompts.goodbye_in(self._language)
        self._answer(prompts.END_FORCED, now_ms)
        self._outbox.put(ReportDecision("let Twilio say the goodbye", why))
        self.close(self.reason)

    def close(self, why: str) -> None:
        """Close the stream: Twilio goes on with the TwiML behind it."""
        self._outbox.put(CloseStream(why))

    def report_no_effect(self, why: str) -> None:
        """Report that the stream is closed because a hang-up did not end it."""
        self._outbox.put(ReportDecision("close the stream", why))

    def _answer_ended(self, now_ms: float) -> None:
        heard = self.words.heard(self._audio, now_ms)
        self._answer(prompts.END_DONE if heard else prompts.END_FORCED, now_ms)

    def _answer(self, output: str, now_ms: float) -> None:
        """Answer end_call, unless it is answered or none asked for the goodbye."""
        self._answers.answer(self._goodbye.call_id, output, now_ms)
