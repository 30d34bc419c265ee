"""A Qwen session: a WebSocket whose settings the server has accepted, and the task that reads it.

DashScope: Qwen-TTS Realtime API. There is no documented cancel: to drop a text, close its session.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.protocol import State

from app.errors import ProtocolError, VoiceError
from app.wires.voices.qwen.codec import (
    ClientEvents,
    Event,
    Failed,
    SessionCreated,
    SessionFinished,
    SessionUpdated,
    decode,
    setup_refused,
)
from app.wires.voices.qwen.settings import QwenSettings

#: Deadline for the connection and the WebSocket handshake.
CONNECT_S = 5.0
#: Deadline from the handshake to `session.updated`.
UPDATED_S = 3.0
#: Deadline for the close handshake.
CLOSE_S = 1.0
#: The size of an event with sound is not documented.
LARGEST_MESSAGE_BYTES = 16 << 20
#: Events that are read ahead of `next_event`; beyond them the socket is not read.
_EVENTS_AHEAD = 32
_SANE_HZ = range(8000, 48001)

# At DEBUG the library logs headers and texts.
_quiet_logger = logging.getLogger(f"{__name__}.socket")
_quiet_logger.setLevel(logging.WARNING)


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
            raise _lost(closed) from None

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
                failure = _lost(closed)
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


def _lost(closed: ConnectionClosed) -> VoiceError:
    code = closed.rcvd.code if closed.rcvd is not None else None
    how = f"closed with code {code}" if code is not None else "lost"
    return VoiceError(f"the connection to Qwen was {how} before the end of the text")


# --- opening --------------------------------------------------------------------------------------


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Do not follow redirects: they would send the API key to another host."""
        return exc


async def open_session(
    settings: QwenSettings, on_lost: Callable[[QwenSession], None]
) -> QwenSession:
    """Connect and configure a session. Its `hz` is the rate that the server reports, which may
    differ from the one requested. Call `close` on it at the end.

    Raises:
        VoiceError: fatal for wrong credentials or settings, passing otherwise.
    """
    started_s = time.monotonic()
    socket = await _dial(settings)
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
                raise _lost(error) from None
            case ProtocolError():
                raise VoiceError(f"Qwen violated its protocol: {error}") from None
        raise


async def _dial(settings: QwenSettings) -> ClientConnection:
    headers = {"Authorization": f"Bearer {settings.api_key}"}
    if settings.workspace:
        headers["X-DashScope-WorkSpace"] = settings.workspace
    try:
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise ValueError
        async with asyncio.timeout(CONNECT_S):
            return await _Connect(
                settings.address,
                additional_headers=headers,
                compression=None,
                proxy=None,
                open_timeout=None,
                ping_interval=None,  # whether the server answers pings is not documented
                close_timeout=CLOSE_S,
                max_size=LARGEST_MESSAGE_BYTES,
                logger=_quiet_logger,
            )
    except TimeoutError:
        raise VoiceError(f"Qwen did not answer within {CONNECT_S:g} s") from None
    except InvalidStatus as refusal:
        raise _refused(refusal.response.status_code) from None
    except InvalidHandshake:
        raise VoiceError("the server at Qwen's url does not speak WebSocket; check url") from None
    except OSError as error:
        reason = error.strerror or "no connection"
        host = urlsplit(settings.url).hostname
        raise VoiceError(f"Qwen cannot be reached at {host}: {reason}") from None
    except InvalidURI:
        raise VoiceError(
            "Qwen's url is invalid; expected wss:// and a host", kind="fatal"
        ) from None
    except ValueError:
        raise VoiceError(
            "Qwen's url, key or workspace has characters that HTTP does not allow; check them",
            kind="fatal",
        ) from None
    except WebSocketException:
        raise VoiceError("Qwen ended the handshake early") from None


def _refused(status: int) -> VoiceError:
    hints = {
        401: "check DASHSCOPE_API_KEY, and that it belongs to the url's region",
        403: "check that the API key may use this model and workspace",
        404: "check the url and the model",
    }
    hint = hints.get(status, "check the url and the model")
    message = f"Qwen refused the connection with HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return VoiceError(message)
    return VoiceError(f"{message}; {hint}", kind="fatal")


_Answer = TypeVar("_Answer", SessionCreated, SessionUpdated)


async def _answer(
    socket: ClientConnection, settings: QwenSettings, wanted: type[_Answer]
) -> _Answer:
    while True:
        match decode(await socket.recv()):
            case Failed() as failed:
                raise setup_refused(failed, settings.api_key)
            case event if isinstance(event, wanted):
                return event
