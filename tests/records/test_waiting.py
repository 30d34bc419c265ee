"""What waits to be written: bounded, split where a row is refused, and removed once it is safe."""

from typing import Any

from app.records.waiting import Kind, Waiting, Work


def waiting(*call_sids: str, turns: int = 0, entries: int = 0) -> Waiting:
    batch = Waiting()
    for call_sid in call_sids:
        batch.call(call_sid, 0)["agent_name"] = "Ada"
        for position in range(turns):
            row = {"call_sid": call_sid, "position": position, "text": "word"}
            batch.turns[call_sid, position] = row
        batch.timeline.extend((call_sid, position, "[]") for position in range(entries))
    return batch


def rows(work: Work) -> list[tuple[Kind, Any]]:
    return [(kind, row.get("position")) for kind, row in (*work.calls, *work.parts)]


def test_the_oldest_entries_make_room_and_no_row_while_rows_are_few() -> None:
    batch = waiting("CA1", "CA2", turns=2, entries=3)

    assert batch.make_room(most_entries=4, most_rows=6) == (2, 0)

    assert [entry[:2] for entry in batch.timeline] == [
        ("CA1", 2), ("CA2", 0), ("CA2", 1), ("CA2", 2),
    ]  # fmt: skip
    assert batch.rows == 6


def test_of_too_many_rows_the_oldest_turns_go_first_then_the_oldest_calls() -> None:
    batch = waiting("CA1", "CA2", "CA3", turns=1, entries=2)
    batch.report("CA1")["status"] = "completed"

    assert batch.make_room(most_entries=10, most_rows=6) == (0, 1)
    assert {call_sid for call_sid, _ in batch.turns} == {"CA2", "CA3"}
    assert batch.make_room(most_entries=10, most_rows=2) == (2, 4)

    assert [*batch.calls] == ["CA2", "CA3"]
    assert {entry[0] for entry in batch.timeline} == {"CA2", "CA3"}


def test_what_a_lost_call_has_waiting_is_dropped_but_not_what_twilio_reported() -> None:
    batch = waiting("CA1", "CA2", turns=1, entries=1)
    batch.report("CA1")["status"] = "completed"
    batch.forget("CA1")

    assert batch.has("CA1") and [*batch.calls] == ["CA2"]
    assert [*batch.turns] == [("CA2", 0)] and len(batch.timeline) == 1


def test_every_piece_has_the_rows_of_the_calls_that_its_turns_need() -> None:
    batch = waiting("CA1", "CA2", turns=2, entries=1)
    pending, seen = [batch.work()], []
    while pending:
        work = pending.pop()
        calls = {row["call_sid"] for kind, row in work.calls if kind is Kind.CALL}
        assert {row["call_sid"] for _, row in work.parts} <= calls
        pieces = work.pieces()
        seen += [] if pieces else [(work.parts or work.calls)[0]]
        pending += pieces

    found = [(kind, row["call_sid"], row.get("position")) for kind, row in seen]
    assert len(found) == len(set(found)) == 8  # each row once, and alone


def test_what_was_spooled_is_removed_unless_it_changed_since() -> None:
    batch = waiting("CA1", "CA2", "CA3", turns=2, entries=2)
    batch.report("CA1")["status"] = "ringing"
    work = batch.work()
    batch.turns["CA1", 0] = {"call_sid": "CA1", "position": 0, "text": "words"}
    batch.call("CA2", 0)["agent_name"] = "Bob"
    batch.report("CA1")["status"] = "completed"
    batch.timeline.popleft()
    batch.timeline.append(("CA3", 2, "[]"))

    batch.remove(work)

    assert [*batch.turns] == [("CA1", 0)]
    assert [*batch.timeline] == [("CA3", 2, "[]")]
    assert [*batch.calls] == ["CA1", "CA2", "CA3"]  # CA1 and CA3: turns and entries need them
    assert batch.reported["CA1"]["status"] == "completed"
    batch.remove(batch.work())
    assert len(batch) == 0


def test_a_turn_to_delete_is_known_by_its_key_alone() -> None:
    batch = waiting("CA1", turns=1)
    batch.turns["CA1", 1] = {"call_sid": "CA1", "position": 1}

    assert rows(batch.work()) == [(Kind.CALL, None), (Kind.TURN, 0), (Kind.REMOVED_TURN, 1)]
