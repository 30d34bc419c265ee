"""A recorded call: what the file holds is what was said and heard, when it was."""

import os
import wave
from pathlib import Path
from typing import Any

import pytest

from app.audio import ulaw_decode
from app.simulator.realtime import Reply, Script
from app.simulator.speech import utter
from app.simulator.twilio import Call, Network
from tests.service.world import AGENT, World, noise, world

RECORDED = f"""{AGENT}
[recording]
enabled = true
announcement = "This call is recorded."
"""
ALIGNED_MS = 20


def read(path: str) -> tuple[memoryview, memoryview]:
    """The samples of both sides: caller, agent."""
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        samples = memoryview(file.readframes(file.getnframes())).cast("h")
    return samples[0::2], samples[1::2]


def sounds(samples: memoryview) -> list[tuple[float, float]]:
    """From when to when something sounds, in ms; pauses under 50 ms are none."""
    found: list[list[int]] = []
    for n, sample in enumerate(samples.tolist()):
        if abs(sample) > 200:
            if found and n - found[-1][1] < 400:
                found[-1][1] = n
            else:
                found.append([n, n])
    return [(first / 8, last / 8) for first, last in found if last - first > 80]


async def talk(w: World) -> tuple[Call, dict[str, Any]]:
    """The greeting, a question, an answer that is interrupted, and the end."""
    call = await w.connected()
    await call.wait_quiet(200)
    call.say(noise(400, "question"))
    await call.wait_heard(len(call.heard) + 4000)
    call.say(noise(300, "interruption"))
    await call.wait_for(lambda: bool(call.playback.clears))
    await call.wait_heard(len(call.heard) + 1)
    await call.wait_quiet(50)
    call.hang_up()
    await call.wait_ended()
    await w.settled()
    return call, await w.record(call.call_sid)


def script() -> Script:
    return Script(
        Reply("Hello.", audio=noise(400, "greeting")),
        Reply("A long answer that is not heard to its end.", audio=noise(6000, "answer")),
        Reply("Yes?", audio=noise(300, "yes")),
        heard=["A question?", "Stop."],
    )


async def test_the_wav_lies_on_the_timeline(tmp_path: Path) -> None:
    async with world(script(), agent=RECORDED, recordings_dir=tmp_path) as w:
        call, record = await talk(w)
    caller, agent = read(record["recording"])
    assert Path(record["recording"]) == tmp_path / f"{call.call_sid}.wav"

    # what was heard, byte for byte, and nothing else
    plays = [m.payload[: m.kept_bytes] for m in call.playback.media if m.kept_bytes]
    assert abs(len(b"".join(plays)) / 8 - sum(b - a for a, b in sounds(agent))) < 100

    played = [e["at_ms"] for e in record["events"] if e["name"] == "PlayAudio"]
    began = [first for first, _ in sounds(agent)]
    assert abs(began[0] - played[0]) < ALIGNED_MS
    (cleared,) = [e for e in record["events"] if e["name"] == "ClearAudio"]
    assert abs(sounds(agent)[1][1] - cleared["at_ms"]) < ALIGNED_MS
    (cut,) = [turn for turn in record["transcript"] if turn["cut"]]
    heard_ms = sounds(agent)[1][1] - sounds(agent)[1][0]
    assert abs(heard_ms - cut["heard_ms"]) < 2

    # the simulated model counts appended audio; its turn detection waits 100 ms of silence
    stream_ms = record["timings"]["stream_started_ms"]
    speech = [e for e in record["events"] if e["name"] in ("SpeechStarted", "SpeechStopped")]
    assert [e["name"] for e in speech] == ["SpeechStarted", "SpeechStopped"] * 2
    for (_, ended), stopped in zip(sounds(caller), speech[1::2], strict=True):
        assert abs(stream_ms + stopped["data"]["audio_end_ms"] - 100 - ended) < 2 * ALIGNED_MS


async def test_a_slow_line_is_recorded_on_the_same_clock(tmp_path: Path) -> None:
    network = Network(delay_ms=60, jitter_ms=5, seed=1)
    async with world(script(), agent=RECORDED, recordings_dir=tmp_path, network=network) as w:
        _, record = await talk(w)
    _, agent = read(record["recording"])
    (cut,) = [turn for turn in record["transcript"] if turn["cut"]]
    first, last = sounds(agent)[1]
    assert abs(last - first - cut["heard_ms"]) < 2


