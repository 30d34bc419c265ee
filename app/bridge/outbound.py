"""Outbound calls: which numbers may be called, how many calls at a time, and what each is for.

Twilio may request a call's TwiML, and report its end, before it answers the REST request that
placed the call. So a token in the TwiML's URL identifies the call until its SID is known.
"""

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from app.bridge.bus.bus import Bus, BusUnavailable
from app.bridge.bus.local_bus import LocalBus
from app.bridge.deadlines import within
from app.bridge.decisions import log_decision
from app.bridge.dialling_rules import OutboundRefused, check_number
from app.bridge.outbound_limits import LimitsOfReplicas, called_lately, draining, too_many
from app.errors import TwilioError
from app.records.carried import Placed
from app.records.store import Store, StoreUnavailable
from app.wires.twilio.call import TERMINAL
from app.wires.twilio.rest import CallOrder, TwilioRest

__all__ = ["Outbound", "OutboundRefused", "PlacedCall"]

logger = logging.getLogger(__name__)

RING_S = 30
# Added to the ring time before an unanswered call counts as over: Twilio rings up to 5 s longer,
# and queues calls that come faster than the account may place them.
GRACE_S = 120.0
LONGEST_CALL_S = 4 * 3600
READ_S = 0.5  # for what other replicas know; without it a slot is kept


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """An outbound call of this process."""

    #: Identifies the call in the URLs that Twilio requests.
    token: str
    to: str
    #: Replaces the agent's greeting; empty: the agent's own.
    greeting: str = ""
    #: Replaces what the agent leaves on an answering machine; empty: the agent's own.
    voicemail: str = ""
    #: What the agent needs to know about this call.
    context: str = ""
    #: Empty until Twilio names it.
    call_sid: str = ""
    #: Twilio's AnsweredBy; empty until Twilio detected it.
    answered_by: str = ""

    @property
    def purpose(self) -> Placed:
        """What the call is for, for its record."""
        return Placed(self.token, self.greeting, self.voicemail, self.context)


def placed_key(token: str) -> str:
    """Where the bus keeps what a call is for, until it has a record. See `Bus.put`."""
    return f"placed:{token}"


@dataclass(slots=True)
class _Slot:
    placed: PlacedCall
    #: Monotonic seconds: the slot is freed then, even if Twilio never reported the call's end.
    expires_s: float
    answered: bool = False


