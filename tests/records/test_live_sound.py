"""What a listener hears of a live call."""

import gc
from collections.abc import Iterable
from typing import Any

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, Limits
from app.call.machine import CallMachine
from app.records.live_sound import DELAY_MS, MOST_MS, Listener, LiveSound
from app.records.record import TimelineRow, TurnRow
from app.records.recorder import Recorder
from app.wires.twilio.call import CallInfo
from tests.records.test_recording import FRAME_MS, marked, payload

SILENT = 0xFF
AGENT = Agent("Test", "Be kind.", limits=Limits(idle_ms=0, longest_call_ms=0))
CALL = CallInfo("CA" + "0" * 32, "AC1", "inbound", "+15550100001", "+15550109999")


def heard(listener: Listener, now_ms: float) -> tuple[bytes, bytes]:
    """The caller's side and the agent's, up to this time."""
    both = listener.take(now_ms + DELAY_MS)
    return both[::2], both[1::2]


def play(number: int, ms: int) -> do.PlayAudio:
    return do.PlayAudio("item", payload(marked(number, ms * 8)), ms * 8)


def test_both_sides_are_heard_when_they_happen() -> None:
    sound = LiveSound()
    listener = sound.listen(1000)
    heard(listener, 1000)
    for number in range(5):
        at_ms = 1000 + number * FRAME_MS
        sound.caller_frame(payload(marked(number)), str(number * FRAME_MS), at_ms)
    sound.command(play(7, 40), 1020)
    caller, agent = heard(listener, 1100)
    assert len(caller) == len(agent) == 800
    assert caller == b"".join(marked(number) for number in range(5))
    assert agent == bytes([SILENT]) * 160 + marked(7, 320) + bytes([SILENT]) * 320


def test_what_was_sent_before_the_listener_came_and_still_plays_is_heard() -> None:
    sound = LiveSound()
    sound.command(play(1, 100), 0)
    sound.command(play(2, 3000), 10)  # far ahead of time
    listener = sound.listen(1000)
    heard(listener, 1000)
    _, agent = heard(listener, 1500)
    assert agent == marked(2, 500 * 8)


def test_what_is_cleared_is_not_heard() -> None:
    sound = LiveSound()
    sound.command(play(1, 3000), 0)
    late = sound.listen(500)
    sound.command(do.ClearAudio(2000 * 8), 1000)
    later = sound.listen(1000)
    for listener in (late, later):
        heard(listener, 1000)
        assert set(heard(listener, 1500)[1]) == {SILENT}
    sound.command(play(2, 100), 1600)
    assert heard(later, 1700)[1][-800:] == marked(2, 800)


def test_a_clear_in_the_middle_of_a_piece_keeps_its_beginning() -> None:
    sound = LiveSound()
    sound.command(play(1, 1000), 0)
    sound.command(do.ClearAudio(400 * 8), 10)
    listener = sound.listen(DELAY_MS)
    assert heard(listener, 1000)[1] == marked(1, 600 * 8) + bytes([SILENT]) * 400 * 8


def test_audio_that_has_played_is_forgotten() -> None:
    sound = LiveSound()
    for number in range(100):
        sound.command(play(number, 20), number * 20)
    assert len(sound._sent) <= 2


def test_a_listener_that_takes_nothing_for_long_skips() -> None:
    sound = LiveSound()
    listener = sound.listen(DELAY_MS)
    sound.command(play(1, 60_000), 0)
    assert len(listener.take(50_000)) == 2 * 8 * MOST_MS
    assert len(listener.take(50_100)) == 2 * 8 * 100


def test_who_left_hears_nothing_more_and_the_end_is_told() -> None:
    sound = LiveSound()
    gone, stays = sound.listen(0), sound.listen(0)
    sound.leave(gone)
    sound.leave(gone)
    sound.close()
    assert stays.over and not gone.over and sound.listen(0).over


class Nowhere:
    """Takes what is recorded, and keeps nothing."""

    def save_call(self, call_sid: str, **changes: Any) -> None: ...

    def save_turns(
        self, call_sid: str, turns: Iterable[TurnRow], removed: Iterable[int] = ()
    ) -> None: ...

    def append_timeline(self, call_sid: str, entries: Iterable[TimelineRow]) -> None: ...


def test_audio_that_has_played_is_not_kept() -> None:
    recorder = Recorder(Nowhere(), CALL, AGENT, lambda *_: {})
    machine = CallMachine(AGENT)
    sent = [play(number, 1000) for number in (21, 22)]

    def feed(event: ev.Event, now_ms: float) -> list[do.Command]:
        recorder.event(event, now_ms)
        commands = machine.handle(event, now_ms)
        for command in commands:
            recorder.command(command, now_ms)
        return commands

    feed(ev.LegOpened(), 0)
    feed(ev.ModelOpened(), 0)
    feed(ev.SessionConfigured(), 0)
    marks = [each for each in feed(ev.StreamStarted("MZ1"), 0) if isinstance(each, do.SendMark)]
    feed(ev.ResponseCreated("resp"), 0)
    for audio in sent:
        received = feed(ev.AudioReceived("resp", "item", audio.payload, audio.size_bytes), 0)
        marks += [each for each in received if isinstance(each, do.SendMark)]
    del received
    assert all(map(keepers, sent))
    for mark in marks:
        feed(ev.MarkEchoed(mark.name), 2100)
    assert not any(map(keepers, sent))


def keepers(audio: do.PlayAudio) -> list[object]:
    """What keeps the agent's audio, beside `audio` itself."""
    found = (each for each in gc.get_referrers(audio.payload) if each is not audio)
    return [each for each in found if type(each).__module__.startswith("app.")]
