"""The stand-in for Volcengine, v1: against a client, and frames written by hand."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.simulator.voices.mouth import Plan, Spoken, tones
from app.simulator.voices.volcengine import VolcengineStandIn
from tests.simulator.voices import volcengine_client as client

TRAFFIC = Path(__file__).parents[2] / "traffic" / "volcengine.json"
VECTORS: list[dict[str, Any]] = json.loads(TRAFFIC.read_text(encoding="utf-8"))["vectors"]
V1 = "/api/v1/tts/ws_binary"
HELLO = "Hello there, caller."


def volcengine(**changes: Any) -> VolcengineStandIn:
    return VolcengineStandIn(**{"token": client.TOKEN, "app_id": client.APPID} | changes)


# --- a client of v1 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vector",
    [
        vector
        for vector in VECTORS
        if vector["direction"] == "server->client" and vector.get("protocol") != "v3"
    ],
    ids=lambda vector: vector["name"],
)
def test_the_client_reads_a_frame_as_its_vector_says(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    if vector.get("expect") == "protocol_error" or vector.get("v3"):
        with pytest.raises(ValueError):
            client.read(frame)
        return
    read = client.read(frame)
    assert read.last is vector.get("final", False)
    assert read.number == vector.get("sequence", vector.get("code"))
    meant = vector["message"].encode() if "message" in vector else vector.get("payload_hex", "")
    assert read.payload == (meant if isinstance(meant, bytes) else bytes.fromhex(meant))


async def test_a_client_gets_a_text_as_a_stream() -> None:
    async with volcengine() as stand_in:
        mp3 = await client.speech(stand_in.url + V1, encoding="mp3", rate=None)
        pcm = await client.speech(stand_in.url + V1, text=HELLO)

    assert mp3.startswith(b"ID3")
    assert mp3.endswith(tones(client.TEXT, 24000).pcm)
    assert pcm == tones(HELLO, 8000).pcm
    assert [said.whole for said in stand_in.heard.said] == [True, True]


async def test_a_client_gets_a_text_in_one_frame() -> None:
    async with volcengine() as stand_in:
        mp3 = await client.speech(stand_in.url + V1, "query", encoding="mp3")
        pcm = await client.speech(stand_in.url + V1, "query", rate=16000, text=HELLO)

    assert mp3.startswith(b"ID3")
    assert pcm == tones(HELLO, 16000).pcm


async def test_a_query_is_answered_with_a_single_frame() -> None:
    async with volcengine() as stand_in, v1_socket(stand_in) as socket:
        await socket.send(client.request("query"))
        (only,) = await frames(socket)
    assert client.read(only).payload == tones(client.TEXT, 8000).pcm


async def test_a_client_skips_timestamps() -> None:
    async with volcengine() as stand_in:
        pcm = await client.speech(stand_in.url + V1, text="好的,请稍等。", with_timestamp=1)

    assert pcm == tones("好的,请稍等。", 8000).pcm


# --- v1 -------------------------------------------------------------------------------------------


@asynccontextmanager
async def v1_socket(stand_in: VolcengineStandIn) -> AsyncIterator[ClientConnection]:
    async with connect(
        stand_in.url + V1, additional_headers=client.BEARER, max_size=None
    ) as socket:
        yield socket


async def frames(socket: ClientConnection) -> list[bytes]:
    """Read frames until the last one."""
    got: list[bytes] = []
    while not got or got[-1][1] not in (0xB3, 0xF0):
        frame = await socket.recv()
        assert isinstance(frame, bytes)
        got.append(frame)
    return got


async def test_an_acknowledgment_comes_first_and_the_last_number_is_negative() -> None:
    plan = Plan(chunk_ms=200)
    async with volcengine(plan=lambda _: plan) as stand_in, v1_socket(stand_in) as socket:
        assert socket.response is not None and socket.response.headers["X-Tt-Logid"]
        await socket.send(client.request(text=HELLO))
        ack, *rest = await frames(socket)

    assert ack == b"\x11\xb0\x00\x00"
    numbers = [int.from_bytes(frame[4:8], "big", signed=True) for frame in rest]
    assert numbers == [*range(1, len(rest)), -len(rest)]
    assert [frame[1] for frame in rest] == [0xB1] * (len(rest) - 1) + [0xB3]
    sizes = [int.from_bytes(frame[8:12], "big") for frame in rest]
    assert sizes == [len(frame) - 12 for frame in rest]
    assert set(sizes[:-1]) == {200 * 16}


async def test_answers_are_compressed_when_configured() -> None:
    async with volcengine(gzip=True) as stand_in, v1_socket(stand_in) as socket:
        request = client.request(rate=None, with_timestamp=1, text=HELLO)
        await socket.send(request)
        _, frontend, *rest = await frames(socket)

    assert {frame[2] & 15 for frame in rest} == {1}
    assert b"".join(gzip.decompress(frame[12:]) for frame in rest) == tones(HELLO, 24000).pcm
    words = json.loads(gzip.decompress(frontend[8:]))["words"]
    assert [word["word"] for word in words] == HELLO.split()
    assert [word["start_time"] for word in words] == [0, 0.3, 0.66]


REFUSED: list[tuple[int, dict[str, Any]]] = [
    (3001, {"operation": "sing"}),
    (3001, {"rate": 44100}),
    (3001, {"rate": [8000]}),
    (3001, {"encoding": "flac"}),
    (3001, {"text_type": "html"}),
    (3001, {"voice_type": ""}),
    (3001, {"reqid": 7}),
    (3050, {"voice_type": "unknown"}),
    (3010, {"text": "字" * 342}),
    (3011, {"text": "。。!? 👋"}),
    (3011, {"text": ""}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSED, ids=str)
async def test_a_wrong_request_is_refused_with_its_code(code: int, changes: dict[str, Any]) -> None:
    async with volcengine(voices=[client.VOICE]) as stand_in, v1_socket(stand_in) as socket:
        await socket.send(client.request(**changes))
        (error,) = await frames(socket)
        assert json.loads(error[12:])["code"] == code
        assert int.from_bytes(error[4:8], "big") == code
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert stand_in.heard.said == []


async def test_a_request_id_is_taken_once() -> None:
    request = client.request()
    async with volcengine() as stand_in:
        for code in (None, 3006):
            async with v1_socket(stand_in) as socket:
                await socket.send(request)
                last = (await frames(socket))[-1]
                assert code is None or int.from_bytes(last[4:8], "big") == code


async def test_another_application_is_refused_with_the_services_own_words() -> None:
    async with volcengine(app_id="another") as stand_in, v1_socket(stand_in) as socket:
        await socket.send(client.request())
        (error,) = await frames(socket)
    assert b"requested grant not found" in error


@pytest.mark.parametrize("broken", [b"", b"\x11\x10\x10\x00\x00\x00\x00\x09{}", b"{}{}{}{}", "{}"])
async def test_an_invalid_frame_is_refused(broken: bytes | str) -> None:
    async with volcengine() as stand_in, v1_socket(stand_in) as socket:
        await socket.send(broken)
        assert (await frames(socket))[0][4:8] == (3001).to_bytes(4, "big")


@pytest.mark.parametrize(
    "header", ["Bearer TOKEN_PLACEHOLDER", "Bearer; wrong", "Bearer;", "", "TOKEN_PLACEHOLDER"]
)
async def test_a_v1_handshake_without_the_semicolon_and_the_token_gets_401(header: str) -> None:
    async with volcengine() as stand_in:
        with pytest.raises(InvalidStatus) as refused:
            await connect(stand_in.url + V1, additional_headers={"Authorization": header})
        assert refused.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as lost:
            await connect(stand_in.url + "/elsewhere", additional_headers=client.BEARER)
        assert lost.value.response.status_code == 404
    assert stand_in.heard.connections == 0


async def test_a_second_request_before_the_first_has_ended_is_refused() -> None:
    async with volcengine(plan=lambda _: Plan(speed=0.01)) as stand_in:
        async with v1_socket(stand_in) as socket:
            await socket.send(client.request())
            await stand_in.until(lambda heard: heard.said and heard.said[0].sent_bytes)
            await socket.send(client.request())
            assert b"one request at a time" in (await frames(socket))[-1]
        await stand_in.until(lambda heard: heard.said[0].dropped)


async def test_requests_follow_each_other_on_a_connection() -> None:
    async with volcengine() as stand_in, v1_socket(stand_in) as socket:
        for _ in range(3):
            await socket.send(client.request())
            assert (await frames(socket))[-1][1] == 0xB3
    assert stand_in.heard.connections == 1
    assert len(stand_in.heard.said) == 3


async def test_a_client_that_disconnects_in_mid_speech_is_noted() -> None:
    async with volcengine(plan=lambda _: Plan(speed=0.01)) as stand_in:
        async with v1_socket(stand_in) as socket:
            await socket.send(client.request())
            await stand_in.until(lambda heard: heard.said and heard.said[0].sent_bytes)
        await stand_in.until(lambda heard: heard.said[0].dropped)
        (said,) = stand_in.heard.said
        assert not said.whole
        assert 0 < said.sent_bytes < len(said.spoken.pcm)


async def test_each_fault_of_a_plan_happens_after_its_bytes() -> None:
    for fault, code in (("refuse", 3003), ("error", 3031), ("drop", None)):
        plan = Plan(fault=fault, fault_after_bytes=1000)  # type: ignore[arg-type]
        async with volcengine(plan=lambda _, plan=plan: plan) as stand_in:
            async with v1_socket(stand_in) as socket:
                await socket.send(client.request(text=HELLO))
                if code is None:
                    with pytest.raises(ConnectionClosed):
                        await frames(socket)
                else:
                    assert (await frames(socket))[-1][4:8] == code.to_bytes(4, "big")
        sent = [said.sent_bytes for said in stand_in.heard.said]
        assert sent == ([] if fault == "refuse" else [1000])


async def test_an_exception_of_the_mouth_is_raised_to_the_test() -> None:
    def mute(_text: str, _hz: int) -> Spoken:
        raise OSError("no espeak here")

    with pytest.raises(OSError, match="no espeak here"):
        async with volcengine(mouth=mute) as stand_in, v1_socket(stand_in) as socket:
            await socket.send(client.request())
            with pytest.raises(ConnectionClosed):
                await frames(socket)
