"""A leg's side of the model: the wire of its current session, and of the one that takes over."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from app.bridge.leg.reused_ids import ReusedIds
from app.call.agent import Agent
from app.call.commands import (
    CloseModel,
    CloseSuccessor,
    ConfigureSession,
    ConfigureSuccessor,
    ToModel,
)
from app.call.events import (
    Event,
    ModelFaulted,
    ModelLost,
    ModelOpened,
    SessionConfigured,
    SessionCreated,
    SuccessorConfigured,
    SuccessorCreated,
    SuccessorLost,
    SuccessorOpened,
)
from app.errors import ModelError, ProtocolError
from app.wires.model import ModelWire, OpenWire


class ModelSide:
    """`feed`: gives an event to the machine. `on_writable`: the wire takes audio again.
    `bad_message`: counts a malformed message."""

    def __init__(
        self,
        open_wire: OpenWire,
        agent: Agent,
        feed: Callable[[Event], None],
        on_writable: Callable[[], None],
        bad_message: Callable[[str, ProtocolError], None],
    ) -> None:
        #: None: no session is open, nor being opened.
        self.wire: ModelWire | None = None
        #: The wire of the session that takes over, open or being opened; None: there is none.
        self.successor: ModelWire | None = None
        self._open_wire = open_wire
        self._agent = agent
        self._feed = feed
        self._on_writable = on_writable
        self._bad_message = bad_message
        self._ids = ReusedIds()

    async def open(self) -> None:
        """Open a session. The outcome is an event: ModelOpened, or ModelLost. A session that is
        closed or replaced meanwhile has none."""
        self.wire = self._new_wire()
        self._ids.next_session()
        await self._connect(self.wire)

    async def open_successor(self) -> None:
        """Open the session that takes over. The outcome is SuccessorOpened or SuccessorLost."""
        self.successor = self._new_wire()
        await self._connect(self.successor)

    def _new_wire(self) -> ModelWire:
        def feed(event: Event) -> None:
            if wire is self.wire:
                self._feed(self._ids.inward(event))
            else:
                self._take_of_other(wire, event)

        wire = self._open_wire(
            self._agent,
            feed=feed,
            on_writable=self._on_writable,
            on_malformed=lambda error: self._bad_message("the model", error),
        )
        return wire

    async def _connect(self, wire: ModelWire) -> None:
        try:
            await wire.connect()
        except ModelError as error:
            lost = ModelLost(str(error), error.fatal)
            if wire is self.wire:
                self._feed(lost)
            else:
                self._take_of_other(wire, lost)

    def _take_of_other(self, wire: ModelWire, event: Event) -> None:
        """An event of a wire that is not the session's: of the successor's; one that was closed or
        replaced has nothing to say any more."""
        if wire is self.successor and (translated := _of_successor(event)) is not None:
            if isinstance(translated, SuccessorLost):
                self._close_successor()
            self._feed(translated)

    def perform(self, command: ToModel | CloseModel | ConfigureSuccessor | CloseSuccessor) -> None:
        """Perform a command. Without its session it is dropped."""
        match command:
            case CloseModel():
                self.close()
            case CloseSuccessor():
                self._close_successor()
            case ConfigureSuccessor(event_id, speaks, without):
                if self.successor is not None:
                    self.successor.send(ConfigureSession(event_id, speaks, without))
            case _:
                if self.wire is not None:
                    self.wire.send(self._ids.outward(command))

    def one_write(self) -> AbstractContextManager[None]:
        """Within it the session's wire keeps what it is to send, and sends it at the end."""
        return _OneWrite(self.wire)

    def swap(self) -> None:
        """The successor takes over; close the session before it."""
        before, self.wire, self.successor = self.wire, self.successor, None
        self._ids.next_session()
        if before is not None:
            before.close()

    def pause(self, paused: bool) -> None:
        """Stop reading from the model, or read again."""
        if self.wire is not None and paused:
            self.wire.pause()
        elif self.wire is not None:
            self.wire.resume()

    def close(self) -> None:
        """Close the current session, and the one that was to take over."""
        self._close_successor()
        if self.wire is not None:
            self.wire.close()
            self.wire = None

    def _close_successor(self) -> None:
        if self.successor is not None:
            self.successor.close()
            self.successor = None


class _OneWrite(AbstractContextManager[None]):
    """Not a generator, which would take longer than a frame: under load many reads enter it."""

    def __init__(self, wire: ModelWire | None) -> None:
        self._wire = wire

    def __enter__(self) -> None:
        if self._wire is not None:
            self._wire.hold()

    def __exit__(self, *_: object) -> None:
        if self._wire is not None:
            self._wire.release()


def _of_successor(event: Event) -> Event | None:
    """What an event of the successor's wire means for the call. It was sent its settings alone, so
    whatever it refuses are those."""
    match event:
        case ModelOpened():
            return SuccessorOpened()
        case SessionCreated(session_id, expires_at_s):
            return SuccessorCreated(session_id, expires_at_s)
        case SessionConfigured():
            return SuccessorConfigured()
        case ModelFaulted(message=message, setting=setting):
            return SuccessorLost(f"settings refused: {message}", refused=True, setting=setting)
        case ModelLost(reason):
            return SuccessorLost(reason)
    return None
