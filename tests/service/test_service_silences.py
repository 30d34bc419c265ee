"""Audio that no caller can hear is no answer; the record has each silence with its one cause."""

import pytest

from app.audio import silence
from app.call import silences
from app.call.caller import floor
from app.simulator.realtime import RealtimeServer, Reply, Script
from tests.service.world import names, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(200, "hello"), speed=INF)
ANSWER = Reply("We open at nine.", audio=noise(300, "answer"), speed=INF)


class Deaf:
    """A detector that hears no speech."""

    onset_ms = 20

    def is_speech(self, _pcm16: bytes, _hz: int, _threshold: float) -> bool:
        return False

    def reset(self) -> None:
        pass


async def test_a_model_that_reports_no_speech_is_asked_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(floor, "QUIET_MS", 400.0)
    monkeypatch.setattr(floor, "ANSWER_MS", 400.0)
    monkeypatch.setattr(silences, "LEAST_MS", 700.0)
    async with world(RealtimeServer(Script(HELLO, ANSWER), detector=Deaf)) as w:
        call = await w.connected()
        await call.wait_quiet()
        call.say(noise(1000))
        await call.wait_for(lambda: call.heard.endswith(ANSWER.audio or b"-"))

        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        assert "SpeechStarted" not in names(record)
        assert names(record).count("CallerVoiced") == 1
        found = [each["data"] for each in record["events"] if each["name"] == "ReportSilence"]
        # Before the caller speaks, a busy machine may take long enough for a silence as well.
        (late,) = [each for each in found if each["cause"] != "caller"]
        assert late["cause"] == "model" and late["length_ms"] >= 800


async def test_an_answer_of_digital_silence_is_asked_for_again() -> None:
    mute = Reply("Not to be heard.", audio=silence(1500), speed=INF)
    async with world(Script(HELLO, mute, ANSWER)) as w:
        call = await w.connected()
        session = await w.model.session()
        await call.wait_quiet()
        session.start_speech()
        session.stop_speech("When do you open?")
        await call.wait_heard(500 * 8)
        await call.wait_quiet()

        assert call.heard == (HELLO.audio or b"") + (ANSWER.audio or b"")
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        said = [turn["text"] for turn in record["transcript"] if turn["role"] == "assistant"]
        assert said == ["Hello.", "We open at nine."]
        received = [each["data"] for each in record["events"] if each["name"] == "AudioReceived"]
        assert [bool(each.get("quiet")) for each in received].count(True) >= 1
        assert names(record).count("AudioReceived") >= 3


async def test_the_record_has_a_silence_with_its_cause_and_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silences, "LEAST_MS", 200.0)
    async with world(Script(HELLO)) as w:
        call = await w.connected()
        await call.wait_quiet()
        call.say(silence(400))
        await call.wait_spoken()
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        found = [each["data"] for each in record["events"] if each["name"] == "ReportSilence"]
        assert [each["cause"] for each in found][-1] == "caller"
        assert 200 < found[-1]["length_ms"] < 60_000
