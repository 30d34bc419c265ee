"""A leg's side of the model: the wire of its current session, or of the one being opened."""

from collections.abc import Callable
from dataclasses import replace

from app.audio import is_audible
from app.call.agent import Agent
from app.call.commands import ToModel
from app.call.events import AudioReceived, Event, ModelLost
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
        self._open_wire = open_wire
        self._agent = agent
        self._feed = feed
        self._on_writable = on_writable
        self._bad_message = bad_message

    async def open(self) -> None:
        """Open a session. The outcome is an event: ModelOpened, or ModelLost. A session that is
        closed or replaced meanwhile has none."""
        wire = self.wire = self._open_wire(
            self._agent,
            feed=self._take,
            on_writable=self._on_writable,
            on_malformed=lambda error: self._bad_message("the model", error),
        )
        try:
            await wire.connect()
        except ModelError as error:
            if self.wire is wire:
                self._feed(ModelLost(str(error), error.fatal))

    def _take(self, event: Event) -> None:
        """Feed an event of the wire's; first measure the loudness of its audio."""
        if isinstance(event, AudioReceived) and not is_audible(event.payload):
            event = replace(event, quiet=True)
        self._feed(event)

    def send(self, command: ToModel) -> None:
        """Perform a command. Without a session it is dropped."""
        if self.wire is not None:
            self.wire.send(command)

    def pause(self, paused: bool) -> None:
        """Stop reading from the model, or read again."""
        if self.wire is not None and paused:
            self.wire.pause()
        elif self.wire is not None:
            self.wire.resume()

    def close(self) -> None:
        if self.wire is not None:
            self.wire.close()
            self.wire = None
