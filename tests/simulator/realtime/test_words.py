"""Replies with word places: text and audio deltas in step."""

import base64
import math
from typing import Any

import pytest

from app.audio import tone
from app.simulator.realtime import Options, RealtimeServer, Reply
from app.simulator.realtime.config import AudioFormat
from app.simulator.speech import utter
from tests.simulator.realtime.realtime_client import PHONE, Client, PhoneSession

AT_ONCE = Options(speed=math.inf)
AUDIO = tone((200, 300, 250), note_ms=200, level_dbfs=-20)  # 4800 bytes

TEXT_DELTA = "response.output_audio_transcript.delta"
AUDIO_DELTA = "response.output_audio.delta"


def deltas(client: Client) -> list[str | int]:
    """The deltas in order: texts, and the sizes of audio."""
    return [
        event["delta"] if event["type"] == TEXT_DELTA else len(base64.b64decode(event["delta"]))
        for event in client.seen
        if event["type"] in (TEXT_DELTA, AUDIO_DELTA)
    ]


async def said(reply: Reply, **session: Any) -> Client:
    async with (
        RealtimeServer([reply], options=AT_ONCE) as server,
        PhoneSession(server, **session) as client,
    ):
        await client.send("response.create")
        await client.until("response.done")
    return client


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # at most 100 ms, 800 bytes, and a new piece for each word
        ([(0, "One "), (1000, "two.")], ["One ", 800, 200, "two.", 800, 800, 800, 800, 600]),
        ([(900, "Late.")], [800, 100, "Late.", 800, 800, 800, 800, 700]),
        (
            [(0, "One "), (1600, "two "), (1600, "three.")],
            ["One ", 800, 800, "two three.", *[800] * 4],
        ),
        ([(0, "One "), (99_999, "beyond.")], ["One ", *[800] * 6, "beyond."]),
        ([(1600, "Back "), (800, "again.")], [800, 800, "Back again.", *[800] * 4]),
    ],
)
async def test_a_word_is_sent_right_before_its_audio(
    words: list[tuple[int, str]], expected: list[str | int]
) -> None:
    text = "".join(word for _, word in words)
    client = await said(Reply(text, audio=AUDIO, words=words))
    assert deltas(client) == expected
    (done,) = client.of("response.output_audio_transcript.done")
    assert done["transcript"] == text
    sent = b"".join(base64.b64decode(event["delta"]) for event in client.of(AUDIO_DELTA))
    assert sent == AUDIO


@pytest.mark.parametrize(
    ("format_type", "bytes_per_ms"), [("audio/pcm", 48), ("audio/pcma", 8), ("audio/pcmu", 8)]
)
async def test_word_places_are_right_in_every_audio_format(
    format_type: str, bytes_per_ms: int
) -> None:
    audio_format = {"type": format_type} | ({"rate": 24000} if format_type == "audio/pcm" else {})
    session = {"audio": {**PHONE["audio"], "output": {"format": audio_format, "voice": "marin"}}}  # type: ignore[dict-item] # a JSON literal
    words = [(0, "One "), (1001, "two.")]
    client = await said(Reply("One two.", audio=AUDIO, words=words), **session)
    came = deltas(client)
    at = came.index("two.")
    sizes = [size for size in came[:at] if isinstance(size, int)]
    assert sum(sizes) == 1001 * bytes_per_ms // 8
    whole = sum(size for size in came if isinstance(size, int))
    assert whole == len(AudioFormat(format_type).from_ulaw(AUDIO))
    assert max(size for size in came if isinstance(size, int)) == 100 * bytes_per_ms


async def test_words_that_are_not_the_text_fail_the_response() -> None:
    server = RealtimeServer([Reply("One two.", audio=AUDIO, words=[(0, "One")])], options=AT_ONCE)
    await server.start()
    try:
        async with PhoneSession(server) as client:
            await client.send("response.create")
            done = await client.until("response.done")
            assert done["response"]["status"] == "failed"
    finally:
        await server.close()
    (failure,) = server.failures
    assert "not its text" in str(failure)


async def test_a_text_response_ignores_word_places() -> None:
    reply = Reply("One two.", audio=AUDIO, words=[(0, "One "), (1000, "two.")])
    client = await said(reply, output_modalities=["text"])
    assert [event["delta"] for event in client.of("response.output_text.delta")] == ["One ", "two."]
    assert not client.of(AUDIO_DELTA)


async def test_an_utterance_is_sent_word_by_word() -> None:
    utterance = utter("Twelve fifty, please. Thank you!")
    words = [(word.offset_bytes, word.text) for word in utterance.words]
    client = await said(
        Reply("Twelve fifty, please. Thank you!", audio=utterance.ulaw, words=words)
    )
    places, begun = [], 0
    for delta in deltas(client):
        if isinstance(delta, str):
            places.append((begun, delta))
        else:
            begun += delta
    assert places == words
    assert begun == len(utterance.ulaw)
