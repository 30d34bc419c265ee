"""Breaks each row of the tables in `app/call/exits/transitions`: do the tests notice?

A mutant lacks one transition, or has it lead to another state. The tests of this folder that use
the transition run against it, the fastest first, until one fails.
`python -m tests.call.exits.mutations` names the mutants that survive, and fails if there are any.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

from app.call.exits.region import Region
from app.call.exits.transitions import EXIT, KEYS, REDIRECT, Action, Transition, Trigger

TABLES: tuple[Any, ...] = (EXIT, REDIRECT, KEYS)
Row = tuple[StrEnum, Trigger]


class Mutant(NamedTuple):
    """One transition that is removed, or that leads elsewhere."""

    state: StrEnum
    trigger: Trigger
    #: The transitions of `state`, to be changed in place.
    rows: dict[Trigger, Transition[Any]]
    #: What replaces the transition; None: it is removed.
    instead: Transition[Any] | None

    def __str__(self) -> str:
        change = f"leads to {self.instead.next}" if self.instead else "is removed"
        return f"{self.state}, {self.trigger}: {change}"

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mutant takes the place of the transition."""
        original = self.rows.pop(self.trigger)
        if self.instead is not None:
            self.rows[self.trigger] = self.instead
        try:
            yield
        finally:
            self.rows[self.trigger] = original


def mutants() -> Iterator[Mutant]:
    """Every transition removed, and leading to every other state."""
    for table in TABLES:
        for state, rows in table.items():
            for trigger, transition in list(rows.items()):
                yield Mutant(state, trigger, rows, None)
                for other in table:
                    if other is not transition.next:
                        instead = replace(transition, next=other)
                        yield Mutant(state, trigger, rows, instead)


class Mutations:
    """A plugin of pytest: runs the collected tests once, then against every mutant."""

    def __init__(self) -> None:
        #: How many mutants there were.
        self.tried = 0
        #: Those that no test noticed.
        self.survivors: list[Mutant] = []
        #: Tests that fail without a mutant.
        self.broken: list[str] = []
        self._used: dict[Row, list[pytest.Item]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._run_unchanged(session.items)
        if not self.broken:
            for mutant in mutants():
                self.tried += 1
                with mutant.in_place():
                    tests = self._used[mutant.state, mutant.trigger]
                    if all(map(_passes, tests)):
                        self.survivors.append(mutant)
        return True

    def _run_unchanged(self, items: list[pytest.Item]) -> None:
        """Run every test, and note which transitions it uses and how long it takes."""
        took: list[tuple[float, pytest.Item, set[Row]]] = []
        for item in items:
            begun = time.perf_counter()
            with _noting_rows() as rows:
                passed = _passes(item)
            took.append((time.perf_counter() - begun, item, rows))
            if not passed:
                self.broken.append(item.nodeid)
        for _, item, rows in sorted(took, key=lambda each: each[0]):
            for row in rows:
                self._used[row].append(item)


@contextmanager
def _noting_rows() -> Iterator[set[Row]]:
    rows: set[Row] = set()
    take = Region.take

    def noting(region: Region[Any], trigger: Trigger, now_ms: float) -> tuple[Action, ...]:
        rows.add((region.state, trigger))
        return take(region, trigger, now_ms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Region, "take", noting)
        yield rows


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False))


def main() -> int:
    mutations = Mutations()
    status = pytest.main(
        [str(Path(__file__).parent), "-qq", "-p", "no:cacheprovider"], plugins=[mutations]
    )
    for name in mutations.broken:
        print(f"fails without a mutant: {name}")  # noqa: T201
    for mutant in mutations.survivors:
        print(f"survives: {mutant}")  # noqa: T201
    print(f"{mutations.tried} mutants, {len(mutations.survivors)} survive")  # noqa: T201
    failed = mutations.broken or mutations.survivors or not mutations.tried
    return 1 if failed else int(status)


if __name__ == "__main__":
    sys.exit(main())
