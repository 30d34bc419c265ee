"""<Dial>: rings its targets, bridges the first that answers, and reports to its action."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from operator import itemgetter
from xml.etree.ElementTree import Element

from app.simulator.twilio.conference import BUILT_IN_HOLD_MUSIC, Conference, EventReport
from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import Dialed, Said
from app.simulator.twilio.trunk import CallOrder, Detection, LiveCall, Source, StatusReport
from app.simulator.twilio.verbs import twiml
from app.simulator.twilio.verbs.context import VerbContext

MOST_NUMBERS = 10

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_RING_S = 30.0
_TALK_S = 4 * 3600.0


class Dial:
    """Executes <Dial>. Await `closed()` in the end.

    `hold`: executes the `waitUrl` document of a conference again and again, until cancelled.
    """

    def __init__(self, context: VerbContext, hold: Callable[[Source], Awaitable[None]]) -> None:
        self._context = context
        self._call = context.call
        self._hold = hold
        self._legs: dict[str, LiveCall] = {}

    async def closed(self) -> None:
        """Wait until every call that it made has ended, except those redirected out of it."""
        for leg in self._legs.values():
            if not leg.pulled_out:
                await leg.wait_ended()

    async def execute(self, verb: Element, base: str) -> Source | None:
        """Dial the targets and wait until the talk ends, or none answers. Returns the action.
        Cancelled, it hangs up the calls that it made."""
        entries: list[Dialed] = []
        try:
            await self._dial(verb, base, entries)
        except asyncio.CancelledError:
            self._close(entries)
            self._context.ask_after_all(self._action(verb, base, entries), after_hangup=True)
            raise
        finally:
            self._call.key_sink = None
        self._close(entries)
        return self._action(verb, base, entries)

    async def _dial(self, verb: Element, base: str, entries: list[Dialed]) -> None:
        nouns = [noun for noun in verb if noun.tag in twiml.CHILDREN["Dial"]]
        if not nouns:  # <Dial>+1555…</Dial>
            nouns = [Element("Number")]
            nouns[0].text = twiml.text(verb)
        starred: list[str] = []
        if verb.get("hangupOnStar") == "true":

            def leave(digit: str) -> None:
                if digit == "*":
                    starred.append(digit)
                    self._close(entries)

            self._call.key_sink = leave
        if nouns[0].tag == "Conference":
            await self._confer(verb, nouns[0], base, entries)
            return
        if len(nouns) > MOST_NUMBERS:
            self._call.error(12200, f"<Dial> of {len(nouns)} nouns; {MOST_NUMBERS} at most ring")
        nouns = nouns[:MOST_NUMBERS]
        groups = [[noun] for noun in nouns] if verb.get("sequential") == "true" else [nouns]
        for group in groups:
            ringing = [self._ring(verb, noun, base) for noun in group]
            entries += ringing
            self._call.dialed += ringing
            self._call.changed()
            if await self._reached(verb, ringing) or starred:
                return

    # --- numbers ---------------------------------------------------------------------------------

    def _ring(self, verb: Element, noun: Element, base: str) -> Dialed:
        target = twiml.text(noun)
        entry = Dialed(noun.tag, target, verb.attrib, noun.attrib, now_ms())
        if noun.tag == "Number" and not _E164.fullmatch(target):
            self._call.error(13224, f"<Number> {target!r} is not an E.164 number")
            entry.status, entry.ended_ms = "failed", now_ms()
            return entry
        whisper = noun.get("url")
        leg = self._context.trunk.place(
            CallOrder(
                to=target,
                from_=verb.get("callerId") or self._call.from_,
                source=self._context.source(whisper, noun, base)
                if whisper
                else Source(base, inline="<Response/>"),
                parent=self._call,
                timeout_s=self._context.number(verb, "timeout", _RING_S),
                report=self._report(noun, base),
                detection=self._detection(noun, base),
                send_digits=noun.get("sendDigits", ""),
            )
        )
        self._legs[leg.call_sid] = leg
        entry.leg = leg
        return entry

    def _report(self, noun: Element, base: str) -> StatusReport | None:
        url = noun.get("statusCallback")
        if not url:
            return None
        method = noun.get("statusCallbackMethod", "POST").upper()
        events = frozenset(noun.get("statusCallbackEvent", "completed").split())
        return StatusReport(self._context.public(url, base), method, events)

    def _detection(self, noun: Element, base: str) -> Detection | None:
        mode, url = noun.get("machineDetection"), noun.get("amdStatusCallback", "")
        if not mode:
            return None
        method = noun.get("amdStatusCallbackMethod", "POST").upper()
        return Detection(mode, self._context.public(url, base) if url else "", method)

    async def _reached(self, verb: Element, entries: list[Dialed]) -> bool:
        """Wait until a target answered and its talk ended, or none can. Returns whether one did."""
        legs = {entry.call_sid: entry.leg for entry in entries if entry.leg is not None}

        def answered() -> list[tuple[float, Dialed]]:
            return [(entry.answered_ms, entry) for entry in entries if entry.answered_ms]

        await self._call.wait_for(
            lambda: bool(answered()) or not any(leg.is_live for leg in legs.values())
        )
        if not answered():
            self._close(entries)
            return False
        _, winner = min(answered(), key=itemgetter(0))
        self._close([entry for entry in entries if entry is not winner])
        leg = legs[winner.call_sid]

        def is_gone() -> bool:
            return leg.pulled_out or not leg.is_live

        await self._call.wait_for(lambda: leg.ready_ms is not None or is_gone())
        if leg.ready_ms is None:
            return True
        winner.bridged_ms = self._call.talking_ms = leg.talking_ms = now_ms()
        self._call.answered()
        leg.changed()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._longest_talk_s(verb)):
                    await self._call.wait_for(is_gone)
        finally:
            self._call.talking_ms = leg.talking_ms = None
        return True

    def _longest_talk_s(self, verb: Element) -> float:
        return (
            self._context.number(verb, "timeLimit", _TALK_S)
            * self._context.trunk.options.ring_scale
        )

    def _close(self, entries: list[Dialed]) -> None:
        """Hang up the targets that are left, and set the status of each."""
        for entry in entries:
            if entry.status:
                continue
            leg = self._legs.get(entry.call_sid)
            if leg is None:
                entry.status = "answered"
            elif leg.pulled_out:
                entry.status = "completed"
            else:
                leg.complete()
                entry.status = leg.status
            entry.ended_ms = now_ms()
            if leg is not None and leg.ended_ms is not None:
                entry.ended_ms = leg.ended_ms
        self._call.changed()

    # --- a conference ----------------------------------------------------------------------------

    async def _confer(self, verb: Element, noun: Element, base: str, entries: list[Dialed]) -> None:
        entry = Dialed("Conference", twiml.text(noun), verb.attrib, noun.attrib, now_ms())
        entries.append(entry)
        self._call.dialed.append(entry)
        room = self._context.trunk.conferences.named(entry.target)
        participant = room.enter(self._call, noun.attrib, self._event_report(noun, base))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._longest_talk_s(verb)):
                    await self._stay(room, noun, base, entry)
        finally:
            room.leave(participant)

    def _event_report(self, noun: Element, base: str) -> EventReport | None:
        url = noun.get("statusCallback")
        if not url:
            return None
        method = noun.get("statusCallbackMethod", "POST").upper()
        events = frozenset(noun.get("statusCallbackEvent", "").split())
        return EventReport(self._context.public(url, base), method, events)

    async def _stay(self, room: Conference, noun: Element, base: str, entry: Dialed) -> None:
        def is_over() -> bool:
            return room.is_over or bool(entry.status)

        if room.started_ms is None:
            async with asyncio.TaskGroup() as group:
                music = group.create_task(self._wait_music(room, noun, base))
                await self._call.wait_for(lambda: room.started_ms is not None or is_over())
                music.cancel()
        if not is_over():
            entry.bridged_ms = now_ms()
        await self._call.wait_for(is_over)

    async def _wait_music(self, room: Conference, noun: Element, base: str) -> None:
        url = noun.get("waitUrl")
        if url is None:
            self._call.hold.append(Said("Play", BUILT_IN_HOLD_MUSIC, now_ms()))
            self._call.changed()
        elif url:
            names = {"ConferenceSid": room.conference_sid, "FriendlyName": room.name}
            await self._hold(self._context.source(url, noun, base, names, "waitMethod"))

    # --- the result ------------------------------------------------------------------------------

    def _action(self, verb: Element, base: str, entries: list[Dialed]) -> Source | None:
        if not entries:
            return self._context.action(verb, base, {})
        talked = [entry for entry in entries if entry.bridged_ms is not None]
        answered = [entry for entry in entries if entry.answered_ms is not None]
        entry = (talked or answered or entries)[-1]
        params = {
            "DialCallStatus": entry.status,
            "DialBridged": "true" if entry.bridged_ms is not None else "false",
        }
        if entry.leg is not None:
            params["DialCallSid"] = entry.call_sid
            if entry.answered_ms is not None:
                params["DialCallDuration"] = str(entry.leg.duration_s())
        return self._context.action(verb, base, params)
