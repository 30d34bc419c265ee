"""The stand-in for Volcengine, v3: sessions, with frames written by hand."""

import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.simulator.voices.mouth import Plan, tones
from app.simulator.voices.volcengine import VolcengineStandIn
from tests.simulator.voices import volcengine_client as client

V3 = "/api/v3/tts/bidirection"
HELLO = "Hello there, caller."
KEYS = {
    "X-Api-App-Key": client.APPID,
    "X-Api-Access-Key": client.TOKEN,
    "X-Api-Resource-Id": "seed-tts-2.0",
    "X-Api-Connect-Id": "00000000-0000-4000-8000-000000000001",
}
PARAMS = {"speaker": client.VOICE, "audio_params": {"format": "pcm", "sample_rate": 8000}}


def volcengine(**changes: Any) -> VolcengineStandIn:
    return VolcengineStandIn(**{"token": client.TOKEN, "app_id": client.APPID} | changes)


def event(number: int, session: str = "", **body: Any) -> bytes:
    name = struct.pack(">I", len(session)) + session.encode() if number >= 100 else b""
    payload = json.dumps(body).encode()
    head = b"\x11\x14\x10\x00" + struct.pack(">i", number)
    return head + name + struct.pack(">I", len(payload)) + payload


def session_event(number: int, session: str, **changes: Any) -> bytes:
    envelope = {"user": {"uid": "u"}, "event": number, "namespace": "BidirectionalTTS"}
    return event(number, session, **envelope, req_params=PARAMS | changes)


async def answer(socket: ClientConnection) -> tuple[int, str, bytes]:
    """The next event's number, id and payload. The number of an error is its negative code."""
    frame = await socket.recv()
    assert isinstance(frame, bytes)
    (number,) = struct.unpack_from(">i", frame, 4)
    (size,) = struct.unpack_from(">I", frame, 8)
    if frame[1] == 0xF0:
        return -number, "", frame[12 : 12 + size]
    assert frame[1] == (0xB4 if number == 352 else 0x94)
    name = frame[12 : 12 + size].decode()
    assert struct.unpack_from(">I", frame, 12 + size) == (len(frame) - 16 - size,)
    return number, name, frame[16 + size :]


@asynccontextmanager
async def v3_socket(stand_in: VolcengineStandIn, **keys: str) -> AsyncIterator[ClientConnection]:
    async with connect(stand_in.url + V3, additional_headers=KEYS | keys) as socket:
        await socket.send(event(1))
        assert (await answer(socket))[0] == 50
        yield socket


async def test_sessions_follow_each_other_and_take_texts_as_they_come() -> None:
    async with volcengine() as stand_in, v3_socket(stand_in) as socket:
        for session in ("one", "two"):
            await socket.send(session_event(100, session))
            assert await answer(socket) == (150, session, b"{}")
            await socket.send(session_event(200, session, text="Hello, "))
            for character in "caller.":
                await socket.send(session_event(200, session, text=character))
            await socket.send(event(102, session))
            got: list[tuple[int, str, bytes]] = []
            while not got or got[-1][0] != 152:
                got.append(await answer(socket))
            assert {name for _, name, _ in got} == {session}
            assert [number for number, _, _ in got if number != 352] == [350, 351, 152]
            pcm = b"".join(payload for number, _, payload in got if number == 352)
            assert pcm == tones("Hello, caller.", 8000).pcm
            assert json.loads(got[-1][2])["status_code"] == 20000000
        await socket.send(event(2))
        assert (await answer(socket))[0] == 52
    assert stand_in.heard.connections == 1


async def test_sentences_are_said_as_they_end_and_a_pause_ends_one() -> None:
    async with volcengine() as stand_in, v3_socket(stand_in) as socket:
        await socket.send(session_event(100, "one"))
        await answer(socket)
        for text in ("One", " sentence", ". ", "A second", "，", "up to here"):
            await socket.send(session_event(200, "one", text=text))
        await stand_in.until(lambda heard: len(heard.said) == 2 and heard.said[1].whole)
        await socket.send(session_event(200, "one", text="。"))
        await socket.send(event(102, "one"))
        got = [await answer(socket)]
        while got[-1][0] != 152:
            got.append(await answer(socket))
    assert [said.text for said in stand_in.heard.said] == [
        "One sentence. ",
        "A second，up to here",
    ]


async def test_an_envelope_may_be_short_and_usage_is_told_on_request() -> None:
    wanted = {"X-Control-Require-Usage-Tokens-Return": "*"}
    async with volcengine() as stand_in, v3_socket(stand_in, **wanted) as socket:
        await socket.send(event(100, "one", req_params=PARAMS))
        await socket.send(event(200, "one", req_params={**PARAMS, "text": HELLO}))
        await socket.send(event(102, "one"))
        got = [await answer(socket)]
        while got[-1][0] != 152:
            got.append(await answer(socket))
    assert json.loads(got[-1][2])["usage"] == {"text_words": len(HELLO)}


