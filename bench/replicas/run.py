"""All parts of the bench of replicas, one after the other."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import uvloop

from bench.replicas import kill, roll, soak, spread, stop
from bench.replicas import stores as troubles
from bench.replicas.cluster import Stores, stores
from bench.replicas.judge import Row

PARTS = ("spread", "kill", "stop", "stores", "roll", "soak")

Say = Callable[[str], None]


def measure(
    parts: Iterable[str], seconds: int | None, only: str, seed: int, say: Say
) -> Iterator[Row]:
    """Run these parts.

    `seconds`: how long stores are away, and how long `soak` lasts; None: as usual. `only`: of
    `stores`, those with this in their name. Raises RuntimeError if a part cannot be run.
    """
    with stores() as shared:
        for part in parts:
            with tempfile.TemporaryDirectory(prefix="replicas-") as folder:
                yield from uvloop.run(
                    _measure(part, shared, Path(folder), seconds, only, seed, say)
                )


async def _measure(
    part: str,
    shared: Stores,
    folder: Path,
    seconds: int | None,
    only: str,
    seed: int,
    say: Say,
) -> list[Row]:
    match part:
        case "spread":
            return await spread.measure(shared, folder, say)
        case "kill":
            return await kill.measure(shared, folder, say, seed)
        case "stop":
            return await stop.measure(shared, folder, say, seed)
        case "stores":
            return await troubles.measure(shared, folder, say, seconds or troubles.SECONDS, only)
        case "roll":
            return await roll.measure(shared, folder, say, seed)
        case "soak":
            return await soak.measure(shared, folder, say, seconds or soak.SECONDS, seed)
    raise RuntimeError(f"replicas have no part {part!r}; choose one of {', '.join(PARTS)}")
