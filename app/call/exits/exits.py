"""How the caller leaves the agent: by a goodbye, to a human, or while Twilio presses keys.

The built-in tools end up here, and whoever else may end or hand over a call. One way at a time; the
goodbye comes first.
"""

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
from app.call.model.responses import Responses, Wanted, Wish
from app.call.model.tool_answers import AnswerTool

END_CALL = "end_call"
BUILT_IN = (END_CALL, TRANSFER, SEND_DIGITS)

_AT_THE_END = (Wish.GOODBYE, Wish.UNSPOKEN)
_BEFORE_A_TRANSFER = (Wish.ANNOUNCEMENT, Wish.HOLD, Wish.UNSPOKEN)
_IN_BETWEEN = tuple(wish for wish in Wish if wish not in (Wish.GOODBYE, Wish.ANNOUNCEMENT))


class Exits:
    """Told of what the agent and the caller say. `answer_tool(call_id, output, now_ms)` tells the
    model how it went."""

    def __init__(
        self,
        out: list[Command],
        agent: Agent,
        audio: AgentAudio,
        responses: Responses,
        answer_tool: AnswerTool,
    ) -> None:
        self._agent = agent
        self._answer_tool = answer_tool
        self.farewell = Farewell(out, agent.language, audio, responses, answer_tool)
        self.redirect = Redirect(out)
        self.transfer = Transfer(audio, responses, self.redirect, answer_tool)
        self.tones = Tones(audio, self.redirect, answer_tool)

    @property
    def under_way(self) -> bool:
        """Whether the conversation is about to end or to pause: nothing else is to be begun."""
        return self.farewell.under_way or self.transfer.under_way

    @property
    def decided(self) -> bool:
        """Past the point where the caller's speech could change anything."""
        return self.farewell.hanging_up or self.redirect.ordered

    @property
    def keeps_waiting(self) -> bool:
        """Whether the caller waits for it."""
        return self.under_way or self.tones.sounding

    @property
    def reason(self) -> str:
        """What the end of the stream is due to, if it is due to us."""
        return self.redirect.reason if self.redirecting else self.farewell.reason

    @property
    def redirecting(self) -> bool:
        """Whether Twilio was told to go on with other TwiML: the stream's end is not the call's."""
        return self.redirect.ordered and not self.farewell.hanging_up

    @property
    def allowed_wishes(self) -> tuple[Wish, ...]:
        """What may be said at this point of the call."""
        if self.farewell.under_way:
            return _AT_THE_END
        return _BEFORE_A_TRANSFER if self.transfer.under_way else _IN_BETWEEN

    def tool_called(self, event: OutputItemDone, now_ms: float, *, cut: bool, at_s: float) -> None:
        """The model calls a built-in tool. `cut`: the caller spoke over that response. `at_s`: Unix
        time."""
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
        """Hand the caller over though no model asked for it. False when it is too late, or under
        way."""
        self.farewell.caller_spoke(now_ms)
        if self.under_way or self.tones.under_way:
            return False
        self.transfer.begin(call_id, request, now_ms, announce=announce)
        return True

    def hang_up(self, reason: str, now_ms: float) -> None:
        """End the call now."""
        self.transfer.call_ends(now_ms)
        self.farewell.begin(reason, now_ms, final=True)
        self.farewell.hang_up(now_ms)

    def leave_message(self, message: str, now_ms: float) -> None:
        """Say this to an answering machine, or nothing, and hang up."""
        self.transfer.call_ends(now_ms)
        direction = message and prompts.voicemail(message)
        self.farewell.begin("voicemail", now_ms, direction=direction, final=True, in_text=message)
        if not message:
            self.farewell.hang_up(now_ms)

    def caller_spoke(self, now_ms: float) -> None:
        """The caller spoke or typed while the agent did not expect it."""
        self.farewell.caller_spoke(now_ms)
        self.transfer.caller_spoke(now_ms)

    def response_ended(
        self, response_id: str, was: Wanted | None, now_ms: float, *, spoke: bool
    ) -> None:
        """A response ended, and `spoke` or not: was it what the caller had to hear?"""
        self.farewell.response_ended(response_id, was, now_ms, spoke=spoke)
        self.transfer.response_ended(response_id, was, spoke=spoke)

    def settle(self, now_ms: float, *, model_ready: bool, model_gone: bool) -> bool:
        """Do what is due. `model_gone`: the model is of no use to this call any more. Returns True
        when nothing more can be done but to let go."""
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
