"""The digest of one ended call, computed from its record."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from app.call import commands as do
from app.call import events as ev
from app.records.digests.marks import marks_of
from app.records.record import CallRow, TimelineRow, TurnRow
from app.records.response_clock import ResponseClock
from app.records.watching import known_usd, outcomes_of

#: Of `Digest.words`. Past it the later words of a very long call cannot be searched for.
LONGEST_WORDS = 20_000

_WORD = re.compile(r"\w+(?:['’.@-]\w+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What is known of a call at a glance."""

    #: How long the caller waited for each answer, in ms: from their last sound to its first byte.
    responses_ms: Sequence[int]
    #: Interruptions of the agent, and sounds that were none.
    interruptions: int
    false_interruptions: int
    #: The outcome of each transfer, as in the record.
    transfers: Sequence[str]
    #: Of what has a known price, in US dollars.
    cost_usd: float
    #: What a search looks in: numbers, outcomes as `key=value`, every word once. See `words_of`.
    words: str
    #: Of `words`, see `marks_of`; empty: they are computed when the digest is saved.
    marks: Sequence[int] = ()

    @property
    def response_ms(self) -> int | None:
        """The median wait for an answer; None: there was no answer."""
        return round(median(self.responses_ms)) if self.responses_ms else None


def digest_of(call: CallRow, turns: Iterable[TurnRow], timeline: Iterable[TimelineRow]) -> Digest:
    """The digest of a call."""
    transfers = [outcome for outcome in outcomes_of(call.transfers) if outcome]
    entries = list(timeline)
    measured = _Measured(entries)
    words = _all_words(call, turns, transfers)
    return Digest(
        responses_ms=[round(waited_ms) for waited_ms in measured.responses_ms],
        interruptions=measured.interruptions,
        false_interruptions=measured.verdicts.count("false"),
        transfers=transfers,
        cost_usd=known_usd(call.cost),
        words=words,
        marks=marks_of(words),
    )


def words_of(text: str) -> list[str]:
    """The words of a text as searches compare them: without case and punctuation."""
    return _WORD.findall(text.casefold())


def _all_words(call: CallRow, turns: Iterable[TurnRow], transfers: Iterable[str]) -> str:
    """Blanks are at both ends, so that whole words can be searched for."""
    found = dict.fromkeys((_digits(call.from_number), _digits(call.to_number)))
    found |= dict.fromkeys(f"transfer={outcome}" for outcome in transfers)
    named = (("status", call.status), ("ended", call.ended_by), ("by", call.answered_by))
    found |= dict.fromkeys(f"{key}={value}" for key, value in named if value)
    for text in (call.from_number, call.to_number, call.direction, call.agent_name):
        found |= dict.fromkeys(words_of(text))
    destinations = (str(each.get("destination", "")) for each in call.transfers)
    for text in (*destinations, call.summary or "", *(turn.text for turn in turns)):
        found |= dict.fromkeys(words_of(text))
    found.pop("", None)
    return f" {' '.join(found)[:LONGEST_WORDS]} "


def _digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))


class _Measured:
    """What a timeline says of waits and interruptions."""

    def __init__(self, entries: Iterable[TimelineRow]) -> None:
        self.responses_ms: list[float] = []
        self.verdicts: list[str] = []
        #: Interruptions of an agent that reports none, because it never goes on after one.
        self.cuts = 0
        self._clock = ResponseClock()
        for entry in sorted(entries, key=lambda entry: entry.position):
            self._take(entry.name, entry.at_ms, entry.data)

    @property
    def interruptions(self) -> int:
        return self.verdicts.count("confirmed") if self.verdicts else self.cuts

    def _take(self, name: str, at_ms: float, data: Mapping[str, Any]) -> None:
        clock = self._clock
        match name:
            case ev.LegOpened.__name__:
                self._clock = ResponseClock()
            case ev.SpeechStarted.__name__ | ev.DigitPressed.__name__:
                clock.caller_acted(at_ms)
            case ev.CallerAudioForwarded.__name__:
                clock.caller_counted(data.get("quiet_ms"), at_ms)
            case ev.SpeechStopped.__name__:
                clock.caller_stopped(at_ms)
            case do.ReportInterruption.__name__:
                self.verdicts.append(str(data.get("verdict")))
                if self.verdicts[-1] == "false":
                    clock.not_interrupted()
            case do.ClearAudio.__name__:
                self.cuts += clock.acted_ms == at_ms
            case do.PlayAudio.__name__:
                waited_ms = clock.played(str(data.get("item_id", "")), at_ms)
                if waited_ms is not None:
                    self.responses_ms.append(waited_ms)
