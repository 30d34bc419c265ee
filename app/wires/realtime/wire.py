"""The wire to the OpenAI Realtime API: a socket, and the codec on top of it."""

from collections.abc import Callable

from app.call.agent import Agent
from app.call.commands import ToModel
from app.call.events import Event, ModelLost, ModelOpened
from app.errors import ProtocolError
from app.wires.model import ModelWire
from app.wires.realtime.codec import decode, encode
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.socket import RealtimeSocket, connect


class RealtimeWire(ModelWire):
    """One Realtime session."""

    def __init__(
        self,
        endpoint: Endpoint,
        agent: Agent,
        *,
        feed: Callable[[Event], None],
        on_writable: Callable[[], None],
        on_malformed: Callable[[ProtocolError], None],
    ) -> None:
        self._endpoint = endpoint
        self._agent = agent
        self._feed = feed
        self._on_writable = on_writable
        self._on_malformed = on_malformed
        self._socket: RealtimeSocket | None = None  # None: no session is open
        self._closed = False

    async def connect(self) -> None:
        await connect(
            self._endpoint,
            on_opened=self._opened,
            on_message=self._take,
            on_lost=lambda reason: self._feed(ModelLost(reason)),
            on_writable=self._on_writable,
        )

    def send(self, command: ToModel) -> None:
        if self._socket is not None:
            self._socket.send(encode(command, self._agent).encode())

    def append_audio(self, payload: str) -> bool:
        socket = self._socket
        if socket is None or not socket.writable:
            return False
        # The media stream's codec has validated the payload; JSON escapes nothing of base64.
        socket.send(f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}'.encode())
        return True

    def hold(self) -> None:
        if self._socket is not None:
            self._socket.hold()

    def release(self) -> None:
        if self._socket is not None:
            self._socket.release()

    def pause(self) -> None:
        if self._socket is not None:
            self._socket.pause_reading()

    def resume(self) -> None:
        if self._socket is not None:
            self._socket.resume_reading()

    def close(self) -> None:
        self._closed = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _opened(self, socket: RealtimeSocket) -> None:
        if self._closed:
            socket.close()
            return
        self._socket = socket
        self._feed(ModelOpened())

    def _take(self, message: bytes) -> None:
        try:
            event = decode(message)
        except ProtocolError as error:
            self._on_malformed(error)
            return
        if event is not None:
            self._feed(event)
