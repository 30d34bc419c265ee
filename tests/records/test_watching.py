"""Watchers see how a call and its transfers ended, each once."""

from typing import Any, cast

from app.call import events as ev
from app.records.recorder import Recorder
from app.records.store import Store
from app.records.stored_call import StoredCall
from app.records.watching import (
    Audience,
    CallEnded,
    Selective,
    TransferEnded,
    Watched,
    known_usd,
)
from app.wires.twilio.call import CallInfo
from tests.call.scene import AGENT, Scene

CALL = CallInfo("CA1")
COST = {"currency": "USD", "model": 0.5, "line": None, "total": None, "unknown": ["line"]}


class Nowhere:
    """A store that keeps nothing."""

    def save_call(self, *_: Any, **__: Any) -> None: ...

    def save_turns(self, *_: Any, **__: Any) -> None: ...

    def append_timeline(self, *_: Any, **__: Any) -> None: ...


def recorder(stored: StoredCall | None = None) -> tuple[Recorder, list[Watched]]:
    seen: list[Watched] = []

    def watch(_call: CallInfo, message: Watched, _now_ms: float) -> None:
        seen.append(message)

    store = cast(Store, Nowhere())
    return Recorder(store, CALL, AGENT, lambda *_: COST, None, [watch], stored), seen


def attempt(outcome: str) -> dict[str, str]:
    return {"destination": "desk", "outcome": outcome}


def test_each_transfer_is_seen_once_with_its_outcome() -> None:
    records, seen = recorder()
    records.save_transfers([attempt("ringing")])
    records.save_transfers([attempt("busy")])
    records.save_transfers([attempt("busy"), attempt("in-progress")])
    assert seen == [TransferEnded("busy")]
    records.save_transfers([attempt("busy"), attempt("completed")])
    records.save_transfers([attempt("busy"), attempt("completed")])
    assert seen == [TransferEnded("busy"), TransferEnded("completed")]


def test_transfers_of_another_process_are_not_seen_again() -> None:
    records, seen = recorder(StoredCall(transfers=[attempt("busy"), attempt("ringing")]))
    records.save_transfers([attempt("busy"), attempt("no-answer")])
    assert seen == [TransferEnded("no-answer")]


def test_the_end_of_a_call_is_seen_once_with_its_last_cause() -> None:
    records, seen = recorder()
    scene = Scene()
    records.finish(scene.machine, 10.0, ended_by="line", call_continues=True)
    records.ended_by("handshake")
    assert seen == []
    records.close_record(20.0)
    records.close_record(30.0)
    assert seen == [CallEnded("handshake", 0.5)]


def test_events_and_commands_are_seen_in_their_order() -> None:
    records, seen = recorder()
    records.event(ev.StreamStarted("MZ1"), 1.0)
    scene = Scene()
    commands = scene.feed(ev.LegOpened())
    for command in commands:
        records.command(command, 2.0)
    assert commands and seen == [ev.StreamStarted("MZ1"), *commands]


def test_the_known_parts_of_a_cost_are_added_up() -> None:
    assert known_usd({"model": 0.25, "line": 0.5, "total": 0.75, "unknown": []}) == 0.75
    assert known_usd(COST) == 0.5 and known_usd({}) == 0


def test_a_watcher_of_some_classes_sees_no_others() -> None:
    seen: list[Watched] = []
    everything: list[Watched] = []
    some = Selective(lambda _call, message, _ms: seen.append(message), frozenset({CallEnded}))
    audience = Audience((some, lambda _call, message, _ms: everything.append(message)))
    ended, opened = CallEnded("caller", 0.0), ev.LegOpened()
    for message in (opened, ended, opened):
        for watch in audience[type(message)]:
            watch(CALL, message, 0.0)
        some(CALL, message, 0.0)
    assert seen == [ended, ended]
    assert everything == [opened, ended, opened]
