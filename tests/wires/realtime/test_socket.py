"""The Realtime socket against broken servers: `on_lost` is called once, with the reason."""

import asyncio
import gc
import socket
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import Any

import pytest
from aiohappyeyeballs import start_connection
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from app.errors import ModelError
from app.wires.realtime import socket as client
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.socket import RealtimeSocket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TOO_BIG = "the model sent a message above the limit of 16 MiB"
BROKEN = "the model broke the WebSocket protocol: "
RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: closing resets the connection
Then = Callable[[asyncio.StreamWriter], None]


def frame(first: int, payload: bytes = b"") -> bytes:
    """A server's frame. `first`: its FIN, RSV bits and opcode."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", first, 126, size) + payload
    return struct.pack(">BBQ", first, 127, size) + payload


def reset(writer: asyncio.StreamWriter) -> None:
    peer: socket.socket = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def sends(data: bytes) -> Then:
    return lambda writer: writer.write(data)


@asynccontextmanager
async def server(
    then: Then, gone: asyncio.Event | None = None, sent: bytearray | None = None
) -> AsyncIterator[str]:
    """A WebSocket server that completes the handshake and then calls `then`. Yields its address.
    `gone`: set when the client has disconnected. `sent`: gets what the client sent until then."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.lower().partition(b"sec-websocket-key: ")[2]
        key = head[len(head) - len(key) :].partition(b"\r\n")[0]
        accept = b64encode(sha1(key + GUID).digest()).decode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        then(writer)
        got = await reader.read()
        if sent is not None:
            sent.extend(got)
        writer.close()
        if gone is not None:
            gone.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield f"ws://{host}:{port}"


class Peer:
    """Records a connection's callbacks."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.lost: list[str] = []
        #: Exceptions that asyncio reports as unhandled.
        self.unhandled: list[dict[str, Any]] = []
        self.socket: RealtimeSocket | None = None
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.unhandled.append(context))

    async def connects(self, url: str) -> None:
        await client.connect(
            Endpoint(url, "model", "key"),
            on_opened=self._opened,
            on_message=self.messages.append,
            on_lost=self._lost,
            on_writable=lambda: None,
        )

    async def lost_reason(self) -> str:
        """Wait for `on_lost`. Returns its reason, and checks that no exception is unhandled."""
        await self._news.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        assert not self.unhandled
        (reason,) = self.lost
        return reason

    def _opened(self, opened: RealtimeSocket) -> None:
        self.socket = opened

    def _lost(self, reason: str) -> None:
        self.lost.append(reason)
        self._news.set()


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (sends(struct.pack(">BBQ", 0x81, 127, client.LARGEST_MESSAGE_BYTES + 1)), TOO_BIG),
        (sends(frame(0x01, bytes(9 << 20)) + frame(0x00, bytes(9 << 20))), TOO_BIG),
        (sends(frame(0x83, b"{}")), BROKEN),
        (sends(bytes([0x81, 0x82, 1, 2, 3, 4, 5, 6])), BROKEN),
        (sends(b"\x88\x01A"), BROKEN),
        (sends(frame(0x89, bytes(126))), BROKEN),
        (sends(b"\x88\x02\x03\xe9"), "closed by the model with code 1001"),
        (reset, "connection lost"),
        (lambda writer: writer.close(), "connection lost"),
    ],
    ids=["big", "fragments", "opcode", "masked", "bad close", "bad ping", "close", "reset", "end"],
)
async def test_on_lost_is_called_once_with_the_reason(then: Then, reason: str) -> None:
    async with server(then) as url:
        peer = Peer()
        await peer.connects(url)
        told = await peer.lost_reason()
    assert told == reason if reason is not BROKEN else told.startswith(BROKEN)
    assert peer.messages == []


async def test_fragments_are_joined_into_one_message() -> None:
    pieces = frame(0x01, b"{") + frame(0x00) * 1000 + frame(0x00, b"}") + frame(0x80)
    async with server(sends(pieces + frame(0x81, b"[]") + b"\x88\x02\x03\xe8")) as url:
        peer = Peer()
        await peer.connects(url)
        await peer.lost_reason()
    assert peer.messages == [b"{}", b"[]"]


async def test_bursts_of_two_sessions_arrive_whole_and_in_their_order() -> None:
    """Each session's messages, short and long, however they are cut into reads."""
    sizes = [*range(1, 300), 4096, 70_000, 3, 300_000, 1500, *range(1300, 1700)]
    bursts = [[letter * size for size in sizes] for letter in (b"a", b"b")]

    async def received(burst: list[bytes]) -> list[bytes]:
        sent = b"".join(frame(0x81, each) for each in burst)
        async with server(sends(sent + b"\x88\x02\x03\xe8")) as url:
            peer = Peer()
            await peer.connects(url)
            await peer.lost_reason()
        return peer.messages

    assert await asyncio.gather(*map(received, bursts)) == bursts


