"""A transfer that waited for the database undoes nothing that another replica wrote meanwhile."""

from typing import Any

import pytest

from app.records.judging import farthest
from app.records.store import Store

Row = dict[str, Any]


def attempt(outcome: str, **more: object) -> Row:
    return {"destination": "desk", "outcome": outcome, "callee_sid": "", "over": False, **more}


@pytest.mark.parametrize(
    ("stored", "new", "kept"),
    [
        ("in-progress", "ringing", "in-progress"),
        ("completed", "ringing", "completed"),
        ("no-answer", "in-progress", "no-answer"),
        ("completed", "canceled", "completed"),
        ("ringing", "in-progress", "in-progress"),
        ("ringing", "canceled", "canceled"),
        ("canceled", "completed", "completed"),
        ("busy", "failed", "failed"),
    ],
)
def test_the_state_of_an_attempt_that_is_farther_is_kept(stored: str, new: str, kept: str) -> None:
    assert farthest([attempt(stored)], [attempt(new)]) == [attempt(kept)]


def test_attempts_that_only_one_of_them_has_are_kept() -> None:
    first, second = attempt("busy"), attempt("ringing")
    assert farthest([first, second], [attempt("ringing")]) == [first, second]
    assert farthest([attempt("ringing")], [first, second]) == [first, second]
    assert farthest([], [first]) == [first]


def test_what_is_known_of_an_attempt_is_kept_from_both() -> None:
    stored = attempt("ringing", callee_sid="CA2", over=True)
    assert farthest([stored], [attempt("in-progress")]) == [
        attempt("in-progress", callee_sid="CA2", over=True)
    ]
    assert farthest([attempt("in-progress")], [stored]) == [
        attempt("in-progress", callee_sid="CA2", over=True)
    ]


async def test_a_late_write_leaves_a_human_who_accepted_meanwhile(store: Store) -> None:
    store.save_call("CA1", direction="inbound", transfers=[attempt("ringing")])
    await store.flush()
    await store.change_transfers("CA1", lambda records: [{**records[0], "outcome": "in-progress"}])
    store.save_call("CA1", transfers=[attempt("ringing")])  # as it waited at another replica
    await store.flush()
    row = await store.get_call("CA1")
    assert row is not None and [each["outcome"] for each in row.transfers] == ["in-progress"]
