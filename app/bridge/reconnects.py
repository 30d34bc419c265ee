"""How a call comes back to the agent: after a lost stream, after a transfer, from another process.

Twilio asks `<Connect action>` what follows a stream, and `<Dial action>` what follows a transfer.
The answers open the next leg of the call, which starts from what was said before.
"""

import time
from dataclasses import dataclass
from time import monotonic

from app.bridge.deadlines import within
from app.bridge.leg.leg import Leg
from app.bridge.leg.seed import first_seed
from app.bridge.owners import Owners
from app.bridge.services import Services
from app.bridge.stream_retries import NO_HANDSHAKE
from app.bridge.switchboard import Switchboard
from app.call.agent import Agent
from app.call.events import STREAM_LOST, CalleeDetected, ResumeCause, StreamEnded
from app.records.store import StoreUnavailable
from app.records.stored_call import CallIsOver, StoredCall, read_stored_call, unreadable_call
from app.wires.twilio.call import CallInfo

KNOWN_S = 0.3  # the webhook waits this long for the record of a call; the caller hears ringing
WRITTEN_S = 0.5  # a read waits this long for the writes of this process


@dataclass(frozen=True, slots=True)
class NextStream:
    """The call goes on in another stream."""

    #: For the stream's URL.
    ticket: str
    #: Seconds that Twilio waits, after a few words, before it opens the stream. 0: at once.
    pause_s: int = 0


