"""Pages of metrics are the same as those that prometheus_client makes."""

import random

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.web.exposition import Counter, Histogram

BUCKETS = (0.5, 1.0, 10.0)
LABELS = {"tool": ("look_up", 'a "b"\\\n'), "outcome": ("returned", "failed")}
SERIES = [(tool, outcome) for tool in LABELS["tool"] for outcome in LABELS["outcome"]]


@pytest.fixture
def registry() -> CollectorRegistry:
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    return CollectorRegistry()


def test_a_counter_is_shown_as_prometheus_client_does(registry: CollectorRegistry) -> None:
    ours = Counter("asked", "How often.", LABELS)
    theirs = prometheus_client.Counter("asked", "How often.", tuple(LABELS), registry=registry)
    for values in SERIES:
        theirs.labels(*values)
    rng = random.Random(1)
    for _ in range(50):
        values, by = rng.choice(SERIES), rng.choice((1.0, 0.1, 7_000_000.0))
        ours.inc(*values, by=by)
        theirs.labels(*values).inc(by)
        assert ours.text().encode() == generate_latest(registry)


def test_a_histogram_is_shown_as_prometheus_client_does(registry: CollectorRegistry) -> None:
    ours = Histogram("took_seconds", "How long.", LABELS, buckets=BUCKETS)
    theirs = prometheus_client.Histogram(
        "took_seconds", "How long.", tuple(LABELS), buckets=BUCKETS, registry=registry
    )
    for values in SERIES:
        theirs.labels(*values)
    rng = random.Random(2)
    for _ in range(50):
        values, amount = rng.choice(SERIES), rng.choice((*BUCKETS, 0.0, 0.7, 20.0))
        ours.observe(*values, amount=amount)
        theirs.labels(*values).observe(amount)
        assert ours.text().encode() == generate_latest(registry)


def test_a_metric_without_labels_has_one_series() -> None:
    cost = Counter("cost_usd", "Cost.")
    assert cost.text().splitlines()[-1] == "cost_usd_total 0.0"
    cost.inc(by=0.25)
    assert cost.text().splitlines()[-1] == "cost_usd_total 0.25"


def test_a_value_beyond_the_lists_is_an_error() -> None:
    with pytest.raises(KeyError):
        Counter("asked", "How often.", LABELS).inc("look_up", "+14155550101")
