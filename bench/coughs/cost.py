"""What the measurement of the caller's frames costs: `CallerAudio.take` with the meter and without,
in a loop: CPU time. The machine is that of a call whose caller speaks, as the model reports.
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

from app.bridge.leg.caller_audio import CallerAudio
from app.call import events as ev
from app.call.agent import Agent
from app.call.machine import CallMachine
from app.wires.twilio.media_stream import Media
from bench.coughs.sounds import Kind, make
from bench.stamps import FRAME_BYTES

FRAMES = 20_000
RUNS = 9
LIMIT_US = 4.0
HEADINGS = ("a caller's frame", "with, µs", "without", "more", "")


class _Peers:
    """Model side, wire and recorder of a leg, as far as the caller's audio uses them."""

    records_audio = False
    successor = None

    @property
    def wire(self) -> "_Peers":
        return self

    def append_audio(self, _payload: str) -> bool:
        return True


class _NoMeter:
    """In place of the meter."""

    run_bytes = quiet_bytes = 0

    def take(self, _ulaw: bytes) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of the runs, in µs a frame."""

    with_us: float
    without_us: float

    @property
    def kept(self) -> bool:
        return self.with_us - self.without_us <= LIMIT_US

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        more = f"{self.with_us - self.without_us:.2f} (≤ {LIMIT_US:g})"
        verdict = "PASS" if self.kept else "FAIL"
        return "taken", f"{self.with_us:.2f}", f"{self.without_us:.2f}", more, verdict


def measure(seed: int) -> Cost:
    """The runs alternate, so that a slow phase of the machine affects both."""
    frames = _frames(seed)
    pairs = [(_run(frames, meter=True), _run(frames, meter=False)) for _ in range(RUNS)]
    return Cost(median(each for each, _ in pairs), median(each for _, each in pairs))


def _frames(seed: int) -> list[Media]:
    """Speech and quiet in turn."""
    random = Random(seed)
    sound = b"".join(make(Kind.SENTENCE, random).ulaw + b"\xff" * 4000 for _ in range(8))
    starts = range(0, len(sound) - FRAME_BYTES, FRAME_BYTES)
    frames = [sound[at : at + FRAME_BYTES] for at in starts]
    return [Media(base64.b64encode(frame).decode(), frame, "0") for frame in frames]


def _now_ms() -> float:
    """As `Leg` has it."""
    return round(time.monotonic() * 1000, 3)


def _machine() -> CallMachine:
    machine = CallMachine(Agent("Ada", "Be kind."))
    opened = ev.LegOpened(reports_silences=True, answers_unreported=True)
    session = ev.ModelOpened(), ev.SessionConfigured()
    for event in (opened, *session, ev.StreamStarted("MZ1"), ev.SpeechStarted("item", 0)):
        machine.handle(event, 0.0)
    return machine


def _run(frames: Sequence[Media], *, meter: bool) -> float:
    peers: Any = _Peers()
    audio = CallerAudio(peers, _machine(), peers, _now_ms, lambda _event: None)
    if not meter:
        audio._meter = _NoMeter()  # type: ignore[assignment] # the same loop without it
    many = [frames[n % len(frames)] for n in range(FRAMES)]
    began_s = time.process_time()
    for frame in many:
        audio.take(frame)
    return (time.process_time() - began_s) / FRAMES * 1e6