class Outbound:
    """Places calls, checks limits first, and keeps a slot for each call until it has ended.

    Args:
        rest: None without Twilio credentials.
        from_number: TWILIO_PHONE_NUMBER.
        prefixes: what a number may begin with, see `check_number`. Empty: only numbers of the
            country of `from_number` are called.
        most_calls: outbound calls at a time; 0: none.
        repeat_s: least time between two calls to the same number.
        ring_s: how long Twilio rings.
        longest_call_s: Twilio ends a call after this.
        detects_machines: whether Twilio shall detect who answers.
        draining: whether the process stops: `place` then refuses, unless another replica is ready.
        clock: monotonic seconds.
        bus: counts the calls of all replicas for the limits, and tells the others what a call is
            for before it has a record.
    """

    def __init__(
        self,
        rest: TwilioRest | None,
        store: Store,
        *,
        from_number: str | None,
        prefixes: tuple[str, ...] = (),
        most_calls: int = 10,
        repeat_s: float = 60.0,
        ring_s: int = RING_S,
        longest_call_s: int = LONGEST_CALL_S,
        detects_machines: bool = True,
        draining: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        bus: Bus | None = None,
    ) -> None:
        #: Called with (call_sid, decision, reason) to record a decision about a call.
        self.on_decision: Callable[[str, str, str], None] = log_decision
        #: Called when `bound_calls` may be lower.
        self.on_unbound: Callable[[], None] = lambda: None
        #: Whether a call has a leg in this process.
        self.is_here: Callable[[str], bool] = lambda _call_sid: False
        self._rest = rest
        self._store = store
        self._from_number = from_number
        self._prefixes = prefixes
        self._most_calls = most_calls
        self._repeat_s = repeat_s
        self._ring_s = ring_s
        self._longest_call_s = longest_call_s
        self._detects_machines = detects_machines
        self._draining = draining
        self._clock = clock
        self._bus = bus or LocalBus()
        self._limits = LimitsOfReplicas(self._bus, most_calls, repeat_s)
        self._slots: dict[str, _Slot] = {}  # by token
        self._tokens: dict[str, str] = {}  # by call SID
        self._last_s: dict[str, float] = {}  # by number: when it was called last
        # By token: the SIDs of calls that ended while the REST request is in flight.
        self._in_flight: dict[str, set[str]] = {}

    @property
    def live_calls(self) -> int:
        """Outbound calls that have not ended: requested, ringing or answered."""
        return len(self._slots)

    @property
    def bound_calls(self) -> int:
        """Outbound calls that no other process can go on with. With several replicas those whose
        order Twilio has not answered; with one all that are live."""
        return len(self._in_flight if self._bus.shared else self._slots)

    async def place(
        self,
        to: str,
        *,
        base_url: str | None,
        greeting: str = "",
        voicemail: str = "",
        context: str = "",
        room: int | None = None,
    ) -> str:
        """Place a call. Returns its SID; its record exists from then on.

        When the callee answers, Twilio requests TwiML from `base_url`/outgoing-call/<token>: call
        `answered`. It posts the status to `base_url`/call-status: call `ended` at a terminal one.
        If it detects who answers, it posts that to `base_url`/answering-machine/<token>: call
        `detected`.

        Args:
            to: E.164 number of the callee.
            base_url: PUBLIC_URL.
            greeting, voicemail, context: see `PlacedCall`.
            room: how many more calls this process accepts, not counting calls that ring; None: no
                limit.

        Raises:
            OutboundRefused: a limit or Twilio refuses the call. Logged.
        """
        await self._forget_others()
        now_s = self._clock()
        self._expire(now_s)
        try:
            if self._draining() and not await self._bus.others_ready():
                raise draining()
            rest, from_number, url = self._ready(base_url)
            check_number(to, from_number, self._prefixes)
            self._check_load(to, room, now_s)
            placed = PlacedCall(secrets.token_urlsafe(24), to, greeting, voicemail, context)
            detection = f"{url}/answering-machine/{placed.token}"
            order = CallOrder(
                to,
                from_number,
                url=f"{url}/outgoing-call/{placed.token}",
                status_callback=f"{url}/call-status",
                ring_s=self._ring_s,
                detect_machine_callback=detection if self._detects_machines else "",
                time_limit_s=self._longest_call_s,
            )
            return await self._place(rest, order, placed, now_s)
        except OutboundRefused as refused:
            logger.warning("outbound call refused", extra={"reason": refused.reason})
            raise

    async def _place(
        self, rest: TwilioRest, order: CallOrder, placed: PlacedCall, now_s: float
    ) -> str:
        token = placed.token
        slot = self._slots[token] = _Slot(placed, now_s + self._ring_s + GRACE_S)
        self._last_s[placed.to] = now_s
        ended = self._in_flight[token] = set()
        try:
            await self._limits.take(token, placed.to, self._ring_s + GRACE_S)
            await self._share(placed)
            call_sid = await rest.place(order)
        except OutboundRefused:
            self._undo(slot, now_s)
            raise
        except TwilioError as error:
            if slot.placed.call_sid:  # Twilio requested its TwiML, so the call exists
                return slot.placed.call_sid
            if error.unsure:  # the slot stays: a callee who answers gets the agent
                fix = "the telephone may ring all the same; look at GET /calls before you try again"
                raise OutboundRefused(504, "no answer from Twilio", f"{error}; {fix}") from error
            self._undo(slot, now_s)
            self._limits.refused(token, placed.to)
            raise OutboundRefused(502, "refused by Twilio", str(error)) from error
        finally:
            del self._in_flight[token]
            self.on_unbound()
        if not slot.placed.call_sid:
            self._set_sid(slot, call_sid)
        elif slot.placed.call_sid != call_sid:
            self.on_decision(
                slot.placed.call_sid, "call of the same order ended", f"it made {call_sid} too"
            )
            with suppress(TwilioError):
                await rest.hang_up(call_sid)
        logger.info("outbound call placed", extra={"call_sid": slot.placed.call_sid})
        if slot.placed.call_sid in ended:
            self.ended(slot.placed.call_sid)
        return slot.placed.call_sid

    async def _share(self, placed: PlacedCall) -> None:
        """Twilio may ask another replica for the call's TwiML before its SID is known here."""
        if self._bus.shared:
            with suppress(BusUnavailable):
                purpose = placed.purpose.as_data()
                await self._bus.put(placed_key(placed.token), purpose, self._ring_s + GRACE_S)

    def answered(self, token: str, call_sid: str) -> PlacedCall | None:
        """The callee answered, and Twilio requests TwiML. A repeated request gets the same answer
        until the call has ended. None: the token belongs to no such call; hang up."""
        slot = self._slot_of(token, call_sid)
        if slot is None:
            logger.warning("no such outbound call", extra={"call_sid": call_sid})
            return None
        if not slot.answered:
            slot.answered = True
            longest_s = self._longest_call_s + GRACE_S
            slot.expires_s = self._clock() + longest_s
            self._limits.answered(call_sid, longest_s)
        return slot.placed

    def adopted(self, call_sid: str) -> None:
        """This process has a leg of an outbound call, which another one may have placed: the call
        keeps its place among all outbound calls."""
        self._limits.answered(call_sid, self._longest_call_s + GRACE_S)

    def detected(self, token: str, call_sid: str, answered_by: str) -> PlacedCall | None:
        """Twilio detected who answered, before or after it requested the TwiML. None: the token
        belongs to no such call, or the call has ended."""
        slot = self._slot_of(token, call_sid)
        if slot is None:
            return None
        slot.placed = replace(slot.placed, answered_by=answered_by)
        return slot.placed

    def _slot_of(self, token: str, call_sid: str) -> _Slot | None:
        slot = self._slots.get(token)
        if slot is None or not call_sid or slot.placed.call_sid not in ("", call_sid):
            return None
        if not slot.placed.call_sid:
            self._set_sid(slot, call_sid)
        return slot

    def may_be(self, token: str, call_sid: str, *, live: bool) -> bool:
        """Whether a call may be the one with this token. True as well for a token of another
        process. `live`: the call has a leg."""
        slot, other = self._slots.get(token), self._tokens.get(call_sid)
        if other is not None:
            return other == token
        # A leg is opened after the token has its SID: a live call is another one.
        return (
            slot is None or slot.placed.call_sid == call_sid or not (slot.placed.call_sid or live)
        )

    def placed(self, call_sid: str) -> PlacedCall | None:
        """The outbound call with this SID. None: this process did not place it, or it has ended."""
        token = self._tokens.get(call_sid)
        return self._slots[token].placed if token is not None else None

    def ended(self, call_sid: str) -> None:
        """A call has ended. For any call, repeatedly, and before the REST request is answered."""
        token = self._tokens.pop(call_sid, None)
        if token is not None:
            del self._slots[token]
        for ended in self._in_flight.values():
            ended.add(call_sid)
        self._limits.ended(call_sid)

    def left(self, call_sid: str) -> None:
        """A call goes on without this process: at another replica, or with a human. It keeps its
        place among all outbound calls until any replica hears of its end."""
        token = self._tokens.pop(call_sid, None)
        if token is not None:
            del self._slots[token]
        self._limits.left(call_sid)

    # --- slots ---

    async def _forget_others(self) -> None:
        """Free the slots of calls that another replica answered, or heard the end of."""
        if not (self._bus.shared and self._tokens):
            return
        with suppress(StoreUnavailable, TimeoutError):
            statuses = await within(READ_S, self._store.statuses([*self._tokens]))
            for call_sid, status in statuses.items():
                if status in TERMINAL:
                    self.ended(call_sid)
                elif status == "in-progress" and not self.is_here(call_sid):
                    self.left(call_sid)

    def _undo(self, slot: _Slot, now_s: float) -> None:
        """The call of a slot is not placed."""
        del self._slots[slot.placed.token]
        if self._last_s.get(slot.placed.to) == now_s:
            del self._last_s[slot.placed.to]

    def _set_sid(self, slot: _Slot, call_sid: str) -> None:
        """Twilio named the call's SID: create its record."""
        slot.placed = replace(slot.placed, call_sid=call_sid)
        self._tokens[call_sid] = slot.placed.token
        self._limits.named(slot.placed.token, call_sid, slot.expires_s - self._clock())
        self._store.save_call(
            call_sid,
            by_owner=False,
            account_sid=self._rest.account_sid if self._rest else "",
            direction="outbound-api",
            from_number=self._from_number or "",
            to_number=slot.placed.to,
            placed=slot.placed.purpose.as_data(),
            status="queued",
        )

    def _expire(self, now_s: float) -> None:
        for slot in [each for each in self._slots.values() if each.expires_s <= now_s]:
            if slot.placed.token not in self._in_flight:
                reason = "Twilio never said how the call that was placed ended"
                if slot.placed.call_sid:
                    self.on_decision(slot.placed.call_sid, "slot of the call freed", reason)
                self._tokens.pop(slot.placed.call_sid, None)
                del self._slots[slot.placed.token]
                # Not its place among all replicas: another one may have the call.
        self._last_s = {n: s for n, s in self._last_s.items() if s > now_s - self._repeat_s}

    # --- limits ---

    def _ready(self, base_url: str | None) -> tuple[TwilioRest, str, str]:
        if self._rest is None:
            fix = "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
            raise OutboundRefused(409, "no credentials", f"there is no Twilio account; {fix}")
        if not self._from_number:
            fix = "set TWILIO_PHONE_NUMBER to a number of your Twilio account"
            raise OutboundRefused(409, "no number", f"there is no number to call from; {fix}")
        if not base_url:
            fix = "set PUBLIC_URL to the address where Twilio reaches this service"
            raise OutboundRefused(409, "no address", f"Twilio has to reach the service; {fix}")
        return self._rest, self._from_number, base_url.rstrip("/")

    def _check_load(self, to: str, room: int | None, now_s: float) -> None:
        if self._most_calls == 0:
            raise OutboundRefused(
                403, "switched off", "OUTBOUND_MAX_CALLS is 0, so no calls are placed; raise it"
            )
        if (last_s := self._last_s.get(to)) is not None:
            raise called_lately(self._repeat_s, last_s + self._repeat_s - now_s)
        # Of calls that other replicas answered this process may not know the end.
        counts_here = not (self._bus.shared and self._bus.available)
        if counts_here and len(self._slots) >= self._most_calls:
            raise too_many(len(self._slots))
        ringing = sum(not slot.answered for slot in self._slots.values())
        if room is not None and ringing >= room:
            raise OutboundRefused(
                429,
                "too many calls",
                "no more calls are taken at a time; try again when one is over, or raise MAX_CALLS",
            )
