"""The stand-in for Volcengine, v3 one way: a request with its text, with frames written by hand."""

import gzip
import json
import struct
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.simulator.voices.mouth import tones
from tests.simulator.voices.test_volcengine_v3 import HELLO, KEYS, PARAMS, answer, event, volcengine

STREAM = "/api/v3/tts/unidirectional/stream"


def request(*, packed: bool = False, **params: Any) -> bytes:
    body = {"user": {"uid": "u"}, "req_params": PARAMS | params}
    payload = json.dumps(body).encode()
    payload = gzip.compress(payload) if packed else payload
    return bytes((0x11, 0x10, 0x10 | packed, 0)) + struct.pack(">I", len(payload)) + payload


async def test_one_connection_takes_one_request_after_the_other() -> None:
    async with (
        volcengine() as stand_in,
        connect(stand_in.address + STREAM, additional_headers=KEYS) as socket,
    ):
        ids = set()
        for packed in (False, True):
            await socket.send(request(text=HELLO, packed=packed))
            got = [await answer(socket)]
            while got[-1][0] != 152:
                got.append(await answer(socket))
            assert [number for number, _, _ in got if number != 352] == [350, 351, 152]
            pcm = b"".join(payload for number, _, payload in got if number == 352)
            assert pcm == tones(HELLO, 8000).pcm
            ids |= {name for _, name, _ in got}
        assert len(ids) == 2
        await socket.send(event(2))
        assert (await answer(socket))[0] == 52
    assert stand_in.heard.connections == 1


async def test_ssml_goes_before_text() -> None:
    async with (
        volcengine() as stand_in,
        connect(stand_in.address + STREAM, additional_headers=KEYS) as socket,
    ):
        await socket.send(request(text="no", ssml="<speak>yes</speak>"))
        while (await answer(socket))[0] != 152:
            pass
    assert [said.text for said in stand_in.heard.said] == ["<speak>yes</speak>"]


@pytest.mark.parametrize(
    "wrong",
    [
        event(100, "one"),
        request(),
        request(text=7),
        request(text="x", speaker=""),
        request(text="x")[:-1],
        b"\x11\x10\x10\x00\x00\x00\x00\x02[]",
        b"\x11\x10\x11\x00\x00\x00\x00\x02{}",
    ],
    ids=str,
)
async def test_a_wrong_request_is_refused(wrong: bytes) -> None:
    async with (
        volcengine() as stand_in,
        connect(stand_in.address + STREAM, additional_headers=KEYS) as socket,
    ):
        await socket.send(wrong)
        assert (await answer(socket))[0] == -45000001


async def test_the_keys_are_those_of_v3_by_either_name() -> None:
    named_by_http = {
        **{name: value for name, value in KEYS.items() if name != "X-Api-App-Key"},
        "X-Api-App-Id": KEYS["X-Api-App-Key"],
    }
    async with volcengine() as stand_in:
        async with connect(stand_in.address + STREAM, additional_headers=named_by_http):
            pass
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                stand_in.address + STREAM, additional_headers={**KEYS, "X-Api-Access-Key": "no"}
            )
        assert refused.value.response.status_code == 401
