"""How a call comes back to the agent: its line was lost, it was away, or another process had it."""

import time
from dataclasses import dataclass
from time import monotonic

from app.bridge.deadlines import within
from app.bridge.leg.leg import Leg
from app.bridge.line_tries import NO_HANDSHAKE
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard, keys_pressed
from app.call.agent import Agent
from app.call.events import STREAM_LOST, ResumeCause, StreamEnded
from app.records.recorder import CallIsOver, Past, forgotten, read_past
from app.records.store import StoreUnavailable
from app.wires.twilio.call import CallInfo

KNOWN_S = 0.3  # the caller hears ringing so long at most until the store says whether a call is new
WRITTEN_S = 0.5  # until what this process wrote of a call can be read


@dataclass(frozen=True, slots=True)
class NextStream:
    """The call goes on in another stream. `pause_s`: what Twilio is to wait before it opens it, a
    few words first; 0: it opens it at once."""

    ticket: str
    pause_s: int = 0


class WayBack:
    """Opens the next leg of a call at the switchboard. Every question may come twice."""

    def __init__(self, switchboard: Switchboard, services: Services) -> None:
        self._switchboard = switchboard
        self._services = services

    async def answer(
        self,
        call: CallInfo,
        base_url: str,
        agent: Agent | None = None,
        *,
        is_new: bool = False,
    ) -> str | None:
        """A call comes in, see `Switchboard.answer`; unless `is_new`, another process may have had
        it."""
        past: Past | None = None
        if not is_new and self._switchboard.leg(call.call_sid) is None:
            try:
                past = await self._recorded(call.call_sid)
            except CallIsOver:
                return None
        ticket = await self._switchboard.answer(call, base_url, agent, past=past)
        if past is not None and ticket is not None:
            self._switchboard.note(call.call_sid, "call taken over", "another process had it")
        return ticket

    async def _recorded(self, call_sid: str) -> Past | None:
        """What another process wrote of a call; None when it is new, as far as can be told at
        once. Raises CallIsOver."""
        try:
            found = await within(KNOWN_S, read_past(self._services.store, call_sid))
        except (StoreUnavailable, TimeoutError):
            return None
        return found[1] if found else None

    async def resume(
        self,
        call: CallInfo,
        base_url: str,
        returned: ResumeCause = STREAM_LOST,
        *,
        stream_sid: str = "",
    ) -> NextStream | None:
        """The stream was lost, or never came, and the caller is still there: the next stream of the
        call, whose agent knows what was said. None if there is nothing to go on with: see
        `Leg.needs_help` and `Leg.let_go`. `stream_sid`: which stream it was, if Twilio says so.

        Raises:
            StoreUnavailable: this process does not know the call, and its record cannot be read.
        """
        board = self._switchboard
        leg = board.leg(call.call_sid)
        if leg is None:
            leg = await self.adopt(call, base_url, returned)
            return NextStream(board.ticket(leg)) if leg is not None else None
        if not leg.over and leg.line.claimed:
            if leg.line.stream_sid and stream_sid not in ("", leg.line.stream_sid):
                return NextStream(board.ticket(leg))  # an old question: the stream after it is here
            # Twilio may know of the loss before we do.
            leg.feed(StreamEnded("Twilio asks what comes after the stream", lost=True))
        if leg.needs_help or leg.let_go or (leg.over and not leg.goes_on):
            return None
        keys, tries = keys_pressed(leg), board.tries(call.call_sid)
        came = leg.line.claimed and keys is None
        cause = leg.line.lost_because if came else tries.cause or NO_HANDSHAKE
        pause_s = tries.failed(monotonic(), leg.carried_s if came else 0.0)
        if pause_s is None:
            leg.give_up("line" if came else "handshake", cause)
            return None
        leg.decided("call goes on in another stream" if came else "media stream tried again", cause)
        if leg.over:
            leg = await board.open_next(leg, keys or returned)
        return NextStream(board.ticket(leg, pause_s), pause_s)

    async def back(self, leg: Leg, returned: ResumeCause) -> str | None:
        """A call that was away from the agent is back: a ticket for its next stream. None when it
        has ended."""
        present = self._switchboard.leg(leg.call.call_sid)
        if present is leg:
            present = await self._switchboard.open_next(leg, returned)
        return self._switchboard.ticket(present) if present is not None else None

    async def adopt(
        self, call: CallInfo, base_url: str, returned: ResumeCause = STREAM_LOST
    ) -> Leg | None:
        """Go on with a call that another process had, from what the store knows of it. None when it
        has ended. Give its stream a ticket.

        Raises:
            StoreUnavailable: the record cannot be read.
        """
        if self._switchboard.has_ended(call.call_sid):
            return None
        await self._services.store.flush(WRITTEN_S)
        try:
            found = await read_past(self._services.store, call.call_sid)
        except CallIsOver:
            return None
        if found is None:
            return await self.take_over(call, base_url, returned)
        return await self._open(*found, base_url, returned, "another process had it")

    async def take_over(
        self, call: CallInfo, base_url: str, returned: ResumeCause = STREAM_LOST
    ) -> Leg:
        """Go on with a call of which no record can be read, with a fresh agent: better than to
        hang up. Give its stream a ticket."""
        past = forgotten(time.time())
        return await self._open(call, past, base_url, returned, "its record cannot be read")

    async def _open(
        self, call: CallInfo, past: Past, base_url: str, returned: ResumeCause, reason: str
    ) -> Leg:
        present = self._switchboard.leg(call.call_sid)
        if present is not None:  # it was asked for twice
            return present
        leg = await self._switchboard.open(call, base_url, past=past, returned=returned)
        self._switchboard.decided(leg, "call taken over", reason)
        return leg
