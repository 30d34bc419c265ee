"""Frames of a client, read by the websockets library."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.wires.realtime.client_frames import text_frames


def _read(data: bytes) -> list[bytes]:
    server = ServerProtocol(max_size=None)
    server.receive_data(b"GET / HTTP/1.1\r\n\r\n" + data)
    request, *frames = server.events_received()
    assert isinstance(request, Request)
    assert all(isinstance(each, Frame) and each.opcode is Opcode.TEXT for each in frames)
    assert server.parser_exc is None
    return [bytes(each.data) for each in frames if isinstance(each, Frame)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_messages_of_every_length_arrive_in_their_order(size: int) -> None:
    messages = [b"a" * size, b"{}", b"b" * size]
    assert _read(text_frames(messages)) == messages


def test_no_two_messages_have_the_same_mask() -> None:
    messages = [b"\0\0\0\0"] * 3  # masked, it is the mask
    data = text_frames(messages)
    masks = {data[start + 2 : start + 6] for start in (0, 10, 20)}
    assert len(masks) == 3
