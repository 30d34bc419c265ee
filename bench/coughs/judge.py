"""What became of each sound: whether the agent went on, where, when, and what the model learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from app.simulator.twilio.media.playback import Cleared, PlayedMedia
from bench.coughs.answers import Answer, Finder, Place
from bench.coughs.script import Event

BYTES_PER_MS = 8


@dataclass(frozen=True, slots=True)
class Said:
    """An event on a call. Times are monotonic ms of the line; None: it has not happened."""

    event: Event
    #: When its first frame was queued.
    said_ms: float
    #: When the model sent `speech_started` for it.
    started_ms: float | None
    #: When the model sent `committed` for it.
    committed_ms: float | None


@dataclass(slots=True)
class Outcome:
    """What became of it."""

    said: Said
    #: When Twilio's buffer was cleared.
    cleared_ms: float | None = None
    #: Where playback was stopped: the first byte that was not heard.
    stopped: Place | None = None
    #: Where it went on, in the same answer.
    resumed: Place | None = None
    resumed_ms: float | None = None
    #: When another answer began.
    answered_ms: float | None = None

    @property
    def lost_ms(self) -> float | None:
        """What was not heard because of the pause; negative: it was heard twice."""
        if self.resumed is None or self.stopped is None:
            return None
        return (self.resumed.byte - self.stopped.byte) / BYTES_PER_MS

    @property
    def as_expected(self) -> bool:
        event = self.said.event
        return (
            self.cleared_ms is not None
            and (self.resumed is not None) == event.resumes
            and (self.answered_ms is not None) == event.answered
        )


@dataclass(frozen=True, slots=True)
class Played:
    """A `media` message, and where in the answers it belongs; None: in none of them."""

    media: PlayedMedia
    place: Place | None


def placed(media: Sequence[PlayedMedia], answers: list[Answer]) -> list[Played]:
    """Everything that arrived at the line, with its places."""
    finder = Finder(answers)
    return [Played(each, finder.find(each.payload)) for each in media]


def judge(
    said: Sequence[Said], played: Sequence[Played], clears: Sequence[Cleared]
) -> list[Outcome]:
    """What became of each event of one call, in order."""
    ends = [each.said_ms for each in said[1:]] + [inf]
    return [_outcome(each, end_ms, played, clears) for each, end_ms in zip(said, ends, strict=True)]


def _outcome(
    said: Said, end_ms: float, played: Sequence[Played], clears: Sequence[Cleared]
) -> Outcome:
    outcome = Outcome(said)
    if said.started_ms is None:
        return outcome
    clear = next((each for each in clears if said.started_ms <= each.at_ms < end_ms), None)
    if clear is None:
        return outcome
    outcome.cleared_ms = clear.at_ms
    before = [each for each in played if each.media.arrived_ms < clear.at_ms]
    heard = next((each for each in reversed(before) if each.media.kept_bytes), None)
    if heard is not None and heard.place is not None:
        answer, byte = heard.place
        outcome.stopped = Place(answer, byte + heard.media.kept_bytes)
    for each in played:
        if not clear.at_ms <= each.media.arrived_ms < end_ms or each.place is None:
            continue
        if outcome.stopped is not None and each.place.answer == outcome.stopped.answer:
            if outcome.resumed is None:
                outcome.resumed, outcome.resumed_ms = each.place, each.media.starts_ms
        elif outcome.answered_ms is None:
            outcome.answered_ms = each.media.arrived_ms
    return outcome


def heard_bytes(played: Sequence[Played], answer: int) -> int:
    """How much of an answer was heard."""
    return sum(
        each.media.kept_bytes for each in played if each.place and each.place.answer == answer
    )
