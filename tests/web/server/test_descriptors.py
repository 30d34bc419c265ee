"""The limit of open file descriptors."""

import resource
from collections.abc import Iterator

import pytest

from app.web.server import descriptors


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """A fake limit of the process; the test may set it."""
    now = {"soft": 256, "hard": 100_000}

    def setrlimit(_kind: int, wanted: tuple[int, int]) -> None:
        now["soft"], now["hard"] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (now["soft"], now["hard"]))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    yield now


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (256, 100_000, descriptors.ENOUGH),
        (256, 1024, 1024),
        (1024, 1024, 1024),
        (20_000, 20_000, 20_000),
        (256, resource.RLIM_INFINITY, descriptors.ENOUGH),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows(
    limits: dict[str, int], soft: int, hard: int, then: int
) -> None:
    limits.update(soft=soft, hard=hard)
    descriptors.raise_limit()
    assert (limits["soft"], limits["hard"], descriptors.limit()) == (then, hard, then)


def test_an_unlimited_process_keeps_its_limit(limits: dict[str, int]) -> None:
    limits.update(soft=resource.RLIM_INFINITY, hard=resource.RLIM_INFINITY)
    descriptors.raise_limit()
    assert limits["soft"] == resource.RLIM_INFINITY
    assert descriptors.limit() == descriptors.ENOUGH


def test_a_limit_that_cannot_be_raised_is_kept(
    limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_kind: int, _wanted: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refused)
    descriptors.raise_limit()
    assert descriptors.limit() == 256
