"""Who is at a number that is dialled: a person or a machine, and what they do."""

from dataclasses import dataclass

from app.simulator.twilio.call import Caller
from app.simulator.twilio.trunk import Detection

OUTCOMES = frozenset({"answers", "busy", "no-answer", "failed"})
ANSWERED_BY = frozenset(
    {
        "human",
        "fax",
        "unknown",
        "machine_start",
        "machine_end_beep",
        "machine_end_silence",
        "machine_end_other",
    }
)


@dataclass(frozen=True, slots=True)
class Callee:
    """Who is at a number, and what happens when it is dialled. Times are real milliseconds.

    Args:
        goes: answers, busy, no-answer or failed. One that would answer after the call's timeout
            does not answer.
        answers_after_ms: how long it rings, or how long it takes to be busy or to fail.
        presses: the keys pressed once the prompt of a <Gather> is over: "1", "12#", nothing. A
            tuple has them for each <Gather> in turn, and nothing for those after.
        presses_after_ms: how long after the prompt.
        hangs_up_after_ms: hangs up so long after it answered, whatever goes on then.
        talks_ms: hangs up after so long a talk with another call, in a <Dial> or a conference;
            None: never.
        machine: a voicemail: it plays its greeting for `greeting_ms`, beeps, records for
            `record_ms` at most, hangs up, and presses no key ever. `greeting`: what it says then,
            µ-law at 8000 Hz; nobody hears it on a call without a stream.
        answered_by: what detection takes it for; empty: what it is. `detected_after_ms`: how long
            after the answer that is known, unless the end of the greeting is waited for.
        script: what it does besides, run beside its call from the answer on.
    """

    goes: str = "answers"
    answers_after_ms: float = 0.0
    presses: str | tuple[str, ...] = ""
    presses_after_ms: float = 0.0
    hangs_up_after_ms: float | None = None
    talks_ms: float | None = None
    machine: bool = False
    greeting: bytes = b""
    greeting_ms: float = 200.0
    record_ms: float = 60_000.0
    answered_by: str = ""
    detected_after_ms: float = 20.0
    script: Caller | None = None

    def __post_init__(self) -> None:
        if self.goes not in OUTCOMES:
            raise ValueError(f"goes={self.goes!r}: choose one of {', '.join(sorted(OUTCOMES))}")
        if self.answered_by and self.answered_by not in ANSWERED_BY:
            choice = ", ".join(sorted(ANSWERED_BY))
            raise ValueError(f"answered_by={self.answered_by!r}: choose one of {choice}")

    def keys(self, prompt: int) -> str:
        """What is pressed after the prompt of this <Gather>. `prompt`: which one, from 1."""
        if self.machine:
            return ""
        if isinstance(self.presses, str):
            return self.presses
        return self.presses[prompt - 1] if prompt <= len(self.presses) else ""

    def detected(self, detection: Detection) -> tuple[str, float]:
        """What answering machine detection says, and how many ms after the answer.

        Twilio: answering machine detection. Enable tells a machine when it starts to speak,
        DetectMessageEnd when its greeting is over.
        """
        waits = detection.mode == "DetectMessageEnd"
        taken_for = self.answered_by
        if not taken_for:
            machine = "machine_end_beep" if waits else "machine_start"
            taken_for = machine if self.machine else "human"
        is_end = taken_for.startswith("machine_end")
        return taken_for, self.greeting_ms if is_end else self.detected_after_ms
