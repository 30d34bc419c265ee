"""A Qwen session: a socket that is past its settings, with one reader, ready to be given texts."""

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
    QwenSettings,
    SessionCreated,
    SessionFinished,
    SessionUpdated,
    decode,
    setup_refused,
)

CONNECT_S = 5.0
UPDATED_S = 3.0  # from the socket's opening to the settings being taken
GOODBYE_S = 1.0
LARGEST_MESSAGE_BYTES = 16 << 20  # how much sound comes in one event is nowhere promised
_EVENTS_AHEAD = 32  # read before they are asked for
_SANE_HZ = range(8000, 48001)

# The library would write headers and texts into its debugging lines.
_muted = logging.getLogger(f"{__name__}.socket")
_muted.setLevel(logging.WARNING)


class QwenConnection:
    """One text at a time: `hand_over` it, take `event` by event, then `rest` or `say_goodbye`.

    `hz`: of its sound. `opened_ms`: how long it took to open. `alive`: it can be given a text.
    `on_lost` is called once if it ends while it rests.
    """

    def __init__(
        self,
        socket: ClientConnection,
        events: ClientEvents,
        session_id: str,
        hz: int,
        opened_ms: float,
        on_lost: Callable[["QwenConnection"], None],
    ) -> None:
        self.session_id = session_id
        self.hz = hz
        self.opened_ms = opened_ms
        self._socket = socket
        self._write = events
        self._on_lost = on_lost
        self._speaking = False
        self._over = False
        self._dropped = False
        self._came: asyncio.Queue[Event | VoiceError] = asyncio.Queue(_EVENTS_AHEAD)
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return not self._over and self._socket.state is State.OPEN

    async def hand_over(self, text: str, *, last: bool) -> None:
        """Have a text said. `last`: end the session with it.

        Raises:
            VoiceError: the connection is lost.
        """
        self._empty()
        self._speaking = True
        try:
            await self._socket.send(self._write.append(text))
            await self._socket.send(self._write.finish() if last else self._write.commit())
        except ConnectionClosed as closed:
            raise _lost(closed) from None

    async def event(self) -> Event:
        """The next event of the text.

        Raises:
            VoiceError: the session is lost, or speaks another protocol.
        """
        came = await self._came.get()
        if isinstance(came, VoiceError):
            raise came
        return came

    def rest(self) -> None:
        """The text is said; stay open for another."""
        self._speaking = False
        self._empty()

    async def say_goodbye(self) -> None:
        """Close the socket and wait for the end of it, `GOODBYE_S` at most. Whatever still comes is
        thrown away."""
        self.drop()
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()
        await self._reading

    def drop(self) -> None:
        """Hear nothing of it any more, from now on. Whoever waits for an event gets VoiceError."""
        self._over = self._dropped = True
        self._empty()
        self._came.put_nowait(VoiceError("the line to Qwen was closed"))

    def _empty(self) -> None:
        while not self._came.empty():
            self._came.get_nowait()

    async def _read(self) -> None:
        failure = None
        while failure is None:
            try:
                failure = await self._take(await self._socket.recv())
            except ConnectionClosed as closed:
                failure = _lost(closed)
        self._over = True
        if self._speaking and not self._dropped:
            await self._came.put(failure)
        elif not self._dropped:
            self._on_lost(self)
        await self._discard()

    async def _take(self, frame: str | bytes) -> VoiceError | None:
        """What ends the session, if it does."""
        if self._dropped:
            return None
        try:
            event = decode(frame)
        except ProtocolError as error:
            return VoiceError(f"Qwen does not keep to its protocol: {error}")
        if event is not None and self._speaking:
            await self._came.put(event)
        elif isinstance(event, Failed | SessionFinished):
            return VoiceError("Qwen ended a session that was waiting for a text")
        return None

    async def _discard(self) -> None:
        try:
            while True:
                await self._socket.recv()
        except ConnectionClosed:
            pass


def _lost(closed: ConnectionClosed) -> VoiceError:
    code = closed.rcvd.code if closed.rcvd is not None else None
    told = f"closed with code {code}" if code is not None else "lost"
    return VoiceError(f"the connection to Qwen was {told} before the text was said")


# --- opening --------------------------------------------------------------------------------------


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Not followed: the key would go where nobody meant it to go."""
        return exc


async def open_session(
    settings: QwenSettings, on_lost: Callable[[QwenConnection], None]
) -> QwenConnection:
    """Connect, have the settings taken, and believe the server about which they are.

    Raises:
        VoiceError: fatal for credentials and settings, passing for everything that may pass.
    """
    started_s = time.monotonic()
    socket = await _dial(settings)
    try:
        events = ClientEvents()
        async with asyncio.timeout(UPDATED_S):
            created = await _answer(socket, settings, SessionCreated)
            await socket.send(events.update(settings))
            updated = await _answer(socket, settings, SessionUpdated)
        asked = settings.session
        hz = updated.session.sample_rate or asked["sample_rate"]
        sound = updated.session.response_format or asked["response_format"]
        if sound != "pcm" or hz not in _SANE_HZ:
            raise VoiceError(
                f"Qwen would send {sound[:20]} at {hz} Hz, but pcm at 8000 to 48000 Hz was asked "
                "for; choose another sample_rate or model",
                kind="fatal",
            )
        opened_ms = (time.monotonic() - started_s) * 1000
        return QwenConnection(socket, events, created.session.id or "", hz, opened_ms, on_lost)
    except BaseException as error:
        # Nothing was said on it yet: there is nobody to take leave of.
        socket.transport.abort()
        match error:
            case TimeoutError():
                raise VoiceError(
                    f"Qwen did not take the session's settings within {UPDATED_S:g} s"
                ) from None
            case ConnectionClosed():
                raise _lost(error) from None
            case ProtocolError():
                raise VoiceError(f"Qwen does not keep to its protocol: {error}") from None
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
                ping_interval=None,  # whether pings are answered is nowhere promised
                close_timeout=GOODBYE_S,
                max_size=LARGEST_MESSAGE_BYTES,
                logger=_muted,
            )
    except TimeoutError:
        raise VoiceError(f"Qwen did not answer within {CONNECT_S:g} s") from None
    except InvalidStatus as refusal:
        raise _refused(refusal.response.status_code) from None
    except InvalidHandshake:
        raise VoiceError("what answers at Qwen's url does not speak WebSocket; check it") from None
    except OSError as error:
        why = error.strerror or "no connection"
        host = urlsplit(settings.url).hostname
        raise VoiceError(f"Qwen cannot be reached at {host}: {why}") from None
    except InvalidURI:
        raise VoiceError(
            "Qwen's url is none; it begins with wss:// and has a host", kind="fatal"
        ) from None
    except ValueError:
        raise VoiceError(
            "Qwen's url, key or workspace cannot be sent; look for odd characters in them",
            kind="fatal",
        ) from None
    except WebSocketException:
        raise VoiceError("Qwen broke off the handshake") from None


def _refused(status: int) -> VoiceError:
    hints = {
        401: "check the DashScope API key, and that it is of the url's region",
        403: "check that the API key may use this model and workspace",
        404: "check the url and the model",
    }
    hint = hints.get(status, "check the url and the model")
    told = f"Qwen refused the connection with HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return VoiceError(told)
    return VoiceError(f"{told}; {hint}", kind="fatal")


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
