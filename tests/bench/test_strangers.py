"""The limits on what an attack costs the live calls."""

import sqlite3
from pathlib import Path

import pytest

from bench.strangers.attacker import Sockets
from bench.strangers.attacks import ATTACKS
from bench.strangers.run import CALLS, Outcome, Window, complete_records
from bench.strangers.talk import Newcomers, TalkLedger


def window(*, gap_ms: float = 5, answered_ms: float = 20, log_bytes: int = 5000) -> Window:
    newcomers = Newcomers(TalkLedger(0), 1, "token")
    newcomers.answered_ms.add(answered_ms)
    return Window(gap_ms, newcomers, log_bytes, stall_ms=0)


def outcome(during: Window | None = None, **changes: float | None) -> Outcome:
    values: dict[str, float | None] = {
        "before_mib": 100,
        "peak_mib": 110,
        "after_mib": 105,
        "held": CALLS,
    }
    values |= {"status": 0, "stop_s": 2.0, "records": CALLS, "reports": CALLS} | changes
    made = Outcome(
        ATTACKS[0],
        window(),
        during or window(),
        sockets=Sockets(opened=0, open=0, refused=0, longest_s=0),
        attacker_percent=0,
        **values,  # type: ignore[arg-type]
    )
    made.judge()
    return made


def test_an_attack_that_costs_nothing_passes() -> None:
    assert outcome().broken == []
    assert outcome().row[-1] == "PASS"


@pytest.mark.parametrize(
    ("costly", "broken"),
    [
        (outcome(peak_mib=131), "memory at its peak"),
        (outcome(after_mib=120), "memory afterwards"),
        (outcome(window(gap_ms=46)), "gap in the audio"),
        (outcome(window(answered_ms=1030)), "new calls"),
        (outcome(held=19), "calls held"),
        (outcome(window(log_bytes=80_000)), "log"),
        (outcome(status=1), "stop"),
        (outcome(status=None), "stop"),
        (outcome(stop_s=7.0), "stop"),
        (outcome(records=19), "records"),
        (outcome(reports=19), "reports"),
    ],
)
def test_each_limit_is_checked(costly: Outcome, broken: str) -> None:
    assert costly.broken == [broken]
    assert costly.row[-1] == "FAIL"


def test_an_unanswered_caller_breaks_a_limit() -> None:
    during = window()
    during.newcomers.failures.append("a new caller was not answered in time")
    assert outcome(during).broken == ["new calls"]
    assert any("not answered" in remark for remark in outcome(during).remarks)


def test_a_record_is_complete_when_it_says_how_the_call_ended(tmp_path: Path) -> None:
    database = tmp_path / "calls.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE calls (call_sid, status, ended_at, ended_by)")
        rows = [
            ("CA1", "completed", "2026-01-01", "shutdown"),
            ("CA2", "in-progress", None, None),
            ("CA3", "completed", "2026-01-01", None),
            ("CA4", "completed", "2026-01-01", "caller"),
        ]
        connection.executemany("INSERT INTO calls VALUES (?, ?, ?, ?)", rows)
    assert complete_records(database, ["CA1", "CA2", "CA3"]) == 1


def test_every_attack_has_a_name_of_its_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