async def test_a_canceled_session_says_nothing_more_and_leaves_room_for_another() -> None:
    plan = {"first": Plan(speed=0.01), "second": Plan()}
    async with volcengine(plan=lambda text: plan[text]) as stand_in:
        async with v3_socket(stand_in) as socket:
            await socket.send(session_event(100, "one"))
            await socket.send(session_event(200, "one", text="first"))
            await stand_in.until(lambda heard: heard.said and heard.said[0].sent_bytes)
            await socket.send(event(101, "one"))
            await stand_in.until(lambda heard: heard.said[0].dropped)
            await socket.send(session_event(100, "two"))
            await socket.send(session_event(200, "two", text="second"))
            await socket.send(event(102, "two"))
            got: list[tuple[int, str, bytes]] = []
            while not got or got[-1][0] != 152:
                got.append(await answer(socket))
        ended = got.index((151, "one", b"{}"))
        assert {name for _, name, _ in got[:ended]} == {"one"}
        assert {name for _, name, _ in got[ended + 1 :]} == {"two"}


async def test_x_api_key_alone_is_accepted() -> None:
    only = {"X-Api-Key": client.TOKEN, "X-Api-Resource-Id": "seed-tts-1.0"}
    async with volcengine() as stand_in:
        async with connect(stand_in.url + V3, additional_headers=only) as socket:
            await socket.send(event(1))
            assert (await answer(socket))[0] == 50


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"X-Api-Access-Key": "wrong"}, 401),
        ({"X-Api-App-Key": "wrong"}, 401),
        ({"X-Api-Key": "wrong"}, 401),
        ({"X-Api-Resource-Id": ""}, 400),
    ],
)
async def test_a_v3_handshake_without_the_keys_is_refused(
    wrong: dict[str, str], status: int
) -> None:
    async with volcengine() as stand_in:
        with pytest.raises(InvalidStatus) as refused:
            await connect(stand_in.url + V3, additional_headers=KEYS | wrong)
        assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    "wrong",
    [
        [event(102, "none")],
        [session_event(200, "none", text="x")],
        [event(1)],
        [event(77)],
        [b"\x11\x10\x10\x00\x00\x00\x00\x02{}"],
        [event(100, "one")],
        [session_event(100, "one", speaker="")],
        [session_event(100, "one", audio_params={"format": "flac"})],
        [session_event(100, "one", audio_params={"sample_rate": 8001})],
        [session_event(100, "one", audio_params={"speech_rate": 101})],
        [session_event(100, "one", additions={"a": 1})],
        [session_event(100, "one"), session_event(100, "two")],
        [session_event(100, "one"), event(102, "one"), session_event(100, "one")],
    ],
    ids=str,
)
async def test_events_out_of_order_or_out_of_range_are_refused(wrong: list[bytes]) -> None:
    async with volcengine() as stand_in, v3_socket(stand_in) as socket:
        for frame in wrong:
            await socket.send(frame)
        while (code := (await answer(socket))[0]) > 0:
            assert code in (150, 152)
        assert code == -45000001


@pytest.mark.parametrize(
    ("text", "plan", "code"),
    [
        ("...", Plan(), 45002001),
        ("字" * 342, Plan(), 40402003),
        ("x", Plan(fault="refuse"), 45000292),
    ],
    ids=["nothing to say", "too long", "too many"],
)
async def test_a_text_that_cannot_be_said_ends_its_session(
    text: str, plan: Plan, code: int
) -> None:
    async with volcengine(plan=lambda _: plan) as stand_in, v3_socket(stand_in) as socket:
        await socket.send(session_event(100, "one"))
        await socket.send(session_event(200, "one", text=text))
        await socket.send(event(102, "one"))
        await answer(socket)
        number, name, payload = await answer(socket)
    assert (number, name) == (153, "one")
    assert json.loads(payload)["status_code"] == code


async def test_an_error_in_mid_speech_ends_the_connection() -> None:
    plan = Plan(fault="error", fault_after_bytes=500)
    async with volcengine(plan=lambda _: plan) as stand_in, v3_socket(stand_in) as socket:
        await socket.send(session_event(100, "one"))
        await socket.send(session_event(200, "one", text=HELLO))
        numbers: list[int] = []
        while not numbers or numbers[-1] > 0:
            numbers.append((await answer(socket))[0])
        assert numbers == [150, 350, 352, -55000000]
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert stand_in.heard.said[0].sent_bytes == 500
