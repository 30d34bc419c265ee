"""Stamps identify every frame, however a bridge packs it."""

from base64 import b64decode, b64encode

from app.audio import ulaw_decode
from bench import stamps
from bench.stamps import AGENT, CALLER, Stamp


def test_a_callers_frame_is_twenty_milliseconds_and_names_itself() -> None:
    frame = stamps.caller_frame(call=7, number=4_000_000_000)
    assert len(b64decode(frame, validate=True)) == stamps.FRAME_BYTES
    assert stamps.read(frame.decode()) == Stamp(CALLER, 7, 4_000_000_000)
    assert stamps.read_frames(frame.decode()) == [Stamp(CALLER, 7, 4_000_000_000)]


def test_a_delta_is_a_tenth_of_a_second_and_names_its_answer() -> None:
    delta = stamps.agent_delta(answer=3, number=24).decode()
    assert len(b64decode(delta, validate=True)) == stamps.DELTA_BYTES == stamps.size_bytes(delta)
    assert stamps.read(delta) == Stamp(AGENT, 3, 24)


def test_joined_frames_are_identified_one_by_one() -> None:
    audio = b"".join(b64decode(stamps.caller_frame(1, number)) for number in range(3))
    joined = b64encode(audio).decode()
    assert [stamp.number for stamp in stamps.read_frames(joined)] == [0, 1, 2]


def test_audio_from_elsewhere_has_no_stamp() -> None:
    silence = b64encode(b"\xff" * stamps.FRAME_BYTES).decode()
    assert stamps.read(silence) is None
    assert stamps.read_frames(silence) == []
    assert stamps.read("") is None
    assert stamps.read("no base64!") is None


def test_the_size_of_a_payload_is_known_without_decoding_it() -> None:
    for size in range(1, 10):
        assert stamps.size_bytes(b64encode(bytes(size)).decode()) == size


def test_stamped_silence_identifies_its_caller() -> None:
    frame = stamps.silent_frame(70_123)
    assert len(frame) == stamps.FRAME_BYTES
    assert not any(ulaw_decode(frame))
    assert stamps.silent_owner(b64encode(frame * 3).decode()) == 70_123
    assert stamps.silent_owner(b64encode(b"\xff" * stamps.FRAME_BYTES).decode()) is None
    assert stamps.silent_owner(stamps.caller_frame(1, 2).decode()) is None
    assert stamps.silent_owner(b64encode(frame[:9]).decode()) is None


def test_an_answer_may_be_sent_a_frame_at_a_time() -> None:
    frame = stamps.agent_delta(3, 24, stamps.FRAME_BYTES).decode()
    assert stamps.size_bytes(frame) == stamps.FRAME_BYTES
    assert stamps.read(frame) == Stamp(AGENT, 3, 24)
