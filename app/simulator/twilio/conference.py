"""Conferences: which calls are in them, and which of them heard each other, and when.

A conference starts when two participants are in it and one of them has `startConferenceOnEnter`.
(Twilio: TwiML <Conference>)
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import CallRecord, Said
from app.simulator.twilio.webhook import BridgeClient, Callbacks, Exchange

BUILT_IN_HOLD_MUSIC = "http://twimlets.com/holdmusic?Bucket=com.twilio.music.classical"
"""The hold music of a conference without `waitUrl`."""

_EVENTS = {
    "start": "conference-start",
    "end": "conference-end",
    "join": "participant-join",
    "leave": "participant-leave",
}


@dataclass(slots=True, eq=False)
class Participant:
    """A call that is or was in a conference. Times are monotonic milliseconds."""

    call: CallRecord = field(repr=False)
    #: The attributes of the call's <Conference> noun.
    attributes: Mapping[str, str]
    joined_ms: float
    #: None: the call is still in the conference.
    left_ms: float | None = None

    @property
    def call_sid(self) -> str:
        """The SID of the participant's call."""
        return self.call.call_sid

    def wants(self, name: str, default: str) -> bool:
        """Whether a boolean attribute is true. `default`: its value if it is missing."""
        return self.attributes.get(name, default) == "true"

    def beeps(self, when: str) -> bool:
        """Whether a beep sounds when it enters or leaves. `when`: onEnter or onExit."""
        return self.attributes.get("beep", "true") in ("true", when)


@dataclass(frozen=True, slots=True)
class EventReport:
    """The status callback of a conference."""

    url: str
    method: str
    #: Of start, end, join, leave.
    events: frozenset[str]


class Conference:
    """One conference, from its first participant to its end."""

    def __init__(self, name: str, account_sid: str, client: BridgeClient) -> None:
        self.name = name
        self.conference_sid = "CF" + uuid.uuid4().hex
        #: Everyone who ever entered, in order.
        self.participants: list[Participant] = []
        #: None: the conference has not started, and its participants hear hold music.
        self.started_ms: float | None = None
        self.ended_ms: float | None = None
        #: The request of every status callback.
        self.requests: list[Exchange] = []
        self._account_sid = account_sid
        self._callbacks = Callbacks(client, self.requests.append)
        self._report: EventReport | None = None
        self._sequence = 0

    @property
    def present(self) -> list[Participant]:
        """The participants that are in it now."""
        return [each for each in self.participants if each.left_ms is None]

    @property
    def is_over(self) -> bool:
        """Whether it has ended: all have left, or one with `endConferenceOnExit` has."""
        return self.ended_ms is not None

    def together(self, one: str, other: str) -> list[tuple[float, float]]:
        """The spans of time in which two calls, by their SIDs, could hear each other. A span that
        has not ended ends now."""
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
        """Add a call. `report`: the status callback; Twilio uses that of the first participant."""
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
        """Remove a call, if it is still there; that may end the conference for all."""
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
        """Wait until every status callback is answered."""
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
    """The conferences of a line. A name used again after its conference ended is a new one."""

    def __init__(self, account_sid: str, client: BridgeClient) -> None:
        #: Every conference, ended ones included.
        self.all: list[Conference] = []
        self._account_sid = account_sid
        self._client = client

    def named(self, name: str) -> Conference:
        """The conference of this name that has not ended, or a new one."""
        for conference in self.all:
            if conference.name == name and not conference.is_over:
                return conference
        self.all.append(Conference(name, self._account_sid, self._client))
        return self.all[-1]


def _true(is_so: bool) -> str:
    return "true" if is_so else "false"
