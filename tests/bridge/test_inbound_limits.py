"""What a leg drops: marks that were never sent, keys that no caller presses, malformed messages."""

import pytest

from app.bridge.leg.inbound_limits import KEYS_PER_S, MOST_KEYS, MOST_LINES, InboundLimits
from app.errors import ProtocolError


def test_as_many_marks_are_accepted_as_were_sent() -> None:
    limits = InboundLimits("CA1")
    limits.mark_sent()
    limits.mark_sent()
    assert [limits.accepts_mark() for _ in range(4)] == [True, True, False, False]
    limits.mark_sent()
    assert limits.accepts_mark()


def test_keys_come_as_fast_as_a_machine_dials_also_after_a_stall() -> None:
    limits = InboundLimits("CA1")
    assert all(limits.accepts_key(0.0) for _ in range(MOST_KEYS))
    assert not limits.accepts_key(0.0)
    now_ms = 0.0
    for _ in range(2000):
        now_ms += 1000 / 12
        assert limits.accepts_key(now_ms)


def test_a_flood_of_keys_is_cut_to_what_can_be_pressed() -> None:
    limits = InboundLimits("CA1")
    accepted = sum(limits.accepts_key(ms / 10) for ms in range(100_000))  # ten seconds
    most = MOST_KEYS + 10 * KEYS_PER_S
    assert accepted == most - 1 or accepted == most


def test_what_was_dropped_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    limits = InboundLimits("CA1")
    limits.accepts_mark()
    for _ in range(MOST_KEYS + 3):
        limits.accepts_key(0.0)
    for _ in range(MOST_LINES + 7):
        limits.bad_message("Twilio", ProtocolError("no JSON"))
    limits.log_dropped()
    *messages, last = caplog.records
    assert len(messages) == MOST_LINES
    logged = last.__dict__
    assert (logged["marks"], logged["keys"], logged["bad_messages"]) == (1, 3, 7)
    assert logged["call_sid"] == "CA1"


def test_an_ordinary_call_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    limits = InboundLimits("CA1")
    limits.mark_sent()
    assert limits.accepts_mark() and limits.accepts_key(0.0)
    limits.log_dropped()
    assert not caplog.records
