"""The board of live calls, and the clients that follow it.

A client gets no queue of messages. The board notes which calls changed since the client's last
batch, and a batch holds the present state of those. So what waits for a client is bounded by the
number of live calls, and a client that reads slowly skips states instead of falling behind.

With other replicas there are two boards: one for the calls of this process, and one that mirrors
it and has the calls of the others as well.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import msgspec

#: Turns in one line.
MOST_TURNS = 50

#: What happens on a call, see `texts.js` for what the page says of it.
CallState = Literal[
    "dialing",  # no stream has started yet
    "agent",  # the agent speaks
    "caller",  # the caller speaks
    "paused",  # the agent was interrupted, and it is not known yet whether for good
    "thinking",  # an answer is awaited from the model or the voice
    "tool",  # a tool runs
    "listening",  # it is the caller's turn
    "transferring",  # a human is rung, or talks with the caller
    "keys",  # Twilio plays keys
    "lost",  # the model's session is lost, and is opened again
    "reconnecting",  # the media stream is lost
]


@dataclass(frozen=True, slots=True)
class Card:
    """A live call, as a line of the list shows it."""

    call_sid: str
    direction: str
    from_number: str
    to_number: str
    agent: str
    #: Unix seconds at which the call came in, or was placed.
    began_s: float
    state: CallState
    #: Of the state: the tool's name, or the destinations; empty: none.
    detail: str
    #: The last words that were heard, and who said them: user, assistant, or empty.
    words: str
    words_by: str
    #: The caller is muted, for the model and for who listens in: they enter secret digits.
    muted: bool = False


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """A turn of a live call, as it was heard so far."""

    position: int
    item_id: str
    role: str
    at_ms: float
    heard: str
    #: The rest of what the agent would have said; empty unless the turn was cut.
    unheard: str
    cut: bool
    complete: bool
    #: The name of the tool of a tool's turn, or what the turn is: see `TurnRow.extra`.
    extra: Mapping[str, object]


class LiveCall(Protocol):
    """What the board needs of a call: its present state, asked for when a batch is made."""

    def card(self) -> Card: ...

    def turns(self) -> Sequence[LiveTurn]:
        """All turns that are known, in their order."""


class Board:
    """Live calls. Call `changed` when something of a call changed.

    `mirror`: another board that has all calls of this one.
    """

    def __init__(self, mirror: "Board | None" = None) -> None:
        self.calls: dict[str, LiveCall] = {}
        #: Called when a client came, left, or follows another call.
        self.on_clients: Callable[[], None] = _ignore
        self._mirror = mirror
        # All that were put for a call, the last one last: two replicas may have it for a moment.
        self._put: dict[str, list[LiveCall]] = {}
        self._clients: set[Client] = set()

    @property
    def clients(self) -> int:
        """How many clients follow the board."""
        return len(self._clients)

    @property
    def followed(self) -> set[str]:
        """The calls whose turns are followed."""
        return {call_sid for client in self._clients for call_sid in client.followed}

    def put(self, call_sid: str, call: LiveCall) -> None:
        """A call lives from now on."""
        self.calls[call_sid] = call
        self._put.setdefault(call_sid, []).append(call)
        if self._mirror is not None:
            self._mirror.put(call_sid, call)
        self.turns_changed(call_sid)

    def remove(self, call_sid: str, call: LiveCall) -> None:
        """A call has ended. If another one was put for it, that is shown from now on."""
        if self._mirror is not None:
            self._mirror.remove(call_sid, call)
        put = self._put.get(call_sid, [])
        if call not in put:
            return
        put.remove(call)
        if put:
            self.calls[call_sid] = put[-1]
        else:
            del self._put[call_sid], self.calls[call_sid]
        self.turns_changed(call_sid)

    def changed(self, call_sid: str) -> None:
        """A call has another state."""
        for client in self._clients:
            client.note(call_sid)
        if self._mirror is not None:
            self._mirror.changed(call_sid)

    def turns_changed(self, call_sid: str) -> None:
        """A call has other turns, and so other last words."""
        for client in self._clients:
            client.note(call_sid, turns=True)
        if self._mirror is not None:
            self._mirror.turns_changed(call_sid)

    def follow(self, *call_sids: str) -> "Client":
        """A new client. `call_sids`: the calls whose turns it gets. End it with `leave`."""
        client = Client(self, call_sids)
        self._clients.add(client)
        self.on_clients()
        return client

    def close(self) -> None:
        """The service stops: end every client's stream."""
        for client in self._clients:
            client.close()

    def leave(self, client: "Client") -> None:
        """A client is gone."""
        self._clients.discard(client)
        self.on_clients()


