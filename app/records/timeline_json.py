"""The timeline of a call as JSON, made of the stored text: its entries' data is not decoded.

As objects the entries of a long call would keep the garbage collector, and so the event loop, busy
for half a second, whichever thread makes them.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from pydantic import TypeAdapter

from app.records.reading import read_timeline
from app.records.record import TimelineRow

_Entry = tuple[int, float, Literal["event", "command"], str, msgspec.Raw]
_BATCH = msgspec.json.Decoder(list[_Entry])
_ROW = TypeAdapter(TimelineRow)
_SURROGATE = "\\ud"  # what `sendable` replaces, or an emoji


def timeline_json(call_sid: str, batches: Iterable[str]) -> bytes:
    """A JSON list of the entries of stored batches in their order, as `TimelineRow` has them. Slow
    for a long call: run it in a thread."""
    found: dict[int, bytes] = {}
    for batch in batches:
        try:
            entries = _decoded(batch)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            for row in read_timeline(call_sid, [batch]):
                found.setdefault(row.position, _ROW.dump_json(row))
            continue
        for position, at_ms, kind, name, data in entries:
            if position not in found:
                head = msgspec.json.encode({"at_ms": at_ms, "kind": kind, "name": name})
                found[position] = b'%b,"data":%b}' % (head[:-1], data)
    return b"[%b]" % b",".join(found[position] for position in sorted(found))


def _decoded(batch: str) -> list[_Entry]:
    """The entries of a batch. Raises if one of them has to be read with care."""
    entries = _BATCH.decode(batch)
    if _SURROGATE in batch.lower() or any(
        bytes(memoryview(each[4])[:1]) != b"{" for each in entries
    ):
        raise ValueError("to be read with care")
    return entries
