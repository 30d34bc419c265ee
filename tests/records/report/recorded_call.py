"""A call that was held with the real machine and recorded by the real timeline, without waiting.

`Story` plays the model, Twilio and the clock: it knows to the millisecond when who sounded, and
leaves the record (call, turns, timeline) and, if wanted, the recording.
"""

import heapq
import itertools
import json
import random
import wave
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.destinations import Destination
from app.call.exits.attempts import TransferAttempts
from app.call.exits.transfer import TRANSFER
from app.call.heard.conversation import Turn
from app.call.machine import CallMachine
from app.call.timeline import Timeline
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.store import Store

ROUND_TRIP_MS = 80.0
SILENCE_MS = 500  # that turn detection waits for
PADDING_MS = 300  # that it puts before
NOTICE_MS = 60  # after which it has noticed the caller
CHUNK_MS = 100
HZ = 8000

SALES = Destination("Sales", "+493090182002", then=("Support",))
SUPPORT = Destination("Support", "+493090182001")
AGENT = Agent("Mia", "Sell pizza.", greeting="Hello!", destinations=(SALES, SUPPORT))


@dataclass
class Sounded:
    """Real sound of one side, whatever turn detection hears."""

    #: 0: the caller, 1: the agent.
    side: int
    from_ms: float
    to_ms: float
    level: int = 4000


@dataclass
class _Played:
    item_id: str
    from_ms: float
    to_ms: float


