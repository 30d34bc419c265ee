"""The attempts of a transfer: their order, and their outcomes from what Twilio reports."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call.destinations import Destination
from app.call.exits.attempts import TransferAttempts

DESK = Destination("desk", "+14155550111")
SALES = Destination("sales", "+14155550112", warm=True)
NIGHT = Destination("night", "sip:night@example.com")


def transfer(*route: Destination, numbered_from: int = 0) -> TransferAttempts:
    """A transfer whose first attempt is under way."""
    made = TransferAttempts(
        route or (DESK,), "call_1", "a price", "Ann wants chairs.", numbered_from
    )
    made.next()
    return made


def outcomes(made: TransferAttempts) -> list[object]:
    return [record["outcome"] for record in made.records()]


def test_destinations_are_tried_in_their_order_until_none_is_left() -> None:
    made = TransferAttempts((DESK, SALES), "call_1")
    assert made.upcoming is DESK and made.number == -1 and not made.attempts
    assert made.next() is DESK and made.upcoming is SALES
    assert made.next() is SALES and made.upcoming is None
    assert made.next() is None and made.number == 1


def test_a_second_transfer_of_a_call_numbers_on() -> None:
    made = transfer(DESK, SALES, numbered_from=2)
    assert made.number == 2
    assert made.ended(0, "busy") == "" and made.ended(2, "busy") == "busy"
    made.next()
    assert made.number == 3


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed"])
def test_a_human_who_is_not_reached_has_twilios_word_for_an_outcome(status: str) -> None:
    made = transfer()
    assert made.ended(0, status) == status and outcomes(made) == [status]
    assert not made.over_for_good


@pytest.mark.parametrize("status", ["completed", "answered"])
def test_a_human_who_answered_and_pressed_nothing_did_not_accept(status: str) -> None:
    """Twilio calls a call completed that a voicemail answered."""
    made = transfer()
    assert made.ended(0, status) == "not-accepted" and not made.over_for_good


def test_a_human_who_pressed_1_accepted() -> None:
    made = transfer()
    assert outcomes(made) == ["ringing"]
    assert made.pressed(0, "1") and outcomes(made) == ["in-progress"]
    assert made.ended(0, "completed") == "completed" and made.over_for_good


@pytest.mark.parametrize("keys", ["", "2", "0", "11", "1#", "*"])
def test_no_other_key_accepts(keys: str) -> None:
    made = transfer()
    assert not made.pressed(0, keys)
    assert made.ended(0, "completed") == "not-accepted"


@pytest.mark.parametrize(("bridged", "outcome"), [(True, "completed"), (False, "not-accepted")])
@pytest.mark.parametrize("accepted", [True, False])
def test_dial_bridged_decides_whether_they_talked(
    bridged: bool, outcome: str, accepted: bool
) -> None:
    """Another replica may have got the key, or its answer may have come too late."""
    made = transfer()
    if accepted:
        made.pressed(0, "1")
    assert made.ended(0, "completed", bridged=bridged) == outcome


def test_an_empty_status_is_a_failure() -> None:
    assert transfer().ended(0, "") == "failed"


def test_a_repeated_or_late_webhook_changes_nothing() -> None:
    made = transfer(DESK, SALES)
    assert made.ended(0, "busy") == "busy" and made.ended(0, "completed") == ""
    made.next()
    assert made.ended(0, "no-answer") == "" and not made.pressed(0, "1")
    assert made.ended(7, "busy") == "" and made.attempt(7) is None
    assert outcomes(made) == ["busy", "ringing"]


def test_a_caller_who_hangs_up_ends_the_transfer() -> None:
    made = transfer(DESK, SALES)
    made.caller_gone()
    assert outcomes(made) == ["canceled"] and made.over_for_good
    assert made.next() is None and made.ended(0, "busy") == ""


def test_a_caller_who_hangs_up_after_the_human_accepted_completes_the_transfer() -> None:
    made = transfer()
    made.pressed(0, "1")
    made.caller_gone()
    assert outcomes(made) == ["completed"]


def test_a_caller_who_hangs_up_between_two_attempts_leaves_the_first_as_it_was() -> None:
    made = transfer(DESK, SALES)
    made.ended(0, "busy")
    made.caller_gone()
    assert outcomes(made) == ["busy"] and made.over_for_good and made.upcoming is None


def test_the_answer_for_the_model_names_each_attempt() -> None:
    made = transfer(DESK, SALES, NIGHT)
    made.ended(0, "busy")
    made.next()
    made.ended(1, "completed")
    made.next()
    made.ended(2, "canceled")
    assert made.in_words() == (
        "Nobody took the call. desk: busy (the line was busy); sales: not-accepted (somebody or an "
        "answering machine picked up, but did not take the call); night: canceled (the call did "
        "not go through). The caller is back with you."
    )


def test_the_records_say_destination_reason_and_outcome() -> None:
    made = transfer(SALES)
    assert made.records() == [
        {
            "destination": "sales",
            "outcome": "ringing",
            "reason": "a price",
            "summary": "Ann wants chairs.",
            "warm": True,
            "seconds": None,
            "call_id": "call_1",
            "first": 0,
            "then": [],
            "resumes": True,
            "over": False,
            "callee_sid": "",
        }
    ]
    assert "+1" not in str(made.records()) + made.in_words()


Told = tuple[str, int, str, bool | None]
TOLD = st.tuples(
    st.sampled_from(["ended", "pressed", "next", "gone"]),
    st.integers(-1, 4),
    st.sampled_from(["busy", "no-answer", "failed", "canceled", "completed", "answered", "1", "2"]),
    st.sampled_from([True, False, None]),
)


@given(st.lists(TOLD, max_size=15))
def test_an_outcome_is_final_whatever_webhooks_come_in_whatever_order(told: list[Told]) -> None:
    made = TransferAttempts((DESK, SALES, NIGHT), "call_1", numbered_from=1)
    before: list[str] = []
    for what, number, word, bridged in told:
        if what == "ended":
            made.ended(number, word, bridged=bridged)
        elif what == "pressed":
            made.pressed(number, word)
        elif what == "next":
            made.next()
        else:
            made.caller_gone()
        now = [each.outcome for each in made.attempts]
        assert len(now) >= len(before)
        assert all(a in ("", b) for a, b in zip(before, now, strict=False))
        assert made.number == len(now)
        before = now
    made.in_words()
    assert len(made.records()) == len(before)


# --- in another process ---------------------------------------------------------------------------


def restored(made: TransferAttempts, *earlier: dict[str, object]) -> TransferAttempts:
    """The same transfer, as another process reads it."""
    records = json.loads(json.dumps([*earlier, *made.records()]))
    found = TransferAttempts.restore(records, (DESK, SALES, NIGHT))
    assert found is not None and found.records() == made.records()
    return found


def test_another_process_tries_the_destinations_that_are_left() -> None:
    made = transfer(DESK, SALES, NIGHT)
    other = restored(made)
    assert other.pending and other.upcoming is SALES
    assert other.ended(0, "busy") == "busy" and other.next() is SALES
    again = restored(other)
    assert again.ended(1, "no-answer") and again.next() is NIGHT and again.upcoming is None
    assert again.ended(2, "busy") and again.in_words().startswith(
        "Nobody took the call. desk: busy"
    )
    assert (again.call_id, again.reason, again.summary) == (
        "call_1",
        "a price",
        "Ann wants chairs.",
    )


def test_another_process_knows_who_accepted_and_who_hung_up() -> None:
    made = transfer(DESK)
    assert made.pressed(0, "1")
    other = restored(made)
    assert outcomes(other) == ["in-progress"] and other.ended(0, "completed") == "completed"
    assert restored(other).over_for_good
    gone = transfer(DESK, SALES)
    gone.caller_gone()
    assert restored(gone).over_for_good


def test_a_later_transfer_is_restored_without_the_ones_before_it() -> None:
    first = transfer(DESK)
    first.ended(0, "busy")
    made = transfer(SALES, NIGHT, numbered_from=1)
    made.last.callee_sid = "CA2"
    other = restored(made, *(dict(each) for each in first.records()))
    assert (other.number, other.first_number, other.last.callee_sid) == (1, 1, "CA2")
    assert other.attempt(1) is not None and other.attempt(0) is None


@pytest.mark.parametrize("first", [None, -1, 7, "0"])
def test_the_record_of_an_older_version_is_a_transfer_without_further_destinations(
    first: object,
) -> None:
    record = {"destination": "gone", "outcome": "ringing", "reason": "a price", "first": first}
    old = {"destination": "desk", "outcome": "busy"}
    found = TransferAttempts.restore([old, record], (DESK,))
    assert found is not None and (found.number, found.first_number) == (1, 1)
    assert found.ended(1, "busy") and found.next() is None and found.resumes
    assert "gone: busy" in found.in_words()


def test_a_call_without_transfers_has_nothing_to_restore() -> None:
    assert TransferAttempts.restore([], (DESK,)) is None
