"""What a replica holds, seen from outside: /proc, GET /metrics, and the keys in Redis. Linux."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LIVE_CALLS = "phone_agent_live_calls"
#: Connections to the database that a pool may have opened since.
POOLED = 10
#: Threads that asyncio's pool may have started since: it starts them one by one, and keeps them.
POOLED_THREADS = min(32, (os.cpu_count() or 1) + 4)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one process holds at a moment."""

    sockets: int
    #: Files, pipes and other descriptors.
    files: int
    threads: int
    live_calls: int

    def more_than(self, before: "Resources") -> list[str]:
        """What is held beyond that, in words."""
        limits: Mapping[str, int] = {"sockets": POOLED, "threads": POOLED_THREADS}
        return [
            f"{getattr(self, name) - getattr(before, name)} {name.replace('_', ' ')}"
            for name in ("sockets", "files", "threads", "live_calls")
            if getattr(self, name) > getattr(before, name) + limits.get(name, 0)
        ]


@dataclass(slots=True)
class AtRest:
    """All that is held while no call lives."""

    replicas: list[Resources] = field(default_factory=list)
    redis_keys: list[str] = field(default_factory=list)
    model_sessions: int = 0

    def more_than(self, before: "AtRest") -> list[str]:
        """What is left, in sentences; empty: nothing."""
        left = [
            f"replica {number}: {', '.join(more)}"
            for number, (now, then) in enumerate(
                zip(self.replicas, before.replicas, strict=True), 1
            )
            if (more := now.more_than(then))
        ]
        kinds = Counter(kind_of(key) for key in self.redis_keys)
        kinds.subtract(kind_of(key) for key in before.redis_keys)
        left += [f"{count} Redis keys {kind}" for kind, count in kinds.items() if count > 0]
        if self.model_sessions:
            left.append(f"{self.model_sessions} sessions of the model")
        return left


def kind_of(key: str) -> str:
    """A Redis key without what tells it from others of its kind."""
    return ":".join(key.split(":")[:2])


def live_calls(page: str) -> int:
    """The live calls on a page of GET /metrics."""
    for line in page.splitlines():
        if line.startswith(f"{LIVE_CALLS} "):
            return int(float(line.split()[1]))
    raise ValueError(f"no {LIVE_CALLS} on the page")


def held(pid: int, page: str) -> Resources:
    """What a process holds now. `page`: its GET /metrics."""
    process = Path(f"/proc/{pid}")
    links = []
    for each in (process / "fd").iterdir():
        try:
            links.append(str(each.readlink()))
        except OSError:
            continue  # closed meanwhile
    sockets = sum(each.startswith("socket:") for each in links)
    threads = len(list((process / "task").iterdir()))
    return Resources(sockets, len(links) - sockets, threads, live_calls(page))
