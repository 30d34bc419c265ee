"""A leg's side of the caller: Twilio's media stream, read message by message, written in order."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

from app.bridge.leg.inbound_limits import InboundLimits
from app.call import commands as do
from app.call import events as ev
from app.errors import ProtocolError
from app.wires.flag import Flag
from app.wires.twilio.media_socket import Direct, MediaOutbox, Send
from app.wires.twilio.media_stream import Decoded, Encoder, Media, Start, decode

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_CLOSED = (1000, 1001)  # RFC 6455: normal closure, going away


class CallerSide:
    """The media stream of one leg.

    Args:
        feed: gives an event to the machine.
        take_frame: takes each frame of the caller's audio.
        press: takes each key.
        over: set when the leg has ended.
        one_write: within it, what is sent to the model is kept, and goes out at its end.
        close_hangs_up: a caller who closes the socket has hung up, as the page of a softphone does
            when it is left. Without a close frame the stream is lost.
    """

    def __init__(
        self,
        feed: Callable[[ev.Event], None],
        take_frame: Callable[[Media], None],
        press: Callable[[ev.DigitPressed], None],
        limits: InboundLimits,
        over: Flag,
        one_write: Callable[[], AbstractContextManager[None]],
        *,
        close_hangs_up: bool = False,
    ) -> None:
        self._feed = feed
        self._one_write = one_write
        self._take_frame = take_frame
        self._press = press
        self._limits = limits
        self._over = over
        self._close_hangs_up = close_hangs_up
        self._loop = asyncio.get_running_loop()
        self._outbox: MediaOutbox | None = None  # None: no stream yet
        self._encoder = Encoder("")

    async def attach(
        self, start: Start, receive: Receive, send: Send, direct: Direct | None
    ) -> None:
        """Carry the leg over this stream; returns when the stream or the leg has ended."""
        self._encoder = Encoder(start.stream_sid)
        self._outbox = MediaOutbox(
            send,
            on_blocked=lambda: self._feed_soon(ev.StreamBlocked()),
            on_unblocked=lambda: self._feed_soon(ev.StreamUnblocked()),
            direct=direct,
        )
        self._feed(ev.StreamStarted(start.stream_sid))
        reader = asyncio.create_task(self._read(receive, direct))
        ends: set[asyncio.Task[Any]] = {
            reader,
            asyncio.create_task(self._outbox.run()),
            asyncio.create_task(self._over.wait()),
        }
        try:
            while True:
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if reader in done or self._over.is_set():
                    break
                ends -= done  # the outbox has closed the socket: the reader ends next
                if any(task.exception() for task in done):
                    break
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            self._outbox = None  # with what it could not send
            self._feed(ev.StreamEnded("media socket closed", lost=True))

    def send(self, command: do.PlayAudio | do.SendMark | do.ClearAudio) -> None:
        """Send to Twilio. Without a stream the command is dropped."""
        if isinstance(command, do.SendMark):
            self._limits.mark_sent()
        if self._outbox is not None:
            self._outbox.put(self._encoder.encode(command))

    def close(self) -> None:
        """Close the stream once everything before is sent."""
        if self._outbox is not None:
            self._outbox.close()

    async def _read(self, receive: Receive, direct: Direct | None) -> None:
        """Read until the socket closes. A server that delivers messages directly saves each frame
        a turn of this task."""
        if direct is not None:
            direct.deliver_to(self._take, self._take_all)
        while (message := await receive())["type"] != "websocket.disconnect":
            self._take(message.get("text") or message.get("bytes") or b"")
        reason = f"media socket closed with code {message.get('code')}"
        hung_up = self._close_hangs_up and message.get("code") in _CLOSED
        self._feed(ev.StreamEnded(reason, lost=not hung_up))

    def _take_all(self, messages: list[bytes]) -> None:
        """Take the messages of one read. What they send to the model goes out in one write."""
        with self._one_write():
            for message in messages:
                self._take(message)

    def _take(self, message: str | bytes) -> None:
        try:
            decoded = decode(message)
            if type(decoded) is Media:
                self._take_frame(decoded)
            else:
                self._take_other(decoded)
        except ProtocolError as error:
            self._limits.bad_message("Twilio", error)

    def _take_other(self, decoded: Decoded) -> None:
        if isinstance(decoded, Start):
            raise ProtocolError("Twilio started the stream twice")
        elif isinstance(decoded, ev.MarkEchoed):
            if self._limits.accepts_mark():
                self._feed(decoded)
        elif isinstance(decoded, ev.DigitPressed):
            self._press(decoded)
        elif isinstance(decoded, ev.StreamEnded):
            self._feed(decoded)

    def _feed_soon(self, event: ev.Event) -> None:
        """The outbox calls this while the machine handles an event: feed after that."""
        self._loop.call_soon(self._feed, event)
