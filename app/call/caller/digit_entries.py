"""Digit entries: they go to the tool that asked, reach a human (a lone 0), or go to the model."""

from collections.abc import Callable

from app.call import prompts
from app.call.agent import Agent
from app.call.caller.keypad import DigitEntry, Keypad
from app.call.commands import Command, GiveDigits, MuteCaller, UnmuteCaller
from app.call.deadlines import NEVER
from app.call.events import EntryAsked
from app.call.exits.transfer import TransferRequest, open_destinations
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.responses import Responses, Wanted, Wish
from app.call.model.tool_answers import ToolAnswers

#: Deadline for the prompt of an entry to be heard; then the caller's time to type begins.
PROMPT_MS = 30_000.0

RequestTransfer = Callable[[TransferRequest, float], bool]


class DigitEntries:
    """Passes on the entries that the keypad completes, and mutes the caller for secret ones."""

    def __init__(
        self,
        out: list[Command],
        agent: Agent,
        audio: AgentAudio,
        answers: ToolAnswers,
        conversation: Conversation,
        responses: Responses,
        request_transfer: RequestTransfer,
        ids: Ids,
    ) -> None:
        """
        Args:
            request_transfer: Transfers the caller without a tool call; takes the request and
                `now_ms`, returns whether the transfer began.
        """
        self.keypad = Keypad()
        self._out = out
        self._agent = agent
        self._audio = audio
        self._answers = answers
        self._conversation = conversation
        self._responses = responses
        self._request_transfer = request_transfer
        self._ids = ids
        self._muted = False
        self._prompt: Wanted | None = None
        self._prompt_by_ms = -NEVER  # until then the prompt may be heard

    def asked(self, event: EntryAsked, now_ms: float) -> None:
        """A tool asks for digits. One entry at a time: a second tool gets none."""
        calls = self._answers.calls
        if self.keypad.asked or event.call_id not in calls.open():
            self._out.append(GiveDigits(event.call_id, ""))
            return
        calls.drop_deadline(event.call_id)
        self.keypad.ask(
            event.call_id, event.length, now_ms, secret=event.secret, timeout_ms=event.timeout_ms
        )
        self._prompt_by_ms, self._prompt = now_ms + PROMPT_MS, None
        if event.prompt:
            self._prompt = Wanted(Wish.SAY, prompts.say(event.prompt))
            self._responses.want(self._prompt.wish, self._prompt.direction)

    def tool_ended(self, call_id: str, now_ms: float) -> None:
        """The tool ended, so its entry does too, if it had one."""
        self.keypad.drop(call_id, now_ms)
        self._forget_prompt()

    def settle(self, now_ms: float, *, at_s: float, muted: bool) -> None:
        """Pass on the entry that is complete, and mute or unmute the caller.

        Args:
            at_s: Unix time, in seconds.
            muted: The caller is muted for another reason.
        """
        if self.keypad.asked and now_ms < self._prompt_by_ms:
            self.keypad.prompt_ends(
                min(max(now_ms, self._audio.ledger.ends_ms), self._prompt_by_ms)
            )
            if self._responses.idle and self._audio.heard_to_end_ms(now_ms) <= now_ms:
                self._prompt_by_ms = now_ms
        if (entry := self.keypad.settle(now_ms)) is not None:
            self._entered(entry, now_ms, at_s)
        muted = muted or self.keypad.muted(now_ms)
        if muted != self._muted:
            self._muted = muted
            self._out.append(MuteCaller() if muted else UnmuteCaller())

    def _forget_prompt(self) -> None:
        """Withdraw the prompt of an entry that is over."""
        if self._prompt is not None and not self.keypad.asked:
            self._responses.withdraw(self._prompt)
            self._prompt = None

    def _entered(self, entry: DigitEntry, now_ms: float, at_s: float) -> None:
        if entry.call_id:
            self._forget_prompt()
            self._answers.calls.resume(entry.call_id, now_ms)
            self._out.append(GiveDigits(entry.call_id, entry.digits))
            return
        text = prompts.keys_pressed(entry.digits)
        destinations = self._agent.destinations
        if entry.calls_human and destinations:
            route = open_destinations(destinations, at_s)
            if not route:
                opens = min(filter(None, (each.hours.opens_next(at_s) for each in destinations)))
                text = prompts.closed_for_zero(opens)
            elif self._request_transfer(TransferRequest(route, "The caller pressed 0."), now_ms):
                return
        item_id = self._ids.own("keys")
        self._conversation.typed(item_id, text, now_ms)
        self._answers.add_caller_text(item_id, text)
