"""What no call has: marks that were never sent, keys that no finger presses, nonsense."""

import pytest

from app.bridge.leg.inbound_limits import KEYS_PER_S, MOST_KEYS, MOST_LINES, InboundLimits
from app.errors import ProtocolError


def test_as_many_marks_come_back_as_were_sent() -> None:
    surplus = InboundLimits("CA1")
    surplus.mark_sent()
    surplus.mark_sent()
    assert [surplus.takes_mark() for _ in range(4)] == [True, True, False, False]
    surplus.mark_sent()
    assert surplus.takes_mark()


def test_keys_come_as_fast_as_a_machine_dials_also_after_a_stall() -> None:
    surplus = InboundLimits("CA1")
    assert all(surplus.takes_key(0.0) for _ in range(MOST_KEYS))
    assert not surplus.takes_key(0.0)
    now_ms = 0.0
    for _ in range(2000):
        now_ms += 1000 / 12
        assert surplus.takes_key(now_ms)


def test_a_flood_of_keys_is_cut_to_what_can_be_pressed() -> None:
    surplus = InboundLimits("CA1")
    taken = sum(surplus.takes_key(ms / 10) for ms in range(100_000))  # ten seconds
    assert taken == MOST_KEYS + 10 * KEYS_PER_S - 1 or taken == MOST_KEYS + 10 * KEYS_PER_S


def test_what_was_dropped_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    surplus = InboundLimits("CA1")
    surplus.takes_mark()
    for _ in range(MOST_KEYS + 3):
        surplus.takes_key(0.0)
    for _ in range(MOST_LINES + 7):
        surplus.bad_message("Twilio", ProtocolError("no JSON"))
    surplus.tell()
    *messages, last = caplog.records
    assert len(messages) == MOST_LINES
    told = last.__dict__
    assert (told["marks"], told["keys"], told["bad_messages"]) == (1, 3, 7)
    assert told["call_sid"] == "CA1"


def test_of_an_ordinary_call_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    surplus = InboundLimits("CA1")
    surplus.mark_sent()
    assert surplus.takes_mark() and surplus.takes_key(0.0)
    surplus.tell()
    assert not caplog.records
