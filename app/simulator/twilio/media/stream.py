"""One media stream: Twilio's end of the WebSocket, frame by frame, as raw JSON."""

import asyncio
import base64
import json
import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)
from picows.url import WSParsedURL

from app.simulator.twilio.media.playback import BYTES_PER_MS, PlaybackClock
from app.simulator.twilio.media.tcp import new_socket
from app.simulator.twilio.media.wire import Clear, Mark, Media, StreamFault, decode
from app.simulator.twilio.network import FRAME_MS, Link, Network, Pacer, now_ms
from app.simulator.twilio.webhook import BridgeClient

FRAME_BYTES = FRAME_MS * BYTES_PER_MS
SILENCE = base64.b64encode(b"\xff" * FRAME_BYTES).decode()
DIGITS = frozenset("0123456789*#ABCD")

_CLOSE_S = 1.0
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)


class CallerVoice:
    """The caller's speech: queued µ-law, cut into frames of 20 ms."""

    def __init__(self) -> None:
        #: Begin and end of each span of speech that was sent, in monotonic ms; the last one grows
        #: while the caller speaks.
        self.spans: list[tuple[float, float]] = []
        self._queue = bytearray()
        self._speaking = False

    @property
    def queued_bytes(self) -> int:
        """How much is still queued."""
        return len(self._queue)

    def say(self, ulaw: bytes) -> None:
        """Queue speech. `ulaw`: 8000 Hz, any length."""
        self._queue += ulaw

    def next_frame(self, at_ms: float) -> str:
        """The next 20 ms in base64: speech, the last frame padded with silence, or silence."""
        if not self._queue:
            self._speaking = False
            return SILENCE
        frame = bytes(self._queue[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\xff")
        del self._queue[:FRAME_BYTES]
        begin_ms = self.spans.pop()[0] if self._speaking else at_ms - FRAME_MS
        self.spans.append((begin_ms, at_ms))
        self._speaking = True
        return base64.b64encode(frame).decode()


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """The <Stream> of a TwiML document."""

    #: 1 for the first stream of the line.
    number: int
    #: Absolute.
    url: str
    account_sid: str
    call_sid: str
    #: The <Parameter>s, by name.
    parameters: Mapping[str, str]


class MediaStream(WSListener):
    """A bidirectional stream, from the handshake to the close.

    Call `open()`, await `ended`, and in every case await `closed()` in the end.

    Args:
        voice: the caller's speech.
        playback: what the caller hears; shared by all streams of the call.
        changed: called whenever something happens.
        warn: takes (code, text) of warnings.
    """

    def __init__(
        self,
        order: StreamOrder,
        *,
        network: Network,
        pacer: Pacer,
        voice: CallerVoice,
        playback: PlaybackClock,
        changed: Callable[[], None],
        warn: Callable[[int, str], None],
    ) -> None:
        self.order = order
        self.stream_sid = "MZ" + uuid.uuid4().hex
        #: Done when the stream has ended: with the fault, or None if `stop` ended it.
        self.ended: asyncio.Future[StreamFault | None] = asyncio.get_running_loop().create_future()
        self._pacer = pacer
        self._voice = voice
        self._playback = playback
        self._changed = changed
        self._warn = warn
        self._has_discarded = False
        self._to_bridge: Link[bytes | None] = Link(
            network, f"{order.number} to the bridge", self._transmit
        )
        self._from_bridge: Link[bytes | StreamFault] = Link(
            network, f"{order.number} from the bridge", self._arrived
        )
        self._longest_way_s = (network.delay_ms + network.jitter_ms) / 1000
        self._socket: socket.socket | None = None
        self._transport: WSTransport | None = None
        self._fragments = b""
        self._sequence = 0
        self._chunk = 0
        self._mark_timer: asyncio.TimerHandle | None = None
        self._mark_due_ms: float | None = None

    # --- its life ---------------------------------------------------------------------------

    async def open(self, client: BridgeClient, timeout_s: float) -> None:
        """Connect, send `connected` and `start`, and start the caller's audio.

        Raises:
            StreamFault: the URL is not allowed (31922, 31920), the bridge refuses the handshake
                (31920), or there is no connection within `timeout_s` (31901).
        """
        split = urlsplit(self.order.url)
        if split.scheme != "wss":
            raise StreamFault(31922, f"stream URL {self.order.url} is not wss")
        if split.query:
            raise StreamFault(31920, f"stream URL {self.order.url} has a query string")
        url, headers = client.handshake(self.order.url)
        connecting = asyncio.create_task(
            ws_connect(
                lambda: self,
                url,
                extra_headers=headers,
                ssl_context=client.tls,
                max_redirects=0,
                websocket_handshake_timeout=None,
                socket_factory=self._new_socket,
            )
        )
        try:
            await self._handshake(connecting, timeout_s)
        finally:
            if self._transport is None:
                await self._abandon(connecting)
        self._say_start()

    def stop(self) -> None:
        """End the stream as Twilio does: `stop`, then close. Nothing if it has ended already."""
        if self._is_over:
            return
        if self._sequence:
            call = {"accountSid": self.order.account_sid, "callSid": self.order.call_sid}
            self._send_event("stop", "stop", json.dumps(call))
        self._to_bridge.send(None)
        self._end(None)

    def drop(self) -> None:
        """Break the connection: no `stop`, no close frame. Nothing if it has ended already."""
        if self._is_over:
            return
        self._end(StreamFault(31903, "the connection was lost"))
        self._to_bridge.close()
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def press(self, digit: str) -> None:
        """Send a key that the caller pressed. It is lost if the stream does not run."""
        if not self._is_over and self._sequence:
            pressed = json.dumps({"track": "inbound_track", "digit": digit})
            self._send_event("dtmf", "dtmf", pressed)

    async def closed(self) -> None:
        """Wait until the socket is closed; disconnect if the bridge does not answer the close."""
        if self._transport is not None:
            with suppress(TimeoutError, WSError):  # after a WSError the stream has ended
                async with asyncio.timeout(self._longest_way_s + _CLOSE_S):
                    await self._transport.wait_disconnected()
            self._transport.disconnect(graceful=False)
            with suppress(WSError):
                await self._transport.wait_disconnected()
        self._to_bridge.close()
        self._from_bridge.close()

    # --- the handshake ----------------------------------------------------------------------

    def _new_socket(self, url: WSParsedURL) -> socket.socket:
        self._socket = new_socket(url)
        return self._socket

    async def _handshake(
        self, connecting: asyncio.Task[tuple[WSTransport, WSListener]], timeout_s: float
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(connecting)
        except TimeoutError:
            raise StreamFault(31901, f"{self.order.url}: no handshake in {timeout_s} s") from None
        except WSHandshakeError as refusal:
            status = refusal.response.status.value if refusal.response else "no HTTP answer"
            raise StreamFault(31920, f"{self.order.url}: handshake answered {status}") from None
        except OSError as fault:
            raise StreamFault(31901, f"{self.order.url}: {fault}") from None
        if self._transport is None:
            raise StreamFault(31920, f"{self.order.url}: closed during the handshake")

    async def _abandon(self, connecting: asyncio.Task[tuple[WSTransport, WSListener]]) -> None:
        """Close the socket of a handshake that failed or was cancelled.

        picows leaks its socket when it is cancelled during a handshake: shut the connection down
        instead, and picows ends by itself.
        """
        if self._socket is not None and not connecting.done():
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                connecting.cancel()  # not connected yet
        await asyncio.wait({connecting})
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        elif self._socket is not None and (
            connecting.cancelled() or isinstance(connecting.exception(), OSError)
        ):
            self._socket.close()  # no transport owns it

    # --- picows ------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The bridge accepted the handshake."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """The bridge sent a frame: pass it to the simulated network."""
        if frame.msg_type in _DATA:
            self._fragments += frame.get_payload_as_bytes()
            if frame.fin:
                message, self._fragments = self._fragments, b""
                self._from_bridge.send(message)
        elif frame.msg_type is WSMsgType.CLOSE:
            # picows' enumeration has the registered codes only; applications use 4000 and up.
            code = int.from_bytes(frame.get_payload_as_bytes()[:2]) or 1005
            self._from_bridge.send(StreamFault(31921, f"the server closed the socket: {code}"))
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is closed: a fault, unless a close frame came before."""
        self._from_bridge.send(StreamFault(31903, "the connection broke without a close frame"))

    def pause_writing(self) -> None:
        """The bridge reads too slowly: the caller keeps speaking."""

    def resume_writing(self) -> None:
        """The bridge reads again."""

    # --- to the bridge -------------------------------------------------------------------------

    def _say_start(self) -> None:
        self._to_bridge.send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "accountSid": self.order.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.order.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(self.order.parameters),
        }
        self._send_event("start", "start", json.dumps(start))
        if not self._is_over:
            self._pacer.add(self._speak)

    def _speak(self) -> None:
        payload = self._voice.next_frame(now_ms())
        self._chunk += 1
        media = (
            f'{{"track":"inbound","chunk":"{self._chunk}",'
            f'"timestamp":"{self._chunk * FRAME_MS}","payload":"{payload}"}}'
        )
        self._send_event("media", "media", media)
        self._changed()

    def _send_event(self, event: str, key: str, body: str) -> None:
        self._sequence += 1
        self._to_bridge.send(
            f'{{"event":"{event}","sequenceNumber":"{self._sequence}",'
            f'"streamSid":"{self.stream_sid}","{key}":{body}}}'.encode()
        )

    def _transmit(self, message: bytes | None) -> None:
        if self._transport is None or self._transport.is_disconnected:
            return
        if message is None:
            self._transport.send_close(WSCloseCode.OK)
        else:
            self._transport.send(WSMsgType.TEXT, message)

    # --- from the bridge -----------------------------------------------------------------------

    def _arrived(self, message: bytes | StreamFault) -> None:
        if self._is_over:
            return
        if isinstance(message, StreamFault):
            self._end(message)
            return
        try:
            self._obey(message)
        except StreamFault as fault:
            self._to_bridge.send(None)
            self._end(fault)
        self._changed()

    def _obey(self, message: bytes) -> None:
        order = decode(message, self.stream_sid)
        at_ms = now_ms()
        self._echo(self._playback.due_marks(at_ms))
        match order:
            case Media(audio):
                if not self._playback.play(audio, at_ms) and not self._has_discarded:
                    self._has_discarded = True
                    self._warn(31931, "more than 10 minutes buffered: media discarded")
            case Mark(name):
                self._playback.mark(name, at_ms)
                self._echo(self._playback.due_marks(at_ms))
            case Clear():
                self._echo(self._playback.clear(at_ms))
        self._await_mark()

    def _echo(self, marks: list[str]) -> None:
        for name in marks:
            self._send_event("mark", "mark", json.dumps({"name": name}))

    def _await_mark(self) -> None:
        due_ms = None if self._is_over else self._playback.next_mark_ms
        if due_ms == self._mark_due_ms:
            return
        if self._mark_timer is not None:
            self._mark_timer.cancel()
        self._mark_timer, self._mark_due_ms = None, due_ms
        if due_ms is not None:
            delay_s = max(0.0, due_ms - now_ms()) / 1000
            loop = asyncio.get_running_loop()
            self._mark_timer = loop.call_later(delay_s, self._mark_reached)

    def _mark_reached(self) -> None:
        self._mark_due_ms = None
        self._echo(self._playback.due_marks(now_ms()))
        self._await_mark()
        self._changed()

    # --- the end -------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self.ended.done()

    def _end(self, fault: StreamFault | None) -> None:
        self.ended.set_result(fault)
        self._pacer.remove(self._speak)
        self._await_mark()
        self._playback.end(now_ms())
        self._changed()
