"""The agent's audio: held back until the stream takes it, marked, and bounded."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from itertools import accumulate

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.heard.agent_audio import HELD_LITTLE_BYTES, HELD_MOST_BYTES, AgentAudio
from app.call.heard.frames import FRAME_BYTES
from app.call.outbox import Commands
from tests.call.scene import Scene, agent


def test_the_greeting_waits_for_the_stream() -> None:
    scene = Scene(agent(greeting="Good morning."))
    scene.feed(ev.LegOpened())
    assert isinstance(scene.configure()[-1], do.CreateResponse)
    scene.answer(500)
    assert scene.all(do.PlayAudio) == [] and scene.all(do.SendMark) == []
    scene.run(3000)
    played = scene.feed(ev.StreamStarted("MZ1"))
    assert [type(command) for command in played] == [do.SendMark, *[do.PlayAudio] * 5, do.SendMark]
    assert scene.machine.transcript(scene.now_ms) == []  # nothing was heard yet
    scene.run(250)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 230 * 8


def test_audio_passes_as_it_came() -> None:
    scene = Scene().connect()
    scene.begin()
    payload = b64encode(bytes(range(160))).decode()
    played = scene.feed(ev.AudioReceived("resp_1", "item_1", payload, 160))
    assert do.PlayAudio("item_1", payload, 160) in played


SIZES = [1, 159, 160, 161, 480, 481, 33, 100, 19, 1000, 3, 7, 0, 4000, 4001, 4160, 320, 5]


def deltas(sizes: Sequence[int]) -> list[ev.AudioReceived]:
    """Deltas of these sizes, each byte different from its neighbours."""
    sound = bytes(at % 251 for at in range(sum(sizes)))
    ends = list(accumulate(sizes))
    pieces = [sound[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return [
        ev.AudioReceived("resp_1", "item_1", b64encode(piece).decode(), len(piece))
        for piece in pieces
        if piece
    ]


@pytest.mark.parametrize("sizes", [SIZES, SIZES[::-1], [20] * 17, [159] * 9, [4001] * 3])
def test_deltas_of_any_size_are_played_in_whole_frames(sizes: list[int]) -> None:
    scene = Scene()
    scene.feed(ev.LegOpened(whole_frames=True))
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    scene.begin()
    sound, received = b"", b""
    for delta in deltas(sizes):
        received += b64decode(delta.payload)
        for command in scene.feed(delta):
            if isinstance(command, do.PlayAudio):
                piece = b64decode(command.payload, validate=True)
                assert len(piece) == command.size_bytes and len(piece) % FRAME_BYTES == 0
                sound += piece
        # Nothing that fills a frame waits for the next delta:
        assert received.startswith(sound) and len(received) - len(sound) < FRAME_BYTES
        assert scene.machine._audio.ledger.sent_bytes("item_1") == len(sound)
        assert scene.machine._audio.ledger.generated_bytes("item_1") == len(received)
    last = [c for c in scene.finish() if isinstance(c, do.PlayAudio)]
    assert sound + b"".join(b64decode(each.payload) for each in last) == received
    assert scene.machine._audio.ledger.sent_bytes("item_1") == len(received)


def test_the_rest_of_an_item_is_played_before_the_next_one() -> None:
    outbox = Commands()
    audio = AgentAudio(outbox)
    audio.whole_frames = True
    audio.open(0)
    for item_id, size_bytes in (("a", 200), ("b", 170), ("b", 10), ("c", 160)):
        audio.play(item_id, b64encode(bytes(size_bytes)).decode(), size_bytes, 0)
    audio.finish("b", 0)
    audio.finish("c", 0)
    sent = [(c.item_id, c.size_bytes) for c in outbox.take() if isinstance(c, do.PlayAudio)]
    assert sent == [("a", 160), ("a", 40), ("b", 160), ("b", 20), ("c", 160)]


def test_the_rest_of_an_interrupted_item_is_not_played() -> None:
    outbox = Commands()
    audio = AgentAudio(outbox)
    audio.whole_frames = True
    audio.open(0)
    audio.play("a", b64encode(bytes(200)).decode(), 200, 0)
    (cut,) = audio.interrupt(10)
    assert (cut.item_id, cut.heard_bytes, cut.generated_bytes) == ("a", 80, 200)
    outbox.take()
    audio.finish("a", 10)
    audio.play("b", b64encode(bytes(160)).decode(), 160, 10)
    assert [c for c in outbox.take() if isinstance(c, do.PlayAudio)] == [
        do.PlayAudio("b", b64encode(bytes(160)).decode(), 160)
    ]


def test_a_mark_about_every_second_and_one_at_the_end_of_each_item() -> None:
    scene = Scene().connect()
    scene.answer(3500)
    scene.answer(200, "item_2", "resp_2")
    sent = [c for c in scene.take() if isinstance(c, do.PlayAudio | do.SendMark)]
    since_mark_ms, runs_ms = 0, []
    for command in sent:
        if isinstance(command, do.SendMark):
            runs_ms.append(since_mark_ms)
            since_mark_ms = 0
        else:
            since_mark_ms += command.size_bytes // 8
    # The first measures the round trip; a second item behind the first needs no such mark.
    assert runs_ms == [0, 1000, 1000, 1000, 500, 200] and since_mark_ms == 0


def test_no_mark_name_is_used_twice() -> None:
    scene = Scene().connect()
    for number in range(4):
        scene.answer(1500, f"item_{number}", f"resp_{number}")
        scene.run(700)
        scene.speak(f"user_{number}")
        scene.fall_silent(f"user_{number}")
    names = [mark.name for mark in scene.all(do.SendMark)]
    assert len(names) == len(set(names)) > 8


def test_the_round_trip_is_measured_with_each_answer_that_finds_silence() -> None:
    scene = Scene(up_ms=30, down_ms=50).connect()
    ledger = scene.machine._audio.ledger
    assert ledger.round_trip_ms == 80
    scene.answer(500)
    marks = len(scene.all(do.SendMark))
    scene.run(2000)
    scene.answer(500, "item_2", "resp_2")
    assert len(scene.all(do.SendMark)) == marks + 2 and ledger.round_trip_ms == 80


def test_a_blocked_stream_is_sent_nothing_until_it_takes_more() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.audio(300)
    scene.feed(ev.StreamBlocked())
    scene.take()
    scene.audio(500)
    scene.finish()
    assert scene.take() == []
    scene.run(400)
    resumed = scene.feed(ev.StreamUnblocked())
    assert [type(command) for command in resumed if not isinstance(command, do.SendMark)] == [
        do.PlayAudio
    ] * 5
    assert isinstance(resumed[-1], do.SendMark)
    scene.run(2000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 800 * 8


def test_a_stream_that_stays_blocked_for_half_a_minute_ends_the_leg() -> None:
    scene = Scene().connect()
    scene.feed(ev.StreamBlocked())
    scene.run(29_999)
    assert not scene.machine.over
    scene.run(1)
    assert scene.take()[-1] == do.EndLeg("stuck")


def test_reading_from_the_model_pauses_while_too_much_audio_is_held_back() -> None:
    commands = Commands()
    audio = AgentAudio(commands)
    for _ in range(HELD_MOST_BYTES >> 20):
        audio.play("item_1", "", 1 << 20, 0)
    assert commands.take() == []
    audio.play("item_1", "", 1 << 20, 0)
    audio.play("item_1", "", 1 << 20, 0)
    assert commands.take() == [do.PauseModel()]
    audio.open(0)
    out = commands.take()
    assert out.count(do.ResumeModel()) == 1 and isinstance(out[-1], do.ResumeModel)


def test_a_barge_in_resumes_reading_from_the_model() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.feed(ev.StreamBlocked())
    scene.feed(ev.AudioReceived("resp_1", "item_1", "", HELD_MOST_BYTES + HELD_LITTLE_BYTES))
    assert do.ResumeModel() in scene.speak()


def test_an_echo_of_an_unknown_mark_changes_nothing() -> None:
    scene = Scene().connect()
    scene.answer(1000)
    assert scene.feed(ev.MarkEchoed("0:999"), ev.MarkEchoed("nonsense"), ev.MarkEchoed("")) == []
    assert scene.machine._audio.ledger.position(scene.now_ms) == 0