def _ignore() -> None:
    """No one asked to know."""


class Client:
    """One follower of the board: what changed for it since its last batch."""

    def __init__(self, board: Board, call_sids: Iterable[str]) -> None:
        #: The service stops: there is no further news.
        self.closed = False
        self._board = board
        self._waiting: dict[str, None] = {}
        # Of each call that is followed: the turns that were sent.
        self._sent: dict[str, dict[int, LiveTurn]] = {}
        self._other_turns: set[str] = set()
        self._has_news = asyncio.Event()
        self.follow(call_sids)

    @property
    def followed(self) -> Set[str]:
        """The calls whose turns it gets."""
        return self._sent.keys()

    def follow(self, call_sids: Iterable[str]) -> None:
        """From now on it gets the turns of these calls, and of no others."""
        wanted = set(filter(None, call_sids))
        self._sent = {call_sid: self._sent.get(call_sid, {}) for call_sid in wanted}
        self._other_turns = wanted
        if wanted:
            self._has_news.set()

    def note(self, call_sid: str, *, turns: bool = False) -> None:
        """This call changed. `turns`: its turns did too."""
        self._waiting[call_sid] = None
        if turns and call_sid in self._sent:
            self._other_turns.add(call_sid)
        self._has_news.set()

    def close(self) -> None:
        """End the wait for news."""
        self.closed = True
        self._has_news.set()

    async def news(self) -> None:
        """Wait until something changed since the last batch, or the service stops."""
        await self._has_news.wait()

    def first(self) -> bytes:
        """The first batch: every live call."""
        self._take()
        cards = [call.card() for call in self._board.calls.values()]
        return _line({"type": "calls", "calls": cards}) + b"".join(self._turn_lines())

    def batch(self) -> bytes:
        """What changed since the last batch, as lines of JSON; empty: nothing."""
        return b"".join(self.lines())

    def lines(self) -> Iterator[bytes]:
        """The same, line by line."""
        for call_sid in self._take():
            call = self._board.calls.get(call_sid)
            if call is None:
                yield _line({"type": "ended", "call_sid": call_sid})
            else:
                yield _line({"type": "call", "call": call.card()})
        yield from self._turn_lines()

    def note_all(self) -> None:
        """As if all calls had changed."""
        for call_sid in self._board.calls:
            self.note(call_sid, turns=True)

    def _take(self) -> list[str]:
        waiting = list(self._waiting)
        self._waiting.clear()
        self._has_news.clear()
        return waiting

    def _turn_lines(self) -> Iterator[bytes]:
        """The turns of the followed calls that differ from those sent before."""
        followed, self._other_turns = self._other_turns, set()
        for call_sid in followed:
            call = self._board.calls.get(call_sid)
            if call is None or call_sid not in self._sent:
                continue
            now = {turn.position: turn for turn in call.turns()}
            before, self._sent[call_sid] = self._sent[call_sid], now
            changed = [turn for at, turn in now.items() if before.get(at) != turn]
            removed = [at for at in before if at not in now]
            for begin in range(0, max(len(changed), bool(removed)), MOST_TURNS):
                turns = changed[begin : begin + MOST_TURNS]
                line = {"type": "turns", "call_sid": call_sid, "turns": turns, "removed": removed}
                yield _line(line)
                removed = []


_encode = msgspec.json.Encoder(enc_hook=str).encode


def _line(message: Mapping[str, object]) -> bytes:
    """A message in one line. What JSON in UTF-8 cannot hold, such as a lone surrogate of a foreign
    text, is replaced."""
    try:
        return _encode(message) + b"\n"
    except UnicodeEncodeError:
        return _encode(_sendable(message)) + b"\n"


def _sendable(value: object) -> object:
    match value:
        case Card() | LiveTurn():
            return _sendable(asdict(value))
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {_sendable(key): _sendable(each) for key, each in value.items()}
        case list() | tuple():
            return [_sendable(each) for each in value]
        case _:
            return value
