"""Sends messages to the media socket, in order and without waiting; reports backpressure.

An ASGI server takes messages with `await send(...)`, but performing a command must not wait.
`MediaOutbox.put` therefore runs `send` by hand up to its first suspension: while the socket has
room, `send` completes there. Otherwise the writer, `MediaOutbox.run`, completes it and sends the
queued messages.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from dataclasses import dataclass
from typing import Any

from app.wires.flag import Flag

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: `on_blocked` is called above so many queued characters: about 12 s of audio.
FULL_CHARS = 128 * 1024
#: `on_unblocked` is called below so many.
EMPTY_CHARS = 16 * 1024


@dataclass(frozen=True, slots=True)
class Direct:
    """What a server may offer for a socket beside ASGI: plain functions, which cost less than its
    coroutines. Ours does, as the extension `media.direct` of the scope, a dict with these names."""

    #: Call the first function with the message of each read from now on, and the second one with
    #: the messages of a read that has several; `receive` then only returns the disconnect.
    deliver_to: Callable[[Callable[[bytes], None], Callable[[list[bytes]], None]], None]
    #: Send text messages at once, in one write. False: the socket takes none now, or is closing;
    #: pass them to ASGI's `send` then, which waits, or raises.
    send_now: Callable[[list[str]], bool]


class MediaOutbox:
    """The queue of one media stream's outgoing messages.

    Run `run` as a task for as long as the stream lives. `on_blocked` is called when the queue
    passes `FULL_CHARS`, `on_unblocked` when it has drained below `EMPTY_CHARS`. `direct`: of the
    server, if it offers that.
    """

    def __init__(
        self,
        send: Send,
        on_blocked: Callable[[], None],
        on_unblocked: Callable[[], None],
        direct: Direct | None = None,
    ) -> None:
        self._send = send
        self._send_now = direct.send_now if direct is not None else None
        self._on_blocked = on_blocked
        self._on_unblocked = on_unblocked
        self._waiting: list[str] = []
        self._waiting_chars = 0
        self._work = Flag()
        #: A `send` that is suspended; the writer completes it.
        self._suspended: _SuspendedSend | None = None
        self._error: Exception | None = None
        self._blocked = False
        self._close_code: int | None = None

    def put(self, messages: list[str]) -> None:
        """Send messages after all earlier ones, at once if the socket has room. Never waits and
        never raises: an error of the socket is raised by `run`."""
        if self._send_now is not None and not self._work.is_set() and self._send_now(messages):
            return
        for message in messages:
            if self._work.is_set():
                self._waiting.append(message)
                self._waiting_chars += len(message)
            else:
                self._start_sending(message)
        if not self._blocked and self._waiting_chars > FULL_CHARS:
            self._blocked = True
            self._on_blocked()

    def close(self, code: int = 1000) -> None:
        """Close the socket after all earlier messages are sent. `code`: of the close frame."""
        self._close_code = code
        self._work.set()

    async def run(self) -> None:
        """Send queued messages until `close`, then close the socket. Raises the socket's error if
        sending fails."""
        while True:
            await self._work.wait()
            if self._error is not None:
                raise self._error
            if self._suspended is not None:
                await self._suspended
                self._suspended = None
            while self._waiting:
                message = self._waiting.pop(0)
                self._waiting_chars -= len(message)
                await self._send(_text(message))
                if self._blocked and self._waiting_chars < EMPTY_CHARS:
                    self._blocked = False
                    self._on_unblocked()
            if self._close_code is not None:
                await self._send({"type": "websocket.close", "code": self._close_code})
                return
            self._work.clear()

    def _start_sending(self, message: str) -> None:
        """Run `send` up to its first suspension. If it does not complete there, or fails, wake the
        writer."""
        sending = self._send(_text(message))
        if not isinstance(sending, Coroutine):  # a server may return any awaitable
            sending = _as_coroutine(sending)
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return
        except Exception as error:
            self._error = error
        else:
            self._suspended = _SuspendedSend(sending, waits_for)
        self._work.set()


class _SuspendedSend:
    """A coroutine that was run by hand up to its first suspension. Await it to complete it."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:
                try:
                    waits_for = self._coroutine.throw(error)
                except StopIteration:
                    return
            else:
                try:
                    waits_for = self._coroutine.send(None)
                except StopIteration:
                    return


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def _text(message: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": message}
