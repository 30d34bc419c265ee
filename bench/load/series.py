"""The runs of `make bench`, and its table: relay, peer and service under the same load."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench import long_call
from bench.load import peer, report
from bench.load.run import Measurement, Plan
from bench.process import RELAY, SERVICE, Subject

BARGE_IN = Plan(calls=50, seconds=20)
CAPACITY = Plan(calls=350, seconds=15)

Step = tuple[Subject, Plan]


@dataclass(frozen=True, slots=True)
class Series:
    """What to run, in this order. `peer`: whether another project's bridge runs beside ours."""

    plan: Plan
    runs: int
    peer: bool

    @property
    def _subjects(self) -> tuple[Subject, ...]:
        return (RELAY, peer.NODE, SERVICE) if self.peer else (RELAY, SERVICE)

    @property
    def steps(self) -> list[Step]:
        """Interleaved runs of all; then of the service while it is watched, with interruptions, and
        with as many calls as a core is to hold."""
        watched = Plan(self.plan.calls, self.plan.seconds, watched=True)
        turn = [(subject, self.plan) for subject in self._subjects] + [(SERVICE, watched)]
        return turn * self.runs + [(RELAY, BARGE_IN), (SERVICE, BARGE_IN), (SERVICE, CAPACITY)]

    def rows(self, done: Sequence[Measurement]) -> list[report.Row]:
        """The table. `done`: of `steps`, in their order."""
        turns, (relay, service, capacity) = done[:-3], done[-3:]
        of_each = len(self._subjects) + 1
        relays, services = turns[::of_each], turns[of_each - 2 :: of_each]
        nodes = turns[1::of_each] if self.peer else ()
        return [
            *report.load_rows(report.Comparison(relays, services, nodes)),
            *report.watched_rows(relays, services, turns[of_each - 1 :: of_each]),
            *report.barge_in_rows(report.Comparison([relay], [service]), BARGE_IN.calls),
            *report.capacity_rows(capacity),
            *long_call.rows(),
        ]
