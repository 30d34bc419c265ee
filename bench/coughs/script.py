"""What happens on a call: sounds at random moments, and what becomes of their transcripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from app.simulator.realtime import Transcript
from bench.coughs.sounds import Kind, Sound, make
from bench.stamps import FRAME_BYTES

#: How long the service waits for the words of short speech after its commit, and what is too near.
WAIT_MS = 1000
#: After the agent began to speak, or went on.
EARLIEST_MS, LATEST_MS = 60, 2500
INVENTED = "Thank you."
INVENTED_SHARE = 1 / 5
_HARMLESS = (Kind.COUGH, Kind.BANG, Kind.MM_HM)
_INTERRUPTING = (Kind.WORD, Kind.SENTENCE)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a transcript."""

    name: str
    #: From the commit; infinite: it never comes.
    delay_ms: float = 0
    failed: bool = False

    @property
    def in_time(self) -> bool:
        """Whether words come before the service stops waiting for them."""
        return not self.failed and self.delay_ms < WAIT_MS


FATES = (
    Fate("at once"),
    Fate("after 150 ms", 150),
    Fate("after 700 ms", 700),
    Fate("after 1500 ms", 1500),
    Fate("never", inf),
    Fate("failed", failed=True),
)


@dataclass(frozen=True, slots=True)
class Event:
    """A sound that the caller makes while the agent speaks."""

    sound: Sound
    fate: Fate
    #: The transcript has words that were not said.
    invented: bool
    #: After the agent began to speak, or went on.
    after_ms: float
    #: Not counted: it only makes the agent begin another answer.
    filler: bool = False

    @property
    def transcript(self) -> Transcript:
        text = INVENTED if self.invented else self.sound.text
        return Transcript(text, self.fate.delay_ms, failed=self.fate.failed)

    @property
    def resumes(self) -> bool:
        """Whether the agent has to go on."""
        if self.sound.interrupts:
            return self.sound.kind is Kind.WORD and not self.fate.in_time
        return not (self.invented and self.fate.in_time)

    @property
    def answered(self) -> bool:
        """Whether the agent has to begin another answer, at once or when late words come."""
        if self.sound.kind is Kind.SENTENCE:
            return True
        words = self.sound.kind is Kind.WORD or self.invented
        return words and not self.fate.failed and self.fate.delay_ms < inf


def script(count: int, random: Random) -> list[Event]:
    """`count` sounds that are no interruption, and as many interruptions, in random order."""
    harmless, interrupting = (
        [_event(kinds[n % len(kinds)], n // len(kinds), random) for n in range(count)]
        for kinds in (_HARMLESS, _INTERRUPTING)
    )
    events = harmless + interrupting
    random.shuffle(events)
    return events


def _event(kind: Kind, number: int, random: Random) -> Event:
    sound, fate = make(kind, random), random.choice(FATES)
    invented = not sound.interrupts and random.random() < INVENTED_SHARE
    if invented:
        fate = random.choice(FATES[:4])  # of those that come
    return Event(sound, fate, invented, random.uniform(EARLIEST_MS, LATEST_MS))


def filler(random: Random) -> Event:
    """A sentence that makes the agent begin another answer."""
    return Event(make(Kind.SENTENCE, random), FATES[0], False, 0.0, filler=True)


class Ears:
    """The model's transcription: it knows each event by its frames."""

    def __init__(self) -> None:
        self._of_frame: dict[bytes, Event] = {}

    def learn(self, events: Sequence[Event]) -> None:
        """Know the frames of these events. A frame of two events would be a fault of `make`."""
        for event in events:
            for at in range(0, len(event.sound.ulaw) - FRAME_BYTES + 1, FRAME_BYTES):
                self._of_frame[event.sound.ulaw[at : at + FRAME_BYTES]] = event

    def transcribe(self, ulaw: bytes) -> Transcript:
        """The transcript of a turn, which has the frames of one event."""
        for at in range(0, len(ulaw), FRAME_BYTES):
            event = self._of_frame.get(ulaw[at : at + FRAME_BYTES])
            if event is not None:
                return event.transcript
        return Transcript("")