@dataclass
class Story:
    """Tell it what happens, in order. Times are ms from the webhook."""

    sid: str = "CA" + "1" * 32
    now_ms: float = 0.0
    sounds: list[Sounded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._machine = CallMachine(AGENT)
        self._earlier: list[Turn] = []  # of the legs before
        self._ordered: do.TransferCall | None = None
        self._attempts: TransferAttempts | None = None
        self._transfers: list[dict[str, object]] = []
        self._timeline = Timeline()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count(1)
        self._until_ms = self._generated_ms = 0.0
        self._played: list[_Played] = []
        self._waiting_marks: dict[str, int] = {}
        self._forwarded_ms = 0.0
        self.feed(ev.LegOpened())
        self.feed(ev.ModelOpened())
        self.feed(ev.SessionConfigured())

    # --- the clock ----------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        self._timeline.event(event, self.now_ms)
        for command in self._machine.handle(event, self.now_ms):
            self._timeline.command(command, self.now_ms)
            self._perform(command)

    def at(self, at_ms: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_ms, next(self._count), then))

    def go(self, until_ms: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= until_ms:
            at_ms, _, then = heapq.heappop(self._due)
            self.now_ms = max(self.now_ms, at_ms)
            then()
        self.now_ms = max(self.now_ms, until_ms)

    # --- Twilio -------------------------------------------------------------------------------

    def _perform(self, command: do.Command) -> None:
        match command:
            case do.PlayAudio(item_id, _, size_bytes):
                begins = max(self._until_ms, self.now_ms)
                self._until_ms = begins + size_bytes / 8
                self._played.append(_Played(item_id, begins, self._until_ms))
            case do.SendMark(name):
                self._echo(name, max(self.now_ms, self._until_ms) + ROUND_TRIP_MS)
            case do.ClearAudio():
                for piece in self._played:
                    piece.to_ms = min(piece.to_ms, max(piece.from_ms, self.now_ms))
                self._until_ms = self.now_ms
                for name in list(self._waiting_marks):
                    self._echo(name, self.now_ms + ROUND_TRIP_MS)
            case do.TransferCall():
                self._ordered = command

    def _echo(self, name: str, at_ms: float) -> None:
        number = self._waiting_marks[name] = next(self._count)

        def echoed() -> None:
            if self._waiting_marks.get(name) == number:
                del self._waiting_marks[name]
                self.feed(ev.MarkEchoed(name))

        self.at(at_ms, echoed)

    # --- what people do -----------------------------------------------------------------------

    def connect(self, at_ms: float = 60.0) -> None:
        self.go(at_ms)
        self.feed(ev.StreamStarted("MZ1"))

    def agent_says(
        self, text: str, ms: int, *, item_id: str = "", tool: tuple[str, str] | None = None
    ) -> str:
        """A response of `ms` of audio begins now and comes at five times its speed; behind it a
        call of `tool`, (name, arguments). Returns the item's id."""
        number = next(self._count)
        item_id, response_id = item_id or f"item_{number}", f"resp_{number}"
        self.feed(ev.ResponseCreated(response_id))
        self.feed(ev.OutputItemAdded(response_id, item_id, "message"))
        words = text.split()
        pieces = [min(CHUNK_MS, ms - start) for start in range(0, ms, CHUNK_MS)]

        def piece(index: int, size_ms: int) -> None:
            share = slice(
                index * len(words) // len(pieces), (index + 1) * len(words) // len(pieces)
            )
            if said := " ".join(words[share]):
                self.feed(ev.TranscriptReceived(item_id, f"{said} "))
            self.feed(ev.AudioReceived(response_id, item_id, "", size_ms * 8))

        def done() -> None:
            self.feed(ev.TranscriptCompleted(item_id, text))
            self.feed(ev.OutputItemDone(response_id, item_id, "message", "completed"))
            if tool is not None:
                self._tool_called(response_id, *tool)
            self.feed(ev.ResponseDone(response_id, "completed"))

        begun_ms = self.now_ms
        for index, size_ms in enumerate(pieces):
            at_ms = begun_ms + index * CHUNK_MS / 5
            self.at(at_ms, lambda index=index, size_ms=size_ms: piece(index, size_ms))  # type: ignore[misc]
        self._generated_ms = begun_ms + ms / 5
        self.at(self._generated_ms, done)
        self.go(begun_ms)
        return item_id

    def begins_to_say(self, text: str) -> str:
        """A response has its words, and no audio yet. Returns the item's id."""
        number = next(self._count)
        item_id, response_id = f"item_{number}", f"resp_{number}"
        self.feed(ev.ResponseCreated(response_id))
        self.feed(ev.OutputItemAdded(response_id, item_id, "message"))
        self.feed(ev.TranscriptReceived(item_id, text))
        return item_id

    def calls_tool(self, name: str, arguments: str) -> str:
        """A response that only calls a tool. Returns the call's id."""
        response_id = f"resp_{next(self._count)}"
        self.feed(ev.ResponseCreated(response_id))
        call_id = self._tool_called(response_id, name, arguments)
        self.feed(ev.ResponseDone(response_id, "completed"))
        return call_id

    def _tool_called(self, response_id: str, name: str, arguments: str) -> str:
        call_id, item_id = f"call_{next(self._count)}", f"item_{next(self._count)}"
        self.feed(
            ev.OutputItemDone(
                response_id, item_id, "function_call", "completed", call_id, name, arguments
            )
        )
        return call_id

    def tool_returns(self, call_id: str, output: str) -> None:
        self.feed(ev.ToolReturned(call_id, output))
        self.feed(ev.ToolOutputTaken(call_id))

    def tool_fails(self, call_id: str, message: str) -> None:
        self.feed(ev.ToolFailed(call_id, message))

    def caller_begins(self) -> str:
        """Turn detection notices the caller, who began to speak now. Returns the item's id."""
        item_id, begun_ms = f"item_{next(self._count)}", self.now_ms
        self.go(begun_ms + NOTICE_MS)
        self._feed_forwarded()
        self.feed(ev.SpeechStarted(item_id, int(begun_ms - PADDING_MS)))
        return item_id

    def caller_says(self, text: str, ms: float, *, level: int = 4000) -> str:
        """The caller speaks from now on, for `ms`; time passes until turn detection has it."""
        begun_ms = self.now_ms
        self.sounds.append(Sounded(0, begun_ms, begun_ms + ms, level))
        item_id = self.caller_begins()
        self.go(begun_ms + ms + SILENCE_MS)
        self._feed_forwarded()
        self.feed(ev.SpeechStopped(item_id, int(self.now_ms)))
        self.feed(ev.CallerTurnCommitted(item_id, None))
        self.feed(ev.CallerTranscribed(item_id, text))
        return item_id

    def _feed_forwarded(self) -> None:
        """All audio since the webhook is appended, so the model's audio time is the timeline's."""
        size_bytes = round((self.now_ms - self._forwarded_ms) * 8)
        self._forwarded_ms = self.now_ms
        self.feed(ev.CallerAudioForwarded(size_bytes // 160, size_bytes))

    def quiet(self, ms: float = 0.0) -> None:
        """Wait until all is heard, and `ms` more."""
        self.go(max(self.now_ms, self._generated_ms))
        self.go(max(self.now_ms, self._until_ms) + ms)

    def hang_up(self) -> None:
        """The caller hangs up."""
        self.feed(ev.StreamEnded("call completed"))
        for piece in self._played:
            piece.to_ms = min(piece.to_ms, max(piece.from_ms, self.now_ms))

    # --- humans -------------------------------------------------------------------------------

    def orders_transfer(self, destination: str) -> None:
        """The agent announces a transfer, then orders the redirect."""
        asked = {"destination": destination, "reason": "a price", "summary": "40 chairs"}
        self.agent_says("I am connecting you.", 1500, tool=(TRANSFER, json.dumps(asked)))
        self.quiet(1000)
        self.feed(ev.TimerFired())
        assert self._ordered is not None

    def stream_ends(self) -> None:
        """Twilio accepted the redirect, and ended the stream."""
        order, self._ordered = self._ordered, None
        assert order is not None
        route = [each for name in order.route for each in AGENT.destinations if each.name == name]
        self._attempts = TransferAttempts(route, order.call_id, order.reason, order.summary)
        self.feed(ev.CallRedirected())
        self.feed(ev.StreamEnded("stop"))

    def is_refused(self) -> None:
        """Twilio refused the redirect."""
        assert self._ordered is not None
        name, self._ordered = self._ordered.route[0], None
        self._transfers.append({"destination": name, "outcome": "failed"})
        self.feed(ev.RedirectFailed("status 500"))

    def rings(self, *outcomes: str, ms: float) -> None:
        """One attempt after the other, for `ms` in all."""
        attempts = self._attempts
        assert attempts is not None
        for outcome in outcomes:
            attempts.next()
            attempts.pressed(attempts.number, "1" if outcome == "completed" else "")
            attempts.ended(attempts.number, outcome)
        self._transfers += [dict(record) for record in attempts.records()]
        self.go(self.now_ms + ms)

    def resumes(self) -> None:
        """The next leg is opened, and 60 ms later its stream."""
        attempts = self._attempts
        assert attempts is not None
        history = self._machine.history(self.now_ms)
        self._earlier += self._machine.transcript(self.now_ms)
        self._machine = CallMachine(AGENT)
        returned = TRANSFER, attempts.call_id, attempts.in_words()
        self.feed(ev.LegOpened(history, 0.0, *returned))
        self.feed(ev.ModelOpened())
        self.feed(ev.SessionConfigured())
        self._forwarded_ms = self.now_ms
        self.connect(self.now_ms + 60)

    # --- what is left of it -------------------------------------------------------------------

    def timeline(self) -> list[TimelineRow]:
        return [
            TimelineRow(entry.order, entry.at_ms, entry.kind, entry.name, entry.as_data())
            for entry in self._timeline.take()
        ]

    def turns(self) -> list[TurnRow]:
        return [
            TurnRow(
                position,
                turn.role,
                turn.heard_text,
                turn.item_id,
                turn.at_ms,
                cut=turn.cut,
                estimated=turn.cut,
                heard_ms=turn.heard_ms if turn.role == "assistant" else None,
                complete=turn.finished,
                extra=dict(turn.detail),
            )
            for position, turn in enumerate(
                [*self._earlier, *self._machine.transcript(self.now_ms)]
            )
        ]

    def call(self, recording: Path | None = None) -> CallRow:
        began = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
        return CallRow(
            call_sid=self.sid,
            account_sid="AC1",
            direction="inbound",
            from_number="+15550100001",
            to_number="+15550109999",
            agent_name="Mia",
            status="completed",
            answered_by=None,
            created_at=began,
            started_at=began,
            ended_at=began + timedelta(milliseconds=self.now_ms),
            duration_s=self.now_ms / 1000,
            ended_by=self._machine.ended_by or None,
            usage={"input_audio": 100},
            timings={},
            transfers=self._transfers,
            cost={"currency": "USD", "model": 0.01, "line": 0.0085, "total": 0.0185},
            recording=str(recording) if recording else None,
        )

    async def save(self, store: Store, recording: Path | None = None) -> None:
        """Put the record into the store, durably."""
        call = self.call(recording)
        changes = {f.name: getattr(call, f.name) for f in fields(call)}
        kept_by_the_store = "epoch", "adopted_by", "revision", "written_by", "write_number"
        for name in ("call_sid", "created_at", *kept_by_the_store):
            del changes[name]
        store.save_call(self.sid, **changes)
        store.save_turns(self.sid, self.turns())
        store.append_timeline(self.sid, self.timeline())
        await store.flush()

    def agent_spans(self) -> list[Sounded]:
        """When the agent sounded: each item from its first piece to its last."""
        spans: dict[str, Sounded] = {}
        for piece in self._played:
            if piece.to_ms > piece.from_ms:
                span = spans.setdefault(piece.item_id, Sounded(1, piece.from_ms, piece.to_ms))
                span.to_ms = piece.to_ms
        return list(spans.values())

    def write_wav(
        self, path: Path, *, noise: int = 0, silent: Iterable[tuple[float, float]] = ()
    ) -> Path:
        """The recording: both sides when they sounded, the caller's over noise of that RMS.
        `silent`: from when to when the agent's audio holds nothing."""
        mute = [Sounded(1, from_ms, to_ms, 0) for from_ms, to_ms in silent]
        return write_wav(path, [*self.sounds, *self.agent_spans(), *mute], self.now_ms, noise)


def write_wav(path: Path, sounds: Iterable[Sounded], length_ms: float, noise: int = 0) -> Path:
    """Stereo PCM of 16 bits, the caller left. Sounds are white noise of their level;
    a level of 0 takes away what was there."""
    chance = random.Random(1)
    size = round(length_ms * HZ / 1000)
    pool = [chance.gauss(0, 1) for _ in range(HZ)]
    frames = array("h", bytes(4 * size))
    if noise:
        for n in range(size):
            frames[2 * n] = _clip(noise * pool[(n * 7 + n // HZ) % HZ])
    for sound in sounds:
        for n in range(round(sound.from_ms * 8), min(size, round(sound.to_ms * 8))):
            place = 2 * n + sound.side
            before = frames[place] if sound.level else 0
            frames[place] = _clip(before + sound.level * pool[n % HZ])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes(frames.tobytes())
    return path


def _clip(value: float) -> int:
    return max(-32768, min(32767, round(value)))


def transferred_call() -> Story:
    """Two attempts that fail, the agent again, and a human who accepts the call and talks."""
    story = Story()
    story.connect()
    story.go(300)
    story.agent_says("Pizzeria Bella, this is Mia.", 1800)
    story.quiet(700)
    story.caller_says("A human, please.", 1200)
    story.go(story.now_ms + 200)
    story.orders_transfer("Sales")
    story.stream_ends()
    story.rings("no-answer", "busy", ms=5000)
    story.resumes()
    story.go(story.now_ms + 300)
    story.agent_says("Nobody is there just now.", 1700)
    story.quiet(500)
    story.caller_says("Once more, please.", 1300)
    story.go(story.now_ms + 200)
    story.orders_transfer("Support")
    story.stream_ends()
    story.rings("completed", ms=30_000)
    return story


def pizza_call() -> Story:
    """A call with everything: greeting, tool, answer, interruption, another answer, hang-up."""
    story = Story()
    story.connect()
    story.go(300)
    story.agent_says("Pizzeria Bella, this is Mia. What can I get you?", 3200)
    story.quiet(700)
    story.caller_says("Hello! What pizzas do you have?", 2200)
    call_id = story.calls_tool("menu", '{"size": "large"}')
    story.go(story.now_ms + 240)
    story.tool_returns(call_id, '{"margherita":11.0,"funghi":12.5}')
    story.go(story.now_ms + 300)
    story.agent_says(
        "We have two. A large Margherita is eleven euros, and a large Funghi is twelve fifty. "
        "They all come from our wood oven.",
        9000,
    )
    story.go(story.now_ms + 3300)
    story.caller_says("Sorry, stop there. One Margherita please.", 2900)
    story.go(story.now_ms + 240)
    story.agent_says("One large Margherita. Thank you!", 2500)
    story.quiet(800)
    story.caller_says("Goodbye!", 700)
    story.hang_up()
    return story
