"""A leg's side of the model: its current Realtime session, or the one that is being opened."""

from collections.abc import Callable

from app.call.events import Event, ModelLost, ModelOpened
from app.errors import ModelError, ProtocolError
from app.wires.realtime import codec as realtime
from app.wires.realtime import socket as client
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.socket import RealtimeSocket


class ModelSide:
    """`feed`: gives an event to the machine. `on_writable`: the socket takes audio again.
    `bad_message`: counts a malformed message."""

    def __init__(
        self,
        endpoint: Endpoint,
        feed: Callable[[Event], None],
        on_writable: Callable[[], None],
        bad_message: Callable[[str, ProtocolError], None],
    ) -> None:
        #: None: no session is open.
        self.socket: RealtimeSocket | None = None
        self._endpoint = endpoint
        self._feed = feed
        self._on_writable = on_writable
        self._bad_message = bad_message

    async def open(self) -> None:
        """Open a session. The outcome is an event: ModelOpened, or ModelLost."""
        try:
            await client.connect(
                self._endpoint,
                on_opened=self._opened,
                on_message=self._take,
                on_lost=lambda reason: self._feed(ModelLost(reason)),
                on_writable=self._on_writable,
            )
        except ModelError as error:
            self._feed(ModelLost(str(error), error.fatal))

    def send(self, message: str) -> None:
        """Send a client event. Without a session it is dropped."""
        if self.socket is not None:
            self.socket.send(message.encode())

    def pause(self, paused: bool) -> None:
        """Stop reading from the model, or read again."""
        if self.socket is not None and paused:
            self.socket.pause_reading()
        elif self.socket is not None:
            self.socket.resume_reading()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _opened(self, socket: RealtimeSocket) -> None:
        self.socket = socket
        self._feed(ModelOpened())

    def _take(self, message: bytes) -> None:
        try:
            event = realtime.decode(message)
        except ProtocolError as error:
            self._bad_message("the model", error)
            return
        if event is not None:
            self._feed(event)
