"""Volcengine voices over v1 and v3: the sound of texts, and the requests that are sent."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from app.errors import VoiceError
from app.simulator.voices.mouth import tones
from app.wires.voices.voice import Sounds, SpokenWord
from app.wires.voices.volcengine.frame import sized
from app.wires.voices.volcengine.voice import VolcengineVoice
from tests.wires.voices.volcengine.volcengine_line import (
    APP,
    BOTH,
    HELLO,
    SPEAKER,
    TOKEN,
    Transport,
    line_to,
    settings,
    spoken,
    volcengine,
)
from tests.wires.voices.volcengine.volcengine_peer import (
    ACK,
    FRONTEND,
    LOGID,
    Peer,
    audio,
    peer,
    sends,
)

# --- texts ----------------------------------------------------------------------------------------


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


async def test_a_query_is_yielded_in_pieces() -> None:
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
async def test_a_text_without_letters_is_not_sent(transport: Transport, text: str) -> None:
    async with volcengine() as stand_in, line_to(stand_in.url, transport) as line:
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say(text))
    assert failed.value.kind == "text"
    assert stand_in.heard.connections == 0


async def test_ssml_is_sent_unchanged_and_not_split() -> None:
    ssml = "<speak>Hello <break time='1s'/> there.</speak>"
    async with volcengine() as stand_in, line_to(stand_in.url, text_type="ssml") as line:
        await spoken(line.say(ssml))
        for wrong in ("<speak></speak>", f"<speak>{'a' * 1024}</speak>"):
            with pytest.raises(VoiceError) as failed:
                await spoken(line.say(wrong))
            assert failed.value.kind == "text"
    assert [said.text for said in stand_in.heard.said] == [ssml]


async def words_of(sounds: Sounds) -> list[SpokenWord]:
    return [word async for sound in sounds for word in sound.words]


async def test_v1_sends_the_times_of_the_words() -> None:
    async with volcengine() as stand_in, line_to(stand_in.url) as line:
        found = await words_of(line.say("Hello there, caller."))
        plain = tones("Hello there, caller.", 8000)
    assert [word.text for word in found] == ["Hello", "there,", "caller."]
    assert [word.start_ms for word in found] == [word.offset_bytes / 16 for word in plain.words]
    assert found[-1].end_ms == pytest.approx(len(plain.pcm) / 16, abs=10)


async def test_the_times_of_a_later_portion_count_from_the_start_of_the_text() -> None:
    text = "这是一个很长的句子，它没有尽头。" * 30
    async with volcengine() as stand_in, line_to(stand_in.url) as line:
        found = await words_of(line.say(text))
        first, second = stand_in.heard.said
    assert len(found) == 2 and found[1].start_ms == len(first.spoken.pcm) / 16
    assert second.whole


async def test_v3_and_ssml_have_no_times() -> None:
    async with volcengine() as stand_in:
        for line_here in (line_to(stand_in.url, "v3"), line_to(stand_in.url, text_type="ssml")):
            async with line_here as line:
                assert await words_of(line.say("Hello there.")) == []


@pytest.mark.parametrize(
    "json",
    [
        b"{",
        b"[]",
        b'{"words":[{"word":"a"}]}',
        b'{"words":[{"word":"a","start_time":2,"end_time":1}]}',
    ],
)
async def test_timestamps_that_cannot_be_read_cost_no_sound(json: bytes) -> None:
    frames = (b"\x11\xc0\x10\x00" + sized(json), audio(b"abcd", -1))
    async with peer(sends(*frames)) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == b"abcd"


async def test_lone_surrogates_are_removed() -> None:
    async with volcengine() as stand_in, line_to(stand_in.url) as line:
        await spoken(line.say("Hello \ud83d."))
    assert stand_in.heard.said[0].text == "Hello ."


# --- server frames --------------------------------------------------------------------------------


async def test_only_audio_frames_give_sound() -> None:
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


async def test_a_query_ignores_an_acknowledgment() -> None:
    async with peer(sends(ACK, audio(b"abcd", -1))) as service:
        async with line_to(service.url, operation="query") as line:
            assert await spoken(line.say(HELLO)) == b"abcd"


async def test_split_samples_are_reassembled() -> None:
    pcm = bytes(range(1, 101))
    cuts = [0, 1, 2, 5, 6, 51, 52, 99, 100]
    frames = [audio(pcm[a:b], n) for n, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False), 1)]
    async with peer(sends(*frames, audio(b"\x07", -9))) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == pcm  # without the half sample at the end
        assert await spoken(line.say(HELLO)) == pcm


@BOTH
@pytest.mark.parametrize("encoding", ["mp3", "wav", "ogg_opus"])
async def test_another_encoding_is_an_error(transport: Transport, encoding: str) -> None:
    async with volcengine(encoding=encoding) as stand_in, line_to(stand_in.url, transport) as line:
        with pytest.raises(VoiceError, match="in place of PCM") as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


@pytest.mark.parametrize(
    "broken",
    ["a text", b"", audio(b"abcd", 1)[:-1], b"\x11\x90\x10\x00\0\0\0\0", audio(b"no", 1, flags=9)],
    ids=["text", "empty", "cut", "unknown", "flags"],
)
async def test_a_malformed_frame_fails_text_and_connection(
    broken: bytes | str,
) -> None:
    async with peer(sends(broken), sends(audio(b"ab", -1))) as service:
        async with line_to(service.url) as line:
            with pytest.raises(VoiceError, match=f"violated its protocol.*{LOGID}") as failed:
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
    assert service.connections == 1  # no retry after the first sound


# --- settings -------------------------------------------------------------------------------------


async def requests(texts: Sequence[str], **changes: Any) -> list[dict[str, Any]]:
    async with peer(sends(audio(b"ab", -1))) as service, line_to(service.url, **changes) as line:
        for text in texts:
            await spoken(line.say(text))
        return service.requests


async def test_only_the_given_settings_are_sent() -> None:
    first, second = await requests([HELLO, HELLO])
    assert first["user"] == second["user"]
    assert first.pop("user")["uid"]
    assert first["request"].pop("reqid") != second["request"].pop("reqid")
    assert first == {
        "app": {"appid": APP, "token": "access_token", "cluster": "volcano_tts"},
        "audio": {"voice_type": SPEAKER, "encoding": "pcm", "rate": 8000},
        "request": {
            "text": HELLO,
            "text_type": "plain",
            "operation": "submit",
            "with_timestamp": 1,
        },
    }


async def test_every_setting_is_sent() -> None:
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
        changes: dict[str, Any] = (
            sound | request | {"cluster": "volcano_icl", "uid": "me", "gzip": True}
        )
        async with line_to(service.url, **changes) as line:
            await spoken(line.say(HELLO), hz=16000)
    (sent,) = service.requests
    assert sent["app"]["cluster"] == "volcano_icl"
    assert sent["user"] == {"uid": "me"}
    assert sent["audio"] == {"voice_type": SPEAKER, "encoding": "pcm"} | sound
    assert sent["request"].pop("reqid")
    assert sent["request"] == {"text": HELLO, "with_timestamp": 1} | request


def test_repr_and_label_show_no_secret() -> None:
    given = settings("", api_key="KEY_PLACEHOLDER")
    assert VolcengineVoice(given).label == f"volcengine/{SPEAKER}"
    assert TOKEN not in repr(given) and "KEY_PLACEHOLDER" not in repr(given)


def test_the_transports_path_is_added_unless_the_url_has_one() -> None:
    path = "/api/v1/tts/ws_binary"
    assert settings("").address(path) == f"wss://openspeech.bytedance.com{path}"
    assert settings("ws://here:1/").address(path) == f"ws://here:1{path}"
    assert settings("ws://here:1/own").address(path) == "ws://here:1/own"
