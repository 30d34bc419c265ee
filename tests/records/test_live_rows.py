"""Which rows are kept to be stored again when the database was made anew."""

from typing import Any

from app.records.live_rows import AFTER_END_S, BATCHES_S, MOST_CALLS, LiveRows, StoredBatches
from app.records.record import TurnRow


def save(rows: LiveRows, call_sid: str, now_s: float = 0.0, **changes: Any) -> None:
    rows.save_call(call_sid, {"call_sid": call_sid, "created_at": now_s, **changes}, changes, now_s)


def kept(rows: LiveRows) -> list[dict[str, Any]]:
    return [row for _, row in rows.work()]


def test_a_live_call_has_the_newest_value_of_each_column_and_its_first_creation() -> None:
    rows = LiveRows()
    save(rows, "CA1", 1.0, status="ringing", from_number="+15550100001")
    save(rows, "CA1", 2.0, status="in-progress")
    save(rows, "CA1", 3.0, status="ringing", usage={"input_audio": 7})
    (row,) = kept(rows)
    assert row == {
        "call_sid": "CA1", "created_at": 1.0, "status": "in-progress",
        "from_number": "+15550100001", "usage": {"input_audio": 7},
    }  # fmt: skip


def test_turns_are_replaced_and_removed_by_their_positions() -> None:
    rows = LiveRows()
    save(rows, "CA1", status="in-progress")
    rows.save_turns("CA1", [TurnRow(n, "user", "a") for n in range(3)], [])
    rows.save_turns("CA1", [TurnRow(1, "user", "b")], [2])
    rows.save_turns("CA2", [TurnRow(0, "user", "of a call that is not live")], [])
    assert [(row["position"], row["text"]) for row in kept(rows)[1:]] == [(0, "a"), (1, "b")]


def test_a_call_that_ended_is_forgotten_a_while_after_what_was_saved_last() -> None:
    rows = LiveRows()
    save(rows, "CA1", 0.0, status="in-progress")
    save(rows, "CA2", 0.0, status="in-progress")
    save(rows, "CA1", 1.0, status="completed")
    save(rows, "CA1", 50.0, status="failed", recording="CA1.wav")
    rows.forget_ended(49.0 + AFTER_END_S)
    assert [(row["call_sid"], row["status"]) for row in kept(rows)] == [
        ("CA2", "in-progress"), ("CA1", "completed"),
    ]  # fmt: skip
    rows.forget_ended(50.0 + AFTER_END_S)
    assert [row["call_sid"] for row in kept(rows)] == ["CA2"]


def test_what_is_saved_of_a_call_that_is_not_live_is_not_kept() -> None:
    rows = LiveRows()
    save(rows, "CA1", status="completed")
    save(rows, "CA1", summary="A pizza.")
    assert kept(rows) == []


def test_the_calls_without_news_for_the_longest_time_make_room() -> None:
    rows = LiveRows()
    for number in range(MOST_CALLS):
        save(rows, f"CA{number}", status="ringing")
    save(rows, "CA0", status="in-progress")
    save(rows, "CA-new", status="ringing")
    found = [row["call_sid"] for row in kept(rows)]
    assert len(found) == MOST_CALLS
    assert found[-2:] == ["CA0", "CA-new"] and "CA1" not in found


def test_of_timelines_the_last_batches_of_live_calls_are_kept() -> None:
    rows = LiveRows()
    save(rows, "CA1", status="in-progress")
    save(rows, "CA2", status="completed")
    batch = {"position": 1, "entries": '[[1, 0.0, "event", "DigitPressed", {"digit": "5"}]]'}
    rows.save_batches(StoredBatches.of([{"call_sid": "CA1", "position": 0, "entries": "[]"}]), 0.0)
    rows.save_batches(StoredBatches.of({"call_sid": f"CA{n}", **batch} for n in (1, 2)), 1.0)
    rows.save_batches(StoredBatches.of(()), 0.5 + BATCHES_S)
    assert rows.batches() == [{"call_sid": "CA1", **batch}]
    rows.forget("CA1")
    assert rows.batches() == []