async def test_on_lost_is_not_called_after_close() -> None:
    gone = asyncio.Event()
    async with server(sends(frame(0x83, b"{}")), gone) as url:
        peer = Peer()
        await peer.connects(url)
        assert peer.socket is not None
        peer.socket.close()
        await gone.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
    assert (peer.lost, peer.unhandled) == ([], [])


async def test_a_redirect_is_a_refusal_and_takes_no_credential_elsewhere() -> None:
    reached = asyncio.Event()

    async def elsewhere(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as target:
        port = target.sockets[0].getsockname()[1]
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: ws://127.0.0.1:{port}/\r\n"

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises(client.HandshakeRefused, match="HTTP 307"):
                await Peer().connects(f"ws://127.0.0.1:{port}")
    assert not reached.is_set()


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_failed_handshake_raises_and_leaves_nothing_open(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        peer = Peer()
        with pytest.raises(ModelError):
            await peer.connects(f"ws://{host}:{port}")
        gc.collect()
    assert (peer.lost, peer.unhandled) == ([], [])


async def test_a_connection_that_is_reset_at_once_costs_the_next_one_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset_it() -> None:
            peer, _ = listening.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.close()

        async def dial_and_be_reset(*args: Any, **options: Any) -> socket.socket:
            dialed = await start_connection(*args, **options)
            asyncio.get_running_loop().call_soon(reset_it)  # just before the first write
            return dialed

        monkeypatch.setattr(f"{client.__name__}.start_connection", dial_and_be_reset)
        with pytest.raises(ModelError, match="closed the connection during the handshake"):
            await Peer().connects(f"ws://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.undo()
    async with server(sends(frame(0x81, b"{}") + b"\x88\x02\x03\xe8")) as url:
        peer = Peer()  # its socket gets the file descriptor of the reset one
        await peer.connects(url)
        await peer.lost_reason()
    assert peer.messages == [b"{}"]


@pytest.mark.parametrize("held", [[], [b"b"], [b"b", b"c" * 300, b"d" * 70_000]])
async def test_held_messages_are_sent_in_their_order(held: list[bytes]) -> None:
    gone, sent = asyncio.Event(), bytearray()
    async with server(lambda _: None, gone, sent) as url:
        peer = Peer()
        await peer.connects(url)
        assert peer.socket is not None
        peer.socket.send(b"a")
        peer.socket.hold()
        for message in held:
            peer.socket.send(message)
        peer.socket.release()
        peer.socket.send(b"e")
        peer.socket.hold()
        peer.socket.send(b"f")
        peer.socket.close()
        peer.socket.release()
        await gone.wait()
    conn = ServerProtocol(state=State.OPEN)
    conn.receive_data(sent)
    frames = [each for each in conn.events_received() if isinstance(each, Frame)]
    assert [bytes(each.data) for each in frames[:-1]] == [b"a", *held, b"e", b"f"]
    assert frames[-1].opcode is Opcode.CLOSE
