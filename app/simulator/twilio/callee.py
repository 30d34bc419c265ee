"""The callee at a number: a person or a machine, and what they do."""

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
    """What happens when a number is dialled. Times are real milliseconds.

    Args:
        goes: answers, busy, no-answer or failed. A callee that would answer after the call's
            timeout does not answer.
        answers_after_ms: how long it rings, or how long until it is busy or fails.
        presses: the keys to press after the prompt of a <Gather>: "1", "12#", or none. A tuple has
            the keys for each <Gather> in turn, and none for further ones.
        presses_after_ms: from the end of the prompt to the first key.
        hangs_up_after_ms: from the answer to the hang-up, whatever happens then; None: never.
        talks_ms: how long it talks with another call, in a <Dial> or a conference, before it hangs
            up; None: without end.
        machine: a voicemail: it plays its greeting, beeps, records for `record_ms` at most, and
            hangs up. It never presses a key.
        greeting: µ-law at 8000 Hz; audible on a call with a stream only.
        greeting_ms: how long the greeting takes.
        record_ms: the longest message.
        answered_by: the result of answering machine detection; empty: the truth.
        detected_after_ms: from the answer to that result, unless detection waits for the end of
            the greeting.
        script: runs beside the call from the answer on.
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
        """The keys to press after the prompt of a <Gather>. `prompt`: 1 is the first <Gather>."""
        if self.machine:
            return ""
        if isinstance(self.presses, str):
            return self.presses
        return self.presses[prompt - 1] if prompt <= len(self.presses) else ""

    def detected(self, detection: Detection) -> tuple[str, float]:
        """The result of answering machine detection, and how many ms after the answer it comes.

        Enable reports a machine when it starts to speak, DetectMessageEnd when its greeting ends.
        (Twilio: answering machine detection)
        """
        waits = detection.mode == "DetectMessageEnd"
        taken_for = self.answered_by
        if not taken_for:
            machine = "machine_end_beep" if waits else "machine_start"
            taken_for = machine if self.machine else "human"
        is_end = taken_for.startswith("machine_end")
        return taken_for, self.greeting_ms if is_end else self.detected_after_ms
