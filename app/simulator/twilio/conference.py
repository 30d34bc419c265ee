"""Conferences: rooms that calls of the line meet in, and the truth of who was with whom, when.

Twilio: TwiML <Conference>. A conference starts when two are in it and one of them may start it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import CallRecord, Said
from app.simulator.twilio.webhook import BridgeClient, Callbacks, Exchange

BUILT_IN_HOLD_MUSIC = "http://twimlets.com/holdmusic?Bucket=com.twilio.music.classical"
"""What is recorded as played to who waits in a conference without `waitUrl`."""

_EVENTS = {
    "start": "conference-start",
    "end": "conference-end",
    "join": "participant-join",
    "leave": "participant-leave",
}


@dataclass(slots=True, eq=False)
class Participant:
    """Who is or was in a conference. `attributes`: those of its <Conference>. Times are monotonic
    milliseconds; `left_ms` is None while it is there."""

    call: CallRecord = field(repr=False)
    attributes: Mapping[str, str]
    joined_ms: float
    left_ms: float | None = None

    @property
    def call_sid(self) -> str:
        """Whose call it is."""
        return self.call.call_sid

    def wants(self, name: str, default: str) -> bool:
        """Whether a true-or-false attribute is true."""
        return self.attributes.get(name, default) == "true"

    def beeps(self, when: str) -> bool:
        """Whether its coming or going beeps. `when`: onEnter or onExit."""
        return self.attributes.get("beep", "true") in ("true", when)


@dataclass(frozen=True, slots=True)
class EventReport:
    """Where a conference's events are reported, and which: start, end, join, leave."""

    url: str
    method: str
    events: frozenset[str]


class Conference:
    """One conference from its first participant to its end. `started_ms`: None while they wait for
    each other, or for somebody who may start it. `requests`: every event that was reported."""

    def __init__(self, name: str, account_sid: str, client: BridgeClient) -> None:
        self.name = name
        self.conference_sid = "CF" + uuid.uuid4().hex
        self.participants: list[Participant] = []
        self.started_ms: float | None = None
        self.ended_ms: float | None = None
        self.requests: list[Exchange] = []
        self._account_sid = account_sid
        self._callbacks = Callbacks(client, self.requests.append)
        self._report: EventReport | None = None
        self._sequence = 0

    @property
    def present(self) -> list[Participant]:
        """Who is in it now."""
        return [each for each in self.participants if each.left_ms is None]

    @property
    def is_over(self) -> bool:
        """Whether it has ended: all left, or one whose leaving ends it."""
        return self.ended_ms is not None

    def together(self, one: str, other: str) -> list[tuple[float, float]]:
        """From when to when two calls, by their SIDs, could hear each other in it; what goes on
        ends now."""
        if self.started_ms is None:
            return []
        spans = []
        for first in self._stays(one):
            for second in self._stays(other):
                begin_ms = max(first[0], second[0], self.started_ms)
                end_ms = min(first[1], second[1])
                if begin_ms < end_ms:
                    spans.append((begin_ms, end_ms))
        return spans

    def enter(
        self, call: CallRecord, attributes: Mapping[str, str], report: EventReport | None
    ) -> Participant:
        """A call comes in. `report`: only the first one given counts, as with Twilio."""
        self._report = self._report or report
        participant = Participant(call, attributes, now_ms())
        self.participants.append(participant)
        self._say("join", participant)
        if participant.beeps("onEnter"):
            self._beep("onEnter")
        present = self.present
        if self.started_ms is None and len(present) > 1:
            if any(each.wants("startConferenceOnEnter", "true") for each in present):
                self.started_ms = now_ms()
                self._say("start")
        self._tell()
        return participant

    def leave(self, participant: Participant) -> None:
        """A call goes out, if it is in; that may end the conference for all."""
        if participant.left_ms is not None:
            return
        participant.left_ms = now_ms()
        participant.call.talking_ms = None
        self._say("leave", participant)
        if participant.beeps("onExit"):
            self._beep("onExit")
        ends = participant.wants("endConferenceOnExit", "false")
        if not self.is_over and (ends or not self.present):
            self.ended_ms = now_ms()
            self._say("end", participant)
        self._tell()

    async def finish(self) -> None:
        """Waits until every event that was reported is answered."""
        await self._callbacks.finish()

    def _stays(self, call_sid: str) -> list[tuple[float, float]]:
        return [
            (each.joined_ms, now_ms() if each.left_ms is None else each.left_ms)
            for each in self.participants
            if each.call_sid == call_sid
        ]

    def _beep(self, when: str) -> None:
        for each in self.present:
            each.call.spoken_by_twilio.append(Said("Beep", when, now_ms()))

    def _tell(self) -> None:
        present = self.present
        talk = self.started_ms is not None and not self.is_over and len(present) > 1
        for each in present:
            if not talk:
                each.call.talking_ms = None
            elif each.call.talking_ms is None:
                each.call.talking_ms = now_ms()
        for each in self.participants:
            each.call.changed()

    def _say(self, event: str, participant: Participant | None = None) -> None:
        report = self._report
        if report is None or event not in report.events:
            return
        self._sequence += 1
        params = {
            "AccountSid": self._account_sid,
            "ConferenceSid": self.conference_sid,
            "FriendlyName": self.name,
            "StatusCallbackEvent": _EVENTS[event],
            "SequenceNumber": str(self._sequence),
            "Timestamp": formatdate(),
        }
        if participant is not None and event == "end":
            params["CallSidEndingConference"] = participant.call_sid
            params["ReasonConferenceEnded"] = "participant-with-end-conference-on-exit-left"
            if not participant.wants("endConferenceOnExit", "false"):
                params["ReasonConferenceEnded"] = "last-participant-left"
        elif participant is not None:
            params["CallSid"] = participant.call_sid
            params["Muted"] = _true(participant.wants("muted", "false"))
            params["Hold"] = "false"
            params["Coaching"] = _true("coach" in participant.attributes)
            params["StartConferenceOnEnter"] = _true(
                participant.wants("startConferenceOnEnter", "true")
            )
            params["EndConferenceOnExit"] = _true(participant.wants("endConferenceOnExit", "false"))
        self._callbacks.post(report.url, params, report.method)


class Conferences:
    """All conferences of a line, the ended ones too. A name that is used again after its conference
    ended is a new one."""

    def __init__(self, account_sid: str, client: BridgeClient) -> None:
        self.all: list[Conference] = []
        self._account_sid = account_sid
        self._client = client

    def named(self, name: str) -> Conference:
        """The one of this name that goes on, or a new one."""
        for conference in self.all:
            if conference.name == name and not conference.is_over:
                return conference
        self.all.append(Conference(name, self._account_sid, self._client))
        return self.all[-1]


def _true(is_so: bool) -> str:
    return "true" if is_so else "false"