async def test_the_caller_hears_the_announcement_before_anything_is_recorded() -> None:
    async with world(Script("Hello."), agent=RECORDED) as w:
        call = await w.connected()
        assert call.said == ["This call is recorded."]
        assert '<Say language="en-US">' in call.twiml_history[0]


async def test_a_call_is_not_recorded_unless_the_agent_file_says_so(tmp_path: Path) -> None:
    async with world(Script("Hello."), recordings_dir=tmp_path / "none") as w:
        call = await w.connected()
        await call.wait_quiet(50)
        assert call.said == []
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        assert (await w.record(call.call_sid))["recording"] is None
    assert not (tmp_path / "none").exists()


async def test_a_call_goes_on_when_its_recording_cannot(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    async with world(script(), agent=RECORDED, recordings_dir=folder) as w:
        folder.rmdir()
        folder.write_text("a file, not a folder")
        _, record = await talk(w)
        assert record["status"] == "completed" and record["recording"] is None
        assert len(w.log.of("recording stopped, its file cannot be written")) == 1


async def test_a_stream_that_comes_back_goes_on_in_the_same_file(tmp_path: Path) -> None:
    model = Script(
        Reply("Hello.", audio=noise(400, "a")), Reply("Back again.", audio=noise(300, "b"))
    )
    async with world(model, agent=RECORDED, recordings_dir=tmp_path) as w:
        call = await w.connected()
        await call.wait_quiet(50)
        await call.drop()
        await call.wait_connected(2)
        await call.wait_heard(400 * 8 + 300 * 8)
        await call.wait_quiet(50)
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
    _, agent = read(record["recording"])
    assert len(sounds(agent)) == 2
    assert os.listdir(tmp_path) == [Path(record["recording"]).name]


@pytest.mark.parametrize("interrupted_after_ms", [700, 1900, 3100])
async def test_the_transcript_of_a_cut_answer_is_what_the_wav_holds_to_the_word(
    tmp_path: Path, interrupted_after_ms: int
) -> None:
    greeting = utter("Good evening, this is the front desk. How can I help?")
    answer = utter("We are open from nine to five on weekdays, and until noon on Saturday.")
    model = Script(
        *(
            Reply(
                "".join(word.text for word in said.words),
                audio=said.ulaw,
                words=[(word.offset_bytes, word.text) for word in said.words],
                # Of an answer that the model is still making, the transcript may claim less.
                speed=float("inf"),
            )
            for said in (greeting, answer)
        ),
        "Yes?",
        heard=["When are you open?", "Wait!"],
    )
    async with world(model, agent=RECORDED, recordings_dir=tmp_path) as w:
        call = await w.connected()
        await call.wait_quiet(50)
        call.say(noise(300, "question"))
        await call.wait_heard(len(greeting.ulaw) + interrupted_after_ms * 8)
        call.say(noise(300, "interruption"))
        await call.wait_for(lambda: bool(call.playback.clears))
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)

    (cut,) = [turn for turn in record["transcript"] if turn["cut"]]
    _, agent = read(record["recording"])
    samples = agent.tolist()
    spoken = memoryview(ulaw_decode(answer.ulaw)).cast("h").tolist()
    (cleared,) = [e["at_ms"] for e in record["events"] if e["name"] == "ClearAudio"]
    until = min(len(samples), round(cleared * 8) + 160)
    last = max(n for n in range(until) if samples[n])
    in_wav = next(  # how much of the answer ends there
        size
        for size in range(len(spoken), 0, -1)
        if spoken[size - 1] == samples[last]  # the quick half of the comparison
        and spoken[:size] == samples[last + 1 - size : last + 1]
    )
    ends = [word.offset_bytes for word in answer.words[1:]] + [len(answer.ulaw)]
    heard = [word.text for word, end in zip(answer.words, ends, strict=True) if end <= in_wav + 8]
    assert heard and len(heard) < len(answer.words)
    assert cut["text"] == "".join(heard).strip()
