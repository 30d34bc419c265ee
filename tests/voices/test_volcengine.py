"""The Volcengine voice on both its wires: what it says, on which connection, and how it fails."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, Literal

import pytest
from websockets.asyncio.server import ServerConnection, serve

from app.errors import VoiceError
from app.simulator.mouth import Plan, tones
from app.simulator.voice_volcengine import VolcengineStandIn
from app.voices.base import Sounds, VoiceLine, timed
from app.voices.volcengine import VolcengineLine, VolcengineSettings, VolcengineVoice
from tests.voices.volcengine_peer import ACK, FRONTEND, LOGID, Peer, audio, failure, peer, sends

APP, TOKEN, SPEAKER = "APPID_PLACEHOLDER", "TOKEN_PLACEHOLDER", "VOICE_PLACEHOLDER"
HELLO = "Hello there, caller."
SLOW = Plan(speed=0.01)
BOTH = pytest.mark.parametrize("transport", ["v1", "v3"])
Transport = Literal["v1", "v3"]


def settings(url: str, transport: Transport = "v1", **changes: Any) -> VolcengineSettings:
    given = {"app_id": APP, "access_token": TOKEN, "voice_type": SPEAKER} | changes
    return VolcengineSettings(transport=transport, url=url, **given)


def volcengine(**changes: Any) -> VolcengineStandIn:
    return VolcengineStandIn(**{"token": TOKEN, "app_id": APP} | changes)


@asynccontextmanager
async def line_to(
    url: str, transport: Transport = "v1", **changes: Any
) -> AsyncIterator[VolcengineLine]:
    """A line; nothing of the voice may be left behind it."""
    before = asyncio.all_tasks()
    voice = VolcengineVoice(settings(url, transport, **changes))
    line: VoiceLine = voice.line()
    assert isinstance(line, VolcengineLine)
    yield line
    await line.aclose()
    await voice.aclose()
    left = {
        task
        for task in asyncio.all_tasks() - before
        if "app/voices" in str(task.get_coro()) and not task.done()
    }
    assert not left


async def spoken(sounds: Sounds, *, hz: int = 8000) -> bytes:
    pcm = b""
    async with aclosing(sounds):
        async for sound in sounds:
            assert sound.hz == hz
            assert sound.pcm and len(sound.pcm) % 2 == 0
            pcm += sound.pcm
    return pcm


def at_once(sounds: Sounds) -> None:
    """Close a generator that may not wait for anything."""
    with pytest.raises(StopIteration):
        sounds.aclose().send(None)


# --- what is said ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("hz", [8000, 24000])
async def test_a_text_is_said_to_its_last_sample(transport: Transport, gzip: bool, hz: int) -> None:
    async with (
        volcengine(gzip=gzip) as stand_in,
        line_to(stand_in.url, transport, gzip=gzip, rate=hz) as line,
    ):
        assert await spoken(line.say(HELLO), hz=hz) == tones(HELLO, hz).pcm
    assert [said.text for said in stand_in.heard.said] == [HELLO]
    assert stand_in.heard.said[0].whole


async def test_a_query_gets_the_whole_text_and_hands_it_on_in_pieces() -> None:
    text = "A sentence that takes longer than one second, by far."
    async with volcengine() as stand_in, line_to(stand_in.url, operation="query") as line:
        assert await spoken(line.say(text)) == tones(text, 8000).pcm
        async with aclosing(line.say(text)) as sounds:
            first = await anext(sounds)
        assert len(first.pcm) == 16_000


@BOTH
async def test_texts_follow_each_other_on_one_connection(transport: Transport) -> None:
    texts = ["One.", "Two, three.", "Four!"]
    async with volcengine() as stand_in, line_to(stand_in.url, transport) as line:
        for text in texts:
            assert await spoken(line.say(text)) == tones(text, 8000).pcm
    assert [said.text for said in stand_in.heard.said] == texts
    assert stand_in.heard.connections == 1


@BOTH
async def test_a_text_too_long_for_the_service_is_said_in_portions(transport: Transport) -> None:
    sentence = "这是一个很长的句子，它没有尽头。"
    text = sentence * 30
    async with volcengine() as stand_in, line_to(stand_in.url, transport) as line:
        await spoken(line.say(text))
    texts = [said.text for said in stand_in.heard.said]
    assert "".join(texts) == text
    assert len(texts) == 2
    assert all(each.endswith("。") and len(each.encode()) <= 1024 for each in texts)
    assert stand_in.heard.connections == 1


@BOTH
@pytest.mark.parametrize("text", ["", "...", "👍🏽 !?", " _ "])
async def test_what_cannot_be_said_is_never_sent(transport: Transport, text: str) -> None:
    async with volcengine() as stand_in, line_to(stand_in.url, transport) as line:
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say(text))
    assert failed.value.kind == "text"
    assert stand_in.heard.connections == 0


async def test_ssml_is_sent_as_it_is_and_never_cut() -> None:
    ssml = "<speak>Hello <break time='1s'/> there.</speak>"
    async with volcengine() as stand_in, line_to(stand_in.url, text_type="ssml") as line:
        await spoken(line.say(ssml))
        for wrong in ("<speak></speak>", f"<speak>{'a' * 1024}</speak>"):
            with pytest.raises(VoiceError) as failed:
                await spoken(line.say(wrong))
            assert failed.value.kind == "text"
    assert [said.text for said in stand_in.heard.said] == [ssml]


async def test_half_a_surrogate_pair_is_left_out() -> None:
    async with volcengine() as stand_in, line_to(stand_in.url) as line:
        await spoken(line.say("Hello \ud83d."))
    assert stand_in.heard.said[0].text == "Hello ."


# --- which frames come back -----------------------------------------------------------------------


async def test_only_sound_is_heard_whatever_comes_beside_it() -> None:
    frames = (ACK, FRONTEND, audio(b"", 1), audio(b"ab", 2), FRONTEND, audio(b"cd", 9), ACK)
    async with peer(sends(*frames, audio(b"ef", -10))) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == b"abcdef"
        assert await spoken(line.say(HELLO)) == b"abcdef"
    assert service.connections == 1


@pytest.mark.parametrize(
    "last",
    [audio(b"", -2), audio(b"", -2, flags=2), audio(b"", flags=2), audio(b"", -2, compress=True)],
    ids=["3", "2 counted", "2 uncounted", "gzip"],
)
async def test_the_last_frame_may_be_empty(last: bytes) -> None:
    async with peer(sends(audio(b"abcd", 1), last)) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == b"abcd"


async def test_a_query_passes_over_an_acknowledgment() -> None:
    async with peer(sends(ACK, audio(b"abcd", -1))) as service:
        async with line_to(service.url, operation="query") as line:
            assert await spoken(line.say(HELLO)) == b"abcd"


async def test_samples_cut_in_half_are_put_together() -> None:
    pcm = bytes(range(1, 101))
    cuts = [0, 1, 2, 5, 6, 51, 52, 99, 100]
    frames = [audio(pcm[a:b], n) for n, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False), 1)]
    async with peer(sends(*frames, audio(b"\x07", -9))) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == pcm  # the half at the end is nothing to play
        assert await spoken(line.say(HELLO)) == pcm


@BOTH
@pytest.mark.parametrize("encoding", ["mp3", "wav", "ogg_opus"])
async def test_sound_in_another_encoding_is_no_noise_but_an_error(
    transport: Transport, encoding: str
) -> None:
    async with volcengine(encoding=encoding) as stand_in, line_to(stand_in.url, transport) as line:
        with pytest.raises(VoiceError, match="although PCM was asked for") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


@pytest.mark.parametrize(
    "broken",
    ["a text", b"", audio(b"abcd", 1)[:-1], b"\x11\x90\x10\x00\0\0\0\0", audio(b"no", 1, flags=9)],
    ids=["text", "empty", "cut", "unknown", "flags"],
)
async def test_a_broken_frame_fails_the_text_and_costs_the_connection(broken: bytes | str) -> None:
    async with peer(sends(broken), sends(audio(b"ab", -1))) as service:
        async with line_to(service.url) as line:
            with pytest.raises(VoiceError, match=f"broke its own protocol.*{LOGID}") as failed:
                await spoken(line.say(HELLO))
            assert failed.value.kind == "passing"
            assert await spoken(line.say(HELLO)) == b"ab"
    assert service.connections == 2


async def test_a_connection_that_ends_before_the_last_frame_has_failed() -> None:
    async def hangs_up(told: Peer, socket: ServerConnection) -> None:
        await told.request(socket)
        await socket.send(audio(b"abcd", 1))

    async with peer(hangs_up) as service, line_to(service.url) as line:
        sounds = line.say(HELLO)
        assert (await anext(sounds)).pcm == b"abcd"
        with pytest.raises(VoiceError, match="closed the connection with code 1000") as failed:
            await anext(sounds)
    assert failed.value.kind == "passing"
    assert service.connections == 1  # what was heard is not said again


# --- dropped --------------------------------------------------------------------------------------


@BOTH
async def test_a_dropped_text_stops_at_once_and_the_next_one_is_said(transport: Transport) -> None:
    plans = {HELLO: SLOW, "Yes?": Plan()}
    async with (
        volcengine(plan=plans.__getitem__) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        sounds = line.say(HELLO)
        await anext(sounds)
        at_once(sounds)
        assert await spoken(line.say("Yes?")) == tones("Yes?", 8000).pcm
        await stand_in.until(lambda heard: heard.said[0].dropped)
        assert stand_in.heard.said[0].sent_bytes < len(stand_in.heard.said[0].spoken.pcm)
    assert stand_in.heard.connections == 2


@BOTH
async def test_a_text_can_be_dropped_before_its_first_sound(transport: Transport) -> None:
    plan = Plan(fault="stall")
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        saying = asyncio.create_task(spoken(line.say(HELLO)))
        await stand_in.until(lambda heard: heard.said)
        saying.cancel()
        await asyncio.wait({saying})
        assert saying.cancelled()
        await stand_in.until(lambda heard: heard.said[0].dropped)


async def test_a_text_can_be_dropped_while_its_connection_is_being_opened() -> None:
    knocked, gone = asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        knocked.set()
        assert await reader.read() == b""
        gone.set()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with line_to(f"ws://127.0.0.1:{port}") as line:
            saying = asyncio.create_task(spoken(line.say(HELLO)))
            await knocked.wait()
            saying.cancel()
            await gone.wait()
            assert saying.cancelled()


async def test_nobody_waits_for_a_server_that_does_not_say_goodbye() -> None:
    frozen = asyncio.Event()

    async def freezes(told: Peer, socket: ServerConnection) -> None:
        await told.request(socket)
        await socket.send(audio(b"abcd", 1))
        socket.transport.pause_reading()  # type: ignore[attr-defined]
        frozen.set()
        await asyncio.Event().wait()

    async with peer(freezes, sends(audio(b"ab", -1))) as service, line_to(service.url) as line:
        sounds = line.say(HELLO)
        await anext(sounds)
        await frozen.wait()
        at_once(sounds)
        assert await spoken(line.say(HELLO)) == b"ab"


@BOTH
async def test_a_line_can_be_let_go_in_mid_text(transport: Transport) -> None:
    async with volcengine(plan=lambda _: SLOW) as stand_in:
        async with line_to(stand_in.url, transport) as line:
            sounds = line.say(HELLO)
            await anext(sounds)
            await line.aclose()
            at_once(sounds)
        await stand_in.until(lambda heard: heard.said[0].dropped)


# --- connections ----------------------------------------------------------------------------------


@BOTH
async def test_a_prepared_connection_says_the_next_text(transport: Transport) -> None:
    async with volcengine() as stand_in, line_to(stand_in.url, transport) as line:
        await asyncio.gather(line.prepare(), line.prepare())
        await line.prepare()
        assert stand_in.heard.connections == 1
        await spoken(line.say(HELLO))
        await line.prepare()
    assert stand_in.heard.connections == 1


async def test_a_text_waits_for_the_connection_that_is_being_prepared() -> None:
    async with volcengine() as stand_in, line_to(stand_in.url) as line:
        preparing = asyncio.create_task(line.prepare())
        await asyncio.gather(preparing, spoken(line.say(HELLO)))
    assert stand_in.heard.connections == 1


async def test_a_spare_connection_stands_by_when_the_one_in_use_is_dropped() -> None:
    async with volcengine(plan=lambda _: SLOW) as stand_in, line_to(stand_in.url) as line:
        sounds = line.say(HELLO)
        await anext(sounds)
        await line.prepare()
        at_once(sounds)
        sounds = line.say("Yes?")
        await anext(sounds)
        at_once(sounds)
        assert stand_in.heard.connections == 2


@BOTH
async def test_preparing_in_vain_is_no_error_until_something_is_to_be_said(
    transport: Transport,
) -> None:
    async with (
        volcengine(token="another") as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        await line.prepare()
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


async def test_a_prepared_connection_that_died_costs_nothing() -> None:
    async def hangs_up(_told: Peer, _socket: ServerConnection) -> None:
        return

    async with peer(hangs_up, sends(audio(b"ab", -1))) as service, line_to(service.url) as line:
        await line.prepare()
        assert await spoken(line.say(HELLO)) == b"ab"


@BOTH
async def test_a_service_that_takes_one_text_for_each_connection_gets_a_new_one(
    transport: Transport,
) -> None:
    async with volcengine(once=True) as stand_in, line_to(stand_in.url, transport) as line:
        for text in ("One.", "Two.", "Three."):
            assert await spoken(line.say(text)) == tones(text, 8000).pcm
    assert stand_in.heard.connections == 3


@pytest.mark.parametrize(
    "second", [failure(3001, b"one only"), failure(3005, b"busy"), b"?", None], ids=str
)
async def test_a_connection_that_takes_no_second_text_is_replaced(second: bytes | None) -> None:
    async def takes_one(told: Peer, socket: ServerConnection) -> None:
        await told.request(socket)
        await socket.send(audio(b"ab", -1))
        await told.request(socket)
        if second is not None:
            await socket.send(second)
        else:
            socket.transport.abort()

    async with peer(takes_one) as service, line_to(service.url) as line:
        assert await spoken(line.say("One.")) == b"ab"
        assert await spoken(line.say("Two.")) == b"ab"
    assert service.connections == 2
    assert [each["request"]["text"] for each in service.requests] == ["One.", "Two.", "Two."]
    assert len({each["request"]["reqid"] for each in service.requests}) == 3


async def test_what_comes_behind_the_last_frame_is_not_taken_for_the_next_text() -> None:
    async def late(told: Peer, socket: ServerConnection) -> None:
        await told.request(socket)
        # in one packet, so that both are there when the next text is begun
        with_more = audio(b"ab", -1)
        await asyncio.gather(socket.send(with_more), socket.send(audio(b"XX", 1)))
        await socket.wait_closed()

    async with peer(late, sends(audio(b"cd", -1))) as service, line_to(service.url) as line:
        assert await spoken(line.say("One.")) == b"ab"
        assert await spoken(line.say("Two.")) == b"cd"


async def test_a_refused_text_is_not_tried_twice() -> None:
    async with peer(sends(audio(b"ab", -1)), sends(audio(b"no", -1))) as service:
        async with line_to(service.url) as line:
            await spoken(line.say(HELLO))
    async with peer(sends(failure(3011, b"illegal input text!"))) as service:
        async with line_to(service.url) as line:
            await line.prepare()
            with pytest.raises(VoiceError) as failed:
                await spoken(line.say(HELLO))
    assert failed.value.kind == "text"
    assert service.connections == 1


async def test_a_request_id_that_was_used_is_replaced() -> None:
    answers = sends(failure(3006, b"duplicated")), sends(audio(b"ab", -1))
    async with peer(*answers) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == b"ab"
    first, second = service.requests
    assert first["request"]["reqid"] != second["request"]["reqid"]


# --- how it fails ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("fault", ["refuse", "error", "drop"])
@pytest.mark.parametrize("after", [0, 3000])
async def test_what_passes_is_told_from_what_stays(
    transport: Transport, fault: Literal["refuse", "error", "drop"], after: int
) -> None:
    plan = Plan(fault=fault, fault_after_bytes=after)
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        heard = b""
        with pytest.raises(VoiceError) as failed:
            async for sound in line.say(HELLO):
                heard += sound.pcm
        assert failed.value.kind == "passing"
        assert heard == tones(HELLO, 8000).pcm[: 0 if fault == "refuse" else after]


@BOTH
async def test_a_service_that_falls_silent_fails_in_time(transport: Transport) -> None:
    plan = Plan(fault="stall", fault_after_bytes=3000)
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        with pytest.raises(VoiceError, match="more sound came within"):
            await spoken(timed(line.say(HELLO), gap_s=0.05))
        await stand_in.until(lambda heard: heard.said[0].dropped)


async def test_a_voice_that_does_not_exist_is_told_with_what_support_asks_for() -> None:
    async with volcengine(voices=["another"]) as stand_in, line_to(stand_in.url) as line:
        with pytest.raises(VoiceError, match="check voice_type.*logid .*reqid ") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


async def test_an_application_that_is_not_the_tokens_is_fatal() -> None:
    async with volcengine(app_id="another") as stand_in, line_to(stand_in.url) as line:
        with pytest.raises(VoiceError, match="check both") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"
    assert APP not in str(failed.value)


async def test_nobody_at_the_address_passes_and_an_address_that_is_none_does_not() -> None:
    async with peer(sends()) as service:
        url = service.url
    for where, kind in ((url, "passing"), ("https://nowhere.example", "fatal")):
        async with line_to(where) as line:
            with pytest.raises(VoiceError, match="check url") as failed:
                await spoken(line.say(HELLO))
            assert failed.value.kind == kind


@BOTH
async def test_credentials_do_not_follow_a_redirect(transport: Transport) -> None:
    async with volcengine() as stand_in:

        def elsewhere(socket: ServerConnection, _request: object) -> object:
            response = socket.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = stand_in.url
            return response

        async with serve(
            lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=elsewhere
        ) as at:  # type: ignore[arg-type]
            port = at.sockets[0].getsockname()[1]
            async with line_to(f"ws://127.0.0.1:{port}", transport) as line:
                with pytest.raises(VoiceError, match="HTTP 302"):
                    await spoken(line.say(HELLO))
    assert stand_in.heard.connections == 0


@BOTH
async def test_neither_secrets_nor_texts_are_logged(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plans = {HELLO: Plan(), "Bad luck": Plan(fault="error")}
    async with (
        volcengine(plan=plans.__getitem__) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        await spoken(line.say(HELLO))
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say("Bad luck"))
    logged = str([vars(record) for record in caplog.records]) + str(failed.value)
    assert "voice connected" in logged
    for private in (TOKEN, APP, "Hello", "Bad luck", "Bearer"):
        assert private not in logged


# --- what is set up -------------------------------------------------------------------------------


async def requests(texts: Sequence[str], **changes: Any) -> list[dict[str, Any]]:
    async with peer(sends(audio(b"ab", -1))) as service, line_to(service.url, **changes) as line:
        for text in texts:
            await spoken(line.say(text))
        return service.requests


async def test_a_request_holds_what_was_set_and_nothing_else() -> None:
    first, second = await requests([HELLO, HELLO])
    assert first["user"] == second["user"]
    assert first.pop("user")["uid"]
    assert first["request"].pop("reqid") != second["request"].pop("reqid")
    assert first == {
        "app": {"appid": APP, "token": "access_token", "cluster": "volcano_tts"},
        "audio": {"voice_type": SPEAKER, "encoding": "pcm", "rate": 8000},
        "request": {"text": HELLO, "text_type": "plain", "operation": "submit"},
    }


async def test_everything_that_can_be_set_goes_over_the_wire() -> None:
    sound = {
        "rate": 16000,
        "speed_ratio": 1.5,
        "volume_ratio": 0.5,
        "pitch_ratio": 0.9,
        "loudness_ratio": 2.0,
        "emotion": "happy",
        "enable_emotion": False,
        "emotion_scale": 4.0,
        "explicit_language": "en",
    }
    request = {
        "text_type": "plain",
        "operation": "submit",
        "model": "seed-tts-1.1",
        "extra_param": '{"disable_markdown_filter":true}',
    }
    async with peer(sends(audio(b"ab", -1))) as service:
        changes = sound | request | {"cluster": "volcano_icl", "uid": "me", "gzip": True}
        async with line_to(service.url, **changes) as line:
            await spoken(line.say(HELLO), hz=16000)
    (sent,) = service.requests
    assert sent["app"]["cluster"] == "volcano_icl"
    assert sent["user"] == {"uid": "me"}
    assert sent["audio"] == {"voice_type": SPEAKER, "encoding": "pcm"} | sound
    assert sent["request"].pop("reqid")
    assert sent["request"] == {"text": HELLO} | request


def test_a_voice_shows_its_name_and_none_of_its_secrets() -> None:
    given = settings("", api_key="KEY_PLACEHOLDER")
    assert VolcengineVoice(given).label == f"volcengine/{SPEAKER}"
    assert TOKEN not in repr(given) and "KEY_PLACEHOLDER" not in repr(given)


def test_an_address_gets_the_path_of_its_wire_unless_it_has_one() -> None:
    path = "/api/v1/tts/ws_binary"
    assert settings("").address(path) == f"wss://openspeech.bytedance.com{path}"
    assert settings("ws://here:1/").address(path) == f"ws://here:1{path}"
    assert settings("ws://here:1/own").address(path) == "ws://here:1/own"
