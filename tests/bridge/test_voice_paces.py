"""What calls learn about external voices: each for itself, and for those that start later."""

from app.bridge.voice_paces import VoicePaces
from app.call.words.word_times import UNKNOWN, Pace

FAST, SLOW = Pace((300.0,)), Pace((500.0,))


def test_a_call_starts_with_what_earlier_calls_learned() -> None:
    paces = VoicePaces(2)
    assert paces.known == (UNKNOWN, UNKNOWN)
    paces.call_ended([FAST, UNKNOWN])
    assert paces.known == (FAST, UNKNOWN)


def test_a_live_call_does_not_learn_from_one_that_ends_meanwhile() -> None:
    paces = VoicePaces(1)
    live = paces.known
    paces.call_ended([SLOW])
    assert live == (UNKNOWN,)


def test_a_call_that_did_not_hear_a_voice_does_not_forget_it() -> None:
    paces = VoicePaces(2)
    paces.call_ended([UNKNOWN, SLOW])  # it ended while another one went on
    paces.call_ended([FAST, UNKNOWN])
    assert paces.known == (FAST, SLOW)


def test_a_call_with_other_voices_teaches_nothing() -> None:
    paces = VoicePaces(2)
    paces.call_ended([UNKNOWN])

    assert paces.known == (UNKNOWN, UNKNOWN)
