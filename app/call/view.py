"""What the bridge may ask of a call, between two events."""

from collections import Counter

from app.call import events as ev
from app.call import prompts
from app.call.agent import Agent
from app.call.caller.answering_machine import Shown
from app.call.deadlines import NEVER
from app.call.due import Due
from app.call.heard.conversation import Conversation, Turn, TurnChange
from app.call.optional_settings import Setting
from app.call.outbox import Commands
from app.call.response_flow import ResponseFlow
from app.call.succession import Succession
from app.call.usage import Usage
from app.call.wiring import Parts
from app.call.words.word_times import Pace


class CallView:
    """The state of a leg, which `CallMachine` changes."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        #: Who or what ended the leg, such as caller, agent, idle, limit, transfer, model, line,
        #: stuck, unclaimed, or the reason of `HangUpRequested`; empty while the leg lives.
        self.ended_by = ""
        #: Every turn of the leg. `transcript` cuts it to what was heard.
        self.conversation = Conversation()
        #: Orders of an operator that the leg leaves to the next one. Report them if none follows.
        self.unfinished_orders: tuple[ev.SayRequested | ev.TransferRequested, ...] = ()
        #: When to pass `TimerFired`; NEVER: not at all.
        self.next_deadline_ms = NEVER
        #: The number of the caller's sound that pauses the agent, or did and goes on: pass
        #: `CallerVoiced` and `CallerQuieted` of it, each once. 0: there is none.
        self.awaited_sound = 0
        #: `CallerQuieted` is to be passed as soon as the caller's frames hold no voice.
        self.awaits_quiet = False
        #: From then on `CallerVoiced` is to be passed as soon as the caller's frames hold enough
        #: voice, because the model reports none; NEVER: not at all.
        self.voice_awaited_ms = NEVER
        #: The session is configured: forward the caller's audio to it.
        self.hears_caller = False
        self._out_of_place: Counter[str] = Counter()
        self._commands = Commands()
        parts = Parts(agent, self._commands, self.conversation)
        self._ids = parts.ids
        self._audio = parts.audio
        self._model = parts.model
        self._link = parts.model.link
        self._responses = parts.model.responses
        self._tools = parts.model.tools
        self._speech = parts.speech
        self._exits = parts.exits
        self._entries = parts.entries
        self._floor = parts.floor
        self._barge_in = parts.barge_in
        self._evidence = parts.evidence
        self._detection = parts.detection
        self._session = parts.session
        self._stream = parts.stream
        self._idle_and_hold = parts.idle_and_hold
        self._deadlines = parts.deadlines
        self._orders = parts.orders
        self._keys = parts.keys
        self._missing = parts.missing
        self._waiting = parts.waiting
        self._silences = parts.silences
        self._flow = ResponseFlow(self._commands, parts)
        self._succession = Succession(self._commands, parts)
        self._due = Due(self._commands, parts, self._flow, self._succession)
        self._opened = ev.LegOpened()
        self._opened_ms = 0.0
        self._over = False

    @property
    def usage(self) -> Usage:
        """What the leg has used so far."""
        first, *others = self._speech.synthesis.characters or [0]
        return self._flow.usage + Usage(
            voice_characters=first + sum(others), fallback_characters=sum(others)
        )

    @property
    def connected(self) -> bool:
        """Whether the caller is on the line."""
        return self._stream.connected and not self._over

    @property
    def over(self) -> bool:
        """Whether the leg has ended: `handle` ignores all events from then on."""
        return self._over

    @property
    def redirecting(self) -> bool:
        """Whether a redirect to other TwiML is ordered: the stream ends, the call does not."""
        return self._exits.redirecting

    @property
    def leaving(self) -> bool:
        """Whether the agent says goodbye or transfers the caller: nothing else may begin."""
        return self._exits.under_way

    @property
    def hanging_up(self) -> bool:
        """Whether the hang-up is ordered: nothing takes it back."""
        return self._exits.hanging_up

    @property
    def without_model(self) -> bool:
        """Whether the model is given up: the bridge has to help the caller without it."""
        return bool(self._link.fatal) or self._exits.reason == "model"

    @property
    def last_words(self) -> str:
        """The goodbye that TwiML has to say, because the model did not; empty: none."""
        return self._exits.last_words

    @property
    def paces(self) -> list[Pace]:
        """How the agent's external voices speak, in the order of `Agent.voices`."""
        return self._speech.synthesis.paces

    @property
    def left_out(self) -> tuple[Setting, ...]:
        """The settings that the sessions of this leg do not get, because the model refuses them."""
        return tuple(sorted(self._model.settings.left_out))

    @property
    def refused_settings(self) -> frozenset[Setting]:
        """Of these, what the model itself named: it refuses them on every call."""
        return self._model.settings.named

    @property
    def out_of_place(self) -> Counter[str]:
        """Events that came when they could not mean anything, by event and state."""
        exits = {f"{trigger} in {state}": n for (state, trigger), n in self._exits.illegal.items()}
        return self._out_of_place + Counter(exits)

    def is_at_rest(self, now_ms: float) -> bool:
        """Whether a next leg can go on from here with nothing lost: the agent does not speak or
        answer, no tool runs, and no goodbye, transfer, keys or secret entry is under way."""
        exits = self._exits
        if exits.under_way or exits.redirect_ordered or exits.pressing_keys:
            return False
        if self.masks_keys(now_ms) or self._model.tools.open():
            return False
        return self._model.responses.idle and now_ms >= self._audio.heard_to_end_ms(now_ms)

    def refusal(self, order: ev.SayRequested | ev.TransferRequested) -> str:
        """Why this order of an operator cannot be carried out now; empty: it can be. An order that
        is refused here has no effect in `handle`."""
        if not self.connected and not self._exits.redirecting:
            return "the caller does not talk with the agent now"
        return self._orders.refusal(order)

    def masks_keys(self, now_ms: float) -> bool:
        """Whether a key pressed now belongs to a secret entry: mask it before `handle` takes it."""
        return self._entries.keypad.secret(now_ms)

    def secret_entry(self, now_ms: float) -> str:
        """The call_id of the tool whose secret entry counts a key pressed now; empty: none does,
        or the key would be dropped."""
        if self._over or self._barge_in.drops_keys(now_ms):
            return ""
        return self._entries.keypad.secret_entry

    @property
    def open_entry(self) -> ev.OpenEntry | None:
        """For `LegOpened.entry` of the next leg."""
        return self._entries.keypad.open_entry()

    @property
    def open_orders(self) -> tuple[ev.SayRequested | ev.TransferRequested, ...]:
        """Orders of an operator that are not carried out so far. Once the leg is over, they are
        `unfinished_orders`."""
        return self.unfinished_orders if self._over else self._orders.open

    def shown(self, now_ms: float) -> str:
        """For `LegOpened.shown` of the next leg."""
        return Shown.NOTHING if self._floor.voicemail else self._evidence.shown(now_ms)

    def transcript(self, now_ms: float) -> list[Turn]:
        """The turns of this leg, as heard by now."""
        return self.conversation.heard(self._audio.ledger, now_ms)

    def take_changes(self, now_ms: float) -> list[TurnChange]:
        """What changed in `transcript` since the last call of this. For the recorder alone."""
        return self.conversation.take_changes(self._audio.ledger, now_ms)

    def history(self, now_ms: float) -> tuple[tuple[str, str], ...]:
        """The whole call so far, for a session that knows nothing of it: (role, text)."""
        return (*self._opened.history, *prompts.as_messages(self.transcript(now_ms)))
