"""The board of live calls, and the clients that follow it.

A client gets no queue of messages. The board notes which calls changed since the client's last
batch, and a batch holds the present state of those. So what waits for a client is bounded by the
number of live calls, and a client that reads slowly skips states instead of falling behind.

Calls of other replicas are put on the board in the same way, by whatever receives their news.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import msgspec

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
    """All live calls. Call `changed` when something of a call changed."""

    def __init__(self) -> None:
        self.calls: dict[str, LiveCall] = {}
        self._clients: set[Client] = set()

    @property
    def clients(self) -> int:
        """How many clients follow the board."""
        return len(self._clients)

    def put(self, call_sid: str, call: LiveCall) -> None:
        """A call lives from now on."""
        self.calls[call_sid] = call
        self.changed(call_sid)

    def remove(self, call_sid: str) -> None:
        """A call has ended."""
        if self.calls.pop(call_sid, None) is not None:
            self.changed(call_sid)

    def changed(self, call_sid: str) -> None:
        """A call has another state."""
        for client in self._clients:
            client.note(call_sid)

    def turns_changed(self, call_sid: str) -> None:
        """A call has other turns, and so other last words."""
        for client in self._clients:
            client.note(call_sid, turns=True)

    def follow(self, call_sid: str = "") -> "Client":
        """A new client. `call_sid`: the call whose turns it gets. End it with `leave`."""
        client = Client(self, call_sid)
        self._clients.add(client)
        return client

    def close(self) -> None:
        """The service stops: end every client's stream."""
        for client in self._clients:
            client.close()

    def leave(self, client: "Client") -> None:
        """A client is gone."""
        self._clients.discard(client)


class Client:
    """One follower of the board: what changed for it since its last batch."""

    def __init__(self, board: Board, call_sid: str) -> None:
        #: The service stops: there is no further news.
        self.closed = False
        self._board = board
        self._followed = call_sid
        self._waiting: dict[str, None] = {}
        self._turns = bool(call_sid)
        self._sent_turns: dict[int, LiveTurn] = {}
        self._has_news = asyncio.Event()

    def note(self, call_sid: str, *, turns: bool = False) -> None:
        """This call changed. `turns`: its turns did too."""
        self._waiting[call_sid] = None
        if turns and call_sid == self._followed:
            self._turns = True
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
        cards = [asdict(call.card()) for call in self._board.calls.values()]
        return _line({"type": "calls", "calls": cards}) + self._turn_lines()

    def batch(self) -> bytes:
        """What changed since the last batch, as lines of JSON; empty: nothing."""
        lines = []
        for call_sid in self._take():
            call = self._board.calls.get(call_sid)
            if call is None:
                lines.append(_line({"type": "ended", "call_sid": call_sid}))
            else:
                lines.append(_line({"type": "call", "call": asdict(call.card())}))
        return b"".join(lines) + self._turn_lines()

    def _take(self) -> list[str]:
        waiting = list(self._waiting)
        self._waiting.clear()
        self._has_news.clear()
        return waiting

    def _turn_lines(self) -> bytes:
        """The turns of the followed call that differ from those sent before."""
        call = self._board.calls.get(self._followed) if self._turns else None
        self._turns = False
        if call is None:
            return b""
        now = {turn.position: turn for turn in call.turns()}
        before, self._sent_turns = self._sent_turns, now
        changed = [asdict(turn) for at, turn in now.items() if before.get(at) != turn]
        removed = [at for at in before if at not in now]
        if not changed and not removed:
            return b""
        return _line(
            {
                "type": "turns",
                "call_sid": self._followed,
                "turns": changed,
                "removed": removed,
            }
        )


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
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {_sendable(key): _sendable(each) for key, each in value.items()}
        case list() | tuple():
            return [_sendable(each) for each in value]
        case _:
            return value