class Reconnects:
    """Opens the next leg of a call. A repeated request of Twilio's gets the same leg."""

    def __init__(self, switchboard: Switchboard, services: Services) -> None:
        self._switchboard = switchboard
        self._services = services
        #: What replicas tell each other of calls.
        self.owners = Owners(services, switchboard)

    async def answer(
        self,
        call: CallInfo,
        base_url: str,
        agent: Agent | None = None,
        *,
        is_new: bool = False,
    ) -> str | None:
        """Answer an incoming call, see `Switchboard.answer`. Unless `is_new`, the record is read
        first: another process may have had the call."""
        stored: StoredCall | None = None
        if not is_new and self._switchboard.leg(call.call_sid) is None:
            try:
                stored = await self._read(call.call_sid)
            except CallIsOver:
                return None
        ticket = await self._switchboard.answer(call, base_url, agent, stored=stored)
        come_back = self._switchboard.streams.come_back(call.call_sid)
        if stored is not None and ticket is not None and come_back:
            self._switchboard.note_decision(
                call.call_sid, "call taken over", "another process had it"
            )
        return ticket

    async def _read(self, call_sid: str) -> StoredCall | None:
        """What another process stored of a call. None: the call is new, or the store did not answer
        within `KNOWN_S`. Raises CallIsOver."""
        try:
            found = await within(KNOWN_S, read_stored_call(self._services.store, call_sid))
        except (StoreUnavailable, TimeoutError):
            return None
        return found[1] if found else None

    async def resume(
        self,
        call: CallInfo,
        base_url: str,
        resume_cause: ResumeCause = STREAM_LOST,
        *,
        stream_sid: str = "",
    ) -> NextStream | None:
        """Resume a call whose stream was lost or never opened, in the leg after it.

        Args:
            base_url: where Twilio reaches this service.
            resume_cause: why the caller left the agent.
            stream_sid: the stream that ended; empty when Twilio does not name it.

        Returns:
            The next stream. None: the call cannot be resumed. Look at `Leg.needs_fallback`,
            `Leg.last_words` and `Leg.past_goodbye` for how to end it.

        Raises:
            StoreUnavailable: this process does not know the call, and its record cannot be read.
            CallIsOver: another replica has the call, and its agent has said goodbye.
        """
        board = self._switchboard
        leg = board.leg(call.call_sid)
        if leg is None:
            return await self._resume_elsewhere(call, base_url, resume_cause)
        if not leg.over and leg.line.claimed:
            if leg.line.stream_sid and stream_sid not in ("", leg.line.stream_sid):
                return NextStream(board.ticket(leg))  # a late request: the next stream is open
            # Twilio may notice the lost stream before this process does.
            leg.feed(StreamEnded("Twilio asks what comes after the stream", lost=True))
        if leg.needs_fallback or leg.past_goodbye or (leg.over and not leg.call_continues):
            return None
        keys, retries = leg.keys_played, board.streams.retries(call.call_sid)
        carried = leg.line.claimed and keys is None
        cause = leg.line.lost_because if carried else retries.cause or NO_HANDSHAKE
        pause_s: int | None = 0
        if not leg.handed_over:
            pause_s = retries.failed(monotonic(), leg.carried_s if carried else 0.0)
        if pause_s is None:
            leg.give_up("line" if carried else "handshake", cause)
            return None
        decision = "call goes on in another stream" if carried else "media stream tried again"
        leg.record_decision(decision, cause)
        if leg.over:
            leg = await board.open_next(leg, keys or resume_cause)
        return NextStream(board.ticket(leg, pause_s), pause_s)

    async def resume_after_transfer(self, leg: Leg, resume_cause: ResumeCause) -> str | None:
        """Resume a call that no human accepted: the ticket for its next stream. None: the call has
        ended. `leg`: the leg that ordered the transfer."""
        last = self._switchboard.leg(leg.call.call_sid)
        if last is leg:
            last = await self._switchboard.open_next(leg, resume_cause)
        return self._switchboard.ticket(last) if last is not None else None

    async def _resume_elsewhere(
        self, call: CallInfo, base_url: str, resume_cause: ResumeCause
    ) -> NextStream | None:
        """Resume a call that this process does not have."""
        streams, pause_s = self._switchboard.streams, 0
        await self.owners.release_to_resume(call.call_sid)
        if self._services.bus.shared and resume_cause == STREAM_LOST:
            found_s = await streams.announcements.failed(call, streams.retry_limits)
            if found_s is None:
                await self._give_up(call, base_url)
                return None
            pause_s = found_s
        ticket = await self.take_over(call, base_url, resume_cause, pause_s)
        return NextStream(ticket, pause_s) if ticket is not None else None

    async def take_from_hung(self, call: CallInfo, base_url: str, epoch: int) -> str | None:
        """Adopt a call whose owner hangs. Returns the ticket for its next stream; None: another
        replica has adopted it meanwhile, or it has ended. `epoch`: of that owner.

        Raises:
            StoreUnavailable: its record cannot be reached.
        """
        adopted = await self._services.store.adopt(call.call_sid, expected=epoch)
        if not adopted:
            return None
        await self._services.bus.announce(call.call_sid, adopted)
        return await self.take_over(call, base_url)

    async def callee_detected(self, call_sid: str, verdict: CalleeDetected) -> None:
        """See `Owners.callee_detected`."""
        await self.owners.callee_detected(call_sid, verdict)

    async def _give_up(self, call: CallInfo, base_url: str) -> None:
        """No stream of the call works, at whichever replica: from now on this one has it."""
        leg = await self._switchboard.streams.open_to_give_up(call, base_url)
        if leg is not None:
            leg.give_up("handshake", NO_HANDSHAKE)

    async def take_over(
        self,
        call: CallInfo,
        base_url: str,
        resume_cause: ResumeCause = STREAM_LOST,
        pause_s: int = 0,
    ) -> str | None:
        """Resume a call of another process from its record. Returns the ticket for its next stream;
        None: the call has ended. `pause_s`: see `NextStream`.

        Raises:
            StoreUnavailable: the record cannot be read.
        """
        if self._switchboard.has_ended(call.call_sid):
            return None
        streams = self._switchboard.streams
        await self._services.store.flush(WRITTEN_S)
        await streams.adopt_ahead(call.call_sid)
        try:
            found = await read_stored_call(self._services.store, call.call_sid)
        except CallIsOver:
            streams.forget(call.call_sid)
            return None
        if not streams.come_back(call.call_sid):
            return await streams.announce(
                call, base_url, resume_cause=resume_cause, before_s=pause_s
            )
        if found is None:
            return await self.take_over_without_record(call, base_url, resume_cause)
        return await self._open(*found, base_url, resume_cause, "another process had it")

    async def take_over_without_record(
        self, call: CallInfo, base_url: str, resume_cause: ResumeCause = STREAM_LOST
    ) -> str:
        """Resume a call that has no readable record, with an agent that knows nothing of it: better
        than to hang up. Returns the ticket for its next stream."""
        streams = self._switchboard.streams
        if not streams.come_back(call.call_sid):
            return await streams.announce(call, base_url, resume_cause=resume_cause)
        await streams.adopt_ahead(call.call_sid)
        stored = unreadable_call(time.time())
        return await self._open(call, stored, base_url, resume_cause, "its record cannot be read")

    async def _open(
        self,
        call: CallInfo,
        stored: StoredCall,
        base_url: str,
        resume_cause: ResumeCause,
        reason: str,
    ) -> str:
        last = self._switchboard.leg(call.call_sid)
        if last is not None:  # a repeated request opened it meanwhile
            return self._switchboard.ticket(last)
        seed = first_seed(call, self._services, base_url, stored=stored, resume_cause=resume_cause)
        leg = await self._switchboard.open(seed)
        self._switchboard.record_decision(leg, "call taken over", reason)
        return self._switchboard.ticket(leg)
