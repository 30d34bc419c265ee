"""What the caller's keys lead to: a tool's answer, a human, or words for the agent."""

from collections.abc import Callable

from app.call import directions
from app.call.agent import Agent
from app.call.commands import Command, GiveDigits, MuteCaller, UnmuteCaller
from app.call.conversation import Conversation
from app.call.events import EntryAsked
from app.call.keypad import Entry, Keypad
from app.call.responses import Responses, Wish
from app.call.tool_answers import ToolAnswers
from app.call.transfer import Handing, anybody

CallHuman = Callable[[Handing, float], None]


class Entries:
    """`call_human(handing, now_ms)`: the caller pressed a lone 0, and somebody is there."""

    def __init__(
        self,
        out: list[Command],
        agent: Agent,
        answers: ToolAnswers,
        conversation: Conversation,
        responses: Responses,
        call_human: CallHuman,
        new_id: Callable[[str], str],
    ) -> None:
        self.keypad = Keypad()
        self._out = out
        self._agent = agent
        self._answers = answers
        self._conversation = conversation
        self._responses = responses
        self._call_human = call_human
        self._new_id = new_id
        self._muted = False

    @property
    def under_way(self) -> bool:
        """Whether the caller types, or is to type."""
        return self.keypad.typing or self.keypad.asked

    def asked(self, event: EntryAsked, now_ms: float) -> None:
        """A tool wants digits."""
        calls = self._answers.calls
        if self.keypad.asked or event.call_id not in calls.open():
            self._out.append(GiveDigits(event.call_id, ""))
            return
        calls.keep(event.call_id)
        self.keypad.ask(
            event.call_id, event.length, now_ms, secret=event.secret, timeout_ms=event.timeout_ms
        )
        if event.prompt:
            self._responses.want(Wish.SAY, directions.say(event.prompt))

    def settle(self, now_ms: float, *, at_s: float, muted: bool) -> None:
        """Do what is due. `at_s`: Unix time. `muted`: there is another reason not to listen."""
        if (entry := self.keypad.settle(now_ms)) is not None:
            self._entered(entry, now_ms, at_s)
        muted = muted or self.keypad.muted(now_ms)
        if muted != self._muted:
            self._muted = muted
            self._out.append(MuteCaller() if muted else UnmuteCaller())

    def _entered(self, entry: Entry, now_ms: float, at_s: float) -> None:
        if entry.call_id:
            self._answers.calls.resume(entry.call_id, now_ms)
            self._out.append(GiveDigits(entry.call_id, entry.digits))
            return
        text = directions.keys_pressed(entry.digits)
        destinations = self._agent.destinations
        if entry.calls_human and destinations:
            if route := anybody(destinations, at_s):
                self._call_human(Handing(route, "The caller pressed 0."), now_ms)
                return
            opens = min(filter(None, (each.hours.opens_next(at_s) for each in destinations)))
            text = directions.nobody_for_zero(opens)
        item_id = self._new_id("keys")
        self._conversation.typed(item_id, text, now_ms)
        self._answers.tell(item_id, text)
