"""The exits of a call: a goodbye, a transfer to a human, or a redirect for Twilio to press keys.

The built-in tools lead here, and so do the orders of an operator. One exit at a time; a goodbye
goes before a transfer.
"""

from collections.abc import Collection, Iterator

from app.call import prompts
from app.call.agent import Agent
from app.call.commands import Command
from app.call.deadlines import next_after
from app.call.events import OutputItemDone
from app.call.exits.farewell import Farewell
from app.call.exits.redirect import Redirect
from app.call.exits.tones import SEND_DIGITS, Tones
from app.call.exits.transfer import (
    TRANSFER,
    Transfer,
    TransferRefused,
    TransferRequest,
    read_request,
)
from app.call.heard.agent_audio import AgentAudio
from app.call.model.model import Model
from app.call.model.responses import Wanted, Wish
from app.call.outbox import Outbox

END_CALL = "end_call"
BUILT_IN = (END_CALL, TRANSFER, SEND_DIGITS)

# Which responses may be requested, by the exit that is under way.
_AT_THE_END = (Wish.GOODBYE, Wish.UNSPOKEN)
_BEFORE_A_TRANSFER = (Wish.ANNOUNCEMENT, Wish.HOLD, Wish.UNSPOKEN)
_IN_BETWEEN = tuple(wish for wish in Wish if wish not in (Wish.GOODBYE, Wish.ANNOUNCEMENT))


class _AllowedNow(Collection[Wish]):
    def __init__(self, exits: "Exits") -> None:
        self._exits = exits

    def __contains__(self, wish: object) -> bool:
        return wish in self._exits.allowed_wishes

    def __iter__(self) -> Iterator[Wish]:
        return iter(self._exits.allowed_wishes)

    def __len__(self) -> int:
        return len(self._exits.allowed_wishes)


class Exits:
    """Begins the exits, lets a barge-in take them back, and performs them when they are due."""

    def __init__(
        self,
        outbox: Outbox[Command],
        agent: Agent,
        audio: AgentAudio,
        model: Model,
    ) -> None:
        answer_tool, responses = model.answers.answer, model.responses
        self._agent = agent
        self._answer_tool = answer_tool
        responses.allow(_AllowedNow(self))
        self.farewell = Farewell(outbox, agent.language, audio, responses, answer_tool)
        self.redirect = Redirect(outbox)
        self.transfer = Transfer(audio, responses, self.redirect, answer_tool)
        self.tones = Tones(audio, self.redirect, answer_tool)

    @property
    def under_way(self) -> bool:
        """Whether a goodbye or a transfer is under way: nothing else may begin."""
        return self.farewell.under_way or self.transfer.under_way

    @property
    def ordered(self) -> bool:
        """Whether a hang-up or a redirect is ordered: no barge-in takes it back."""
        return self.farewell.hanging_up or self.redirect.ordered

    @property
    def caller_waits(self) -> bool:
        """Whether the caller waits for an exit or for tones."""
        return self.under_way or self.tones.sounding

    @property
    def reason(self) -> str:
        """Why the stream ends, if an exit ends it; empty: none does."""
        return self.redirect.reason if self.redirecting else self.farewell.reason

    @property
    def redirecting(self) -> bool:
        """Whether a redirect to other TwiML is ordered: the stream ends, the call does not."""
        return self.redirect.ordered and not self.farewell.hanging_up

    @property
    def allowed_wishes(self) -> tuple[Wish, ...]:
        """Which responses may be requested now."""
        if self.farewell.under_way:
            return _AT_THE_END
        return _BEFORE_A_TRANSFER if self.transfer.under_way else _IN_BETWEEN

    def tool_called(self, event: OutputItemDone, now_ms: float, *, cut: bool, at_s: float) -> None:
        """The model calls a built-in tool.

        Args:
            cut: A barge-in interrupted the response that calls it.
            at_s: Unix time, in seconds.
        """
        call_id, response_id = event.call_id, event.response_id
        if self.farewell.under_way:
            self._answer_tool(call_id, prompts.END_ALREADY, now_ms)
        elif self.transfer.under_way:
            self._answer_tool(call_id, prompts.TRANSFER_ALREADY, now_ms)
        elif event.name == SEND_DIGITS:
            self.tones.press(call_id, event.arguments, now_ms)
        elif cut:
            ending = event.name == END_CALL
            output = prompts.END_TAKEN_BACK if ending else prompts.TRANSFER_SUSPENDED
            self._answer_tool(call_id, output, now_ms)
        elif event.name == END_CALL:
            self.farewell.begin("agent", now_ms, call_id=call_id, response_id=response_id)
        else:
            try:
                request = read_request(event.arguments, self._agent.destinations, at_s)
            except TransferRefused as refusal:
                self._answer_tool(call_id, str(refusal), now_ms)
            else:
                self.transfer.begin(call_id, request, now_ms, response_id=response_id)

    def request_transfer(
        self, call_id: str, request: TransferRequest, now_ms: float, *, announce: bool
    ) -> bool:
        """Transfer the caller without a tool call of the model. Takes back a goodbye if it can.

        Args:
            call_id: The id under which the model gets to know what became of it.
            announce: Have the model announce it.

        Returns:
            False when a goodbye, a transfer or tones are under way.
        """
        self.farewell.take_back(now_ms)
        if self.under_way or self.tones.under_way:
            return False
        self.transfer.begin(call_id, request, now_ms, announce=announce)
        return True

    def hang_up(self, reason: str, now_ms: float) -> None:
        """End the call now, without a goodbye."""
        self.transfer.call_ends(now_ms)
        self.farewell.begin(reason, now_ms, final=True)
        self.farewell.hang_up(now_ms)

    def leave_message(self, message: str, now_ms: float) -> None:
        """Say this to an answering machine, then hang up. `message`: empty: hang up at once."""
        self.transfer.call_ends(now_ms)
        direction = message and prompts.voicemail(message)
        self.farewell.begin("voicemail", now_ms, direction=direction, final=True, in_text=message)
        if not message:
            self.farewell.hang_up(now_ms)

    def barge_in(self, now_ms: float) -> None:
        """Barge-in: take back a goodbye, suspend a transfer."""
        self.farewell.take_back(now_ms)
        self.transfer.suspend(now_ms)

    def response_ended(
        self, response_id: str, was: Wanted | None, now_ms: float, *, spoke: bool
    ) -> None:
        """A response ended: it may have been the goodbye or the announcement.

        Args:
            was: What it was requested for; None: turn detection requested it, or it was not said.
            spoke: Something of it was played, or will be.
        """
        self.farewell.response_ended(response_id, was, now_ms, spoke=spoke)
        self.transfer.response_ended(response_id, was, spoke=spoke)

    def settle(self, now_ms: float, *, model_ready: bool, model_gone: bool) -> bool:
        """Do what is due.

        Args:
            model_ready: A session is configured.
            model_gone: The model is given up for this call.

        Returns:
            True when the stream should have ended by now: end the leg.
        """
        if self.farewell.settle(now_ms, model_gone=model_gone) or self.redirect.settle(now_ms):
            return True
        if not self.farewell.under_way:
            self.transfer.settle(now_ms, model_ready=model_ready and not model_gone)
        self.tones.settle(now_ms)
        return False

    def next_ms(self, now_ms: float) -> float:
        return next_after(
            now_ms,
            self.farewell.next_ms(now_ms),
            self.redirect.next_ms(),
            self.transfer.next_ms(now_ms),
            self.tones.next_ms(now_ms),
        )
