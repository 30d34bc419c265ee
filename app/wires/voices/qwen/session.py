"""A Qwen session: a WebSocket whose settings the server has accepted, and the task that reads it.

DashScope: Qwen-TTS Realtime API. There is no documented cancel: to drop a text, close its session.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.protocol import State

from app.errors import ProtocolError, VoiceError
from app.wires.voices.connect import CLOSE_S, open_websocket, websocket_lost
from app.wires.voices.qwen.codec import (
    ClientEvents,
    Event,
    Failed,
    SessionCreated,
    SessionFinished,
    SessionUpdated,
    decode,
)
from app.wires.voices.qwen.errors import handshake_refused, setup_refused
from app.wires.voices.qwen.settings import QwenSettings

#: Deadline from the handshake to `session.updated`.
UPDATED_S = 3.0
#: Events that are read ahead of `next_event`; beyond them the socket is not read.
_EVENTS_AHEAD = 32
_SANE_HZ = range(8000, 48001)


class QwenSession:
    """An open session. It says one text at a time: `send_text`, `next_event` until the text ends,
    then `set_idle` or `close`.

    `on_lost` is called once if the session ends while it is idle. Call `close` then as well.
    """

    def __init__(
        self,
        socket: ClientConnection,
        events: ClientEvents,
        session_id: str,
        hz: int,
        opened_ms: float,
        on_lost: Callable[["QwenSession"], None],
    ) -> None:
        self.session_id = session_id
        #: Sample rate of the session's sound.
        self.hz = hz
        #: How long it took to open the session, handshake included.
        self.opened_ms = opened_ms
        self._socket = socket
        self._client_events = events
        self._on_lost = on_lost
        #: A text is being said: events go to `next_event`.
        self._speaking = False
        self._ended = False
        #: No event is delivered any more.
        self._discarded = False
        self._events: asyncio.Queue[Event | VoiceError] = asyncio.Queue(_EVENTS_AHEAD)
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        """Whether a text can be sent."""
        return not self._ended and self._socket.state is State.OPEN

    async def send_text(self, text: str, *, last: bool) -> None:
        """Send a text to be said. `last`: end the session after it.

        Raises:
            VoiceError: the connection is lost.
        """
        self._clear_events()
        self._speaking = True
        try:
            await self._socket.send(self._client_events.append(text))
            await self._socket.send(
                self._client_events.finish() if last else self._client_events.commit()
            )
        except ConnectionClosed as closed:
            raise websocket_lost("Qwen", closed) from None

    async def next_event(self) -> Event:
        """The next event of the text.

        Raises:
            VoiceError: the session is lost, or the server violated its protocol.
        """
        event = await self._events.get()
        if isinstance(event, VoiceError):
            raise event
        return event

    def set_idle(self) -> None:
        """Call it after a text's last event, to keep the session for another text."""
        self._speaking = False
        self._clear_events()

    async def close(self) -> None:
        """Close the socket, waiting `CLOSE_S` at most. Events that still arrive are discarded."""
        self.discard()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()
        await self._reading

    def discard(self) -> None:
        """Discard all further events, without waiting. A pending `next_event` raises VoiceError.
        Call `close` afterwards."""
        self._ended = self._discarded = True
        self._clear_events()
        self._events.put_nowait(VoiceError("the line to Qwen was closed"))

    def _clear_events(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()

    async def _read(self) -> None:
        failure = None
        while failure is None:
            try:
                failure = await self._take(await self._socket.recv())
            except ConnectionClosed as closed:
                failure = websocket_lost("Qwen", closed)
        self._ended = True
        if self._speaking and not self._discarded:
            await self._events.put(failure)
        elif not self._discarded:
            self._on_lost(self)
        await self._drain()

    async def _take(self, frame: str | bytes) -> VoiceError | None:
        """Handle one frame. Returns the error if it ends the session."""
        if self._discarded:
            return None
        try:
            event = decode(frame)
        except ProtocolError as error:
            return VoiceError(f"Qwen violated its protocol: {error}")
        if event is not None and self._speaking:
            await self._events.put(event)
        elif isinstance(event, Failed | SessionFinished):
            return VoiceError("Qwen ended an idle session")
        return None

    async def _drain(self) -> None:
        try:
            while True:
                await self._socket.recv()
        except ConnectionClosed:
            pass


# --- opening --------------------------------------------------------------------------------------


async def open_session(
    settings: QwenSettings, on_lost: Callable[[QwenSession], None]
) -> QwenSession:
    """Connect and configure a session. Its `hz` is the rate that the server reports, which may
    differ from the one requested. Call `close` on it at the end.

    Raises:
        VoiceError: fatal for wrong credentials or settings, passing otherwise.
    """
    started_s = time.monotonic()
    socket = await _connected(settings)
    try:
        events = ClientEvents()
        async with asyncio.timeout(UPDATED_S):
            created = await _answer(socket, settings, SessionCreated)
            await socket.send(events.update(settings))
            updated = await _answer(socket, settings, SessionUpdated)
        requested = settings.session
        hz = updated.session.sample_rate or requested["sample_rate"]
        format_ = updated.session.response_format or requested["response_format"]
        if format_ != "pcm" or hz not in _SANE_HZ:
            raise VoiceError(
                f"Qwen sends {format_[:20]} at {hz} Hz, expected pcm at 8000 to 48000 Hz; choose "
                "another sample_rate or model",
                kind="fatal",
            )
        opened_ms = (time.monotonic() - started_s) * 1000
        return QwenSession(socket, events, created.session.id or "", hz, opened_ms, on_lost)
    except BaseException as error:
        # No text was sent, so no close handshake is needed.
        socket.transport.abort()
        match error:
            case TimeoutError():
                raise VoiceError(
                    f"Qwen did not accept the session's settings within {UPDATED_S:g} s"
                ) from None
            case ConnectionClosed():
                raise websocket_lost("Qwen", error) from None
            case ProtocolError():
                raise VoiceError(f"Qwen violated its protocol: {error}") from None
        raise


async def _connected(settings: QwenSettings) -> ClientConnection:
    headers = {"Authorization": f"Bearer {settings.api_key}"}
    if settings.workspace:
        headers["X-DashScope-WorkSpace"] = settings.workspace
    try:
        address = settings.address
    except ValueError:
        address = settings.url  # `open_websocket` says what is wrong

    def refused(response: Response) -> VoiceError:
        body = (response.body or b"").decode("utf-8", "replace")
        return handshake_refused(response.status_code, body, settings.api_key)

    return await open_websocket("Qwen", address, headers, refused)


_Answer = TypeVar("_Answer", SessionCreated, SessionUpdated)


async def _answer(
    socket: ClientConnection, settings: QwenSettings, wanted: type[_Answer]
) -> _Answer:
    while True:
        match decode(await socket.recv()):
            case Failed() as failed:
                raise setup_refused(failed.code, failed.message, settings.api_key)
            case event if isinstance(event, wanted):
                return event
