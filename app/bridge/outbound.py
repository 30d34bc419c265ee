"""Calls that we place: whom we may call, how many at once, and what each of them is for.

Twilio may tell of a call before it has answered the order that made it, and tell of its end first
of all; so a call is known by a token of ours in its TwiML's address until it has a SID.
"""

import logging
import math
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from app.bridge.decisions import log_decision
from app.bridge.dialling_rules import OutboundRefused, check_number
from app.config.phone_number import calling_code
from app.errors import TwilioError
from app.records.store import Store
from app.wires.twilio.rest import CallOrder, TwilioRest

__all__ = ["Outbound", "OutboundRefused", "PlacedCall"]

logger = logging.getLogger(__name__)

RING_S = 30
# What a call takes beyond its ring time before it must have been answered: Twilio rings up to 5 s
# longer, and queues calls that are ordered faster than the account may place them.
GRACE_S = 120.0
LONGEST_CALL_S = 4 * 3600


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call that we placed. `greeting`, `voicemail`: in place of the agent's own if not empty.
    `context`: what the agent has to know about it. `call_sid`: empty until Twilio told it.
    `answered_by`: in Twilio's words, empty until it is found out."""

    token: str
    to: str
    greeting: str = ""
    voicemail: str = ""
    context: str = ""
    call_sid: str = ""
    answered_by: str = ""


@dataclass(slots=True)
class _Slot:
    """`over_s`: the call is over then even if nobody tells."""

    placed: PlacedCall
    over_s: float
    answered: bool = False


class Outbound:
    """Places calls, guards them, and keeps the books of those that are not over.

    `rest`: None without credentials. `from_number`: TWILIO_PHONE_NUMBER. `prefixes`: what a number
    may begin with, see `check_number`; none: the calling code of `from_number`. `most_calls`: at a
    time; 0: none at all. `repeat_s`: that must have passed since the last call to the same number.
    `ring_s`, `longest_call_s`: Twilio's bounds for each call, and ours for its slot. `clock`:
    monotonic seconds.

    Set `draining` when nothing new is to begin. `on_decision(call_sid, decision, reason)`: told of
    what is decided about a call.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.draining = False
        self.on_decision: Callable[[str, str, str], None] = log_decision
        self._rest = rest
        self._store = store
        self._from_number = from_number
        self._prefixes = prefixes
        if from_number and not prefixes:
            self._prefixes = (calling_code(from_number),)
        self._most_calls = most_calls
        self._repeat_s = repeat_s
        self._ring_s = ring_s
        self._longest_call_s = longest_call_s
        self._clock = clock
        self._slots: dict[str, _Slot] = {}  # by token
        self._tokens: dict[str, str] = {}  # by call SID
        self._last_s: dict[str, float] = {}  # by number: when it was called last
        self._orders: dict[str, set[str]] = {}  # by token: the calls that end while Twilio answers

    @property
    def live_calls(self) -> int:
        """How many of our calls are not over: ordered, ringing or answered."""
        return len(self._slots)

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
        """Call somebody; returns the call's SID, whose record exists from then on.

        When they answer, Twilio asks `base_url`/outgoing-call/<token> for TwiML (`answered`); it
        tells `base_url`/call-status how the call stands, and `base_url`/answering-machine/<token>
        who answered (`detected`). `base_url`: PUBLIC_URL. `room`: how many calls more this process
        takes, those that ring not counted; None: no limit.

        Raises:
            OutboundRefused: a guard or Twilio refuses. It is logged.
        """
        now_s = self._clock()
        self._prune(now_s)
        try:
            rest, from_number, url = self._ready(base_url)
            check_number(to, from_number, self._prefixes)
            self._check_load(to, room, now_s)
            placed = PlacedCall(secrets.token_urlsafe(24), to, greeting, voicemail, context)
            order = CallOrder(
                to,
                from_number,
                url=f"{url}/outgoing-call/{placed.token}",
                status_callback=f"{url}/call-status",
                ring_s=self._ring_s,
                detect_machine_callback=f"{url}/answering-machine/{placed.token}",
                time_limit_s=self._longest_call_s,
            )
            return await self._order(rest, order, placed, now_s)
        except OutboundRefused as refused:
            logger.warning("outbound call refused", extra={"reason": refused.reason})
            raise

    async def _order(
        self, rest: TwilioRest, order: CallOrder, placed: PlacedCall, now_s: float
    ) -> str:
        token = placed.token
        slot = self._slots[token] = _Slot(placed, now_s + self._ring_s + GRACE_S)
        self._last_s[placed.to] = now_s
        ended = self._orders[token] = set()
        try:
            call_sid = await rest.place(order)
        except TwilioError as error:
            if slot.placed.call_sid:  # Twilio has told of the call, whatever it answers now
                return slot.placed.call_sid
            if error.unsure:  # so it counts as placed, and whoever answers is spoken to
                fix = "the telephone may ring all the same; look at GET /calls before you try again"
                raise OutboundRefused(504, "no answer from Twilio", f"{error}; {fix}") from error
            del self._slots[token]
            if self._last_s.get(placed.to) == now_s:
                del self._last_s[placed.to]
            raise OutboundRefused(502, "refused by Twilio", str(error)) from error
        finally:
            del self._orders[token]
        if not slot.placed.call_sid:
            self._name(slot, call_sid)
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

    def answered(self, token: str, call_sid: str) -> PlacedCall | None:
        """The callee answered, and Twilio asks what is next. The token is good for one call, as
        often as Twilio asks, until that is over; None: hang up."""
        slot = self._slot_of(token, call_sid)
        if slot is None:
            logger.warning("no such outbound call", extra={"call_sid": call_sid})
            return None
        if not slot.answered:
            slot.answered = True
            slot.over_s = self._clock() + self._longest_call_s + GRACE_S
        return slot.placed

    def detected(self, token: str, call_sid: str, answered_by: str) -> PlacedCall | None:
        """Who answered, in Twilio's words; it may be told before `answered` is. None: no such call,
        or it is over."""
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
            self._name(slot, call_sid)
        return slot

    def may_be(self, token: str, call_sid: str, *, live: bool) -> bool:
        """Whether a call may be the one that this token was made for, as far as is known here.
        `live`: the call has a leg."""
        slot, other = self._slots.get(token), self._tokens.get(call_sid)
        if other is not None:
            return other == token
        # A call that has a leg before its token has a SID is another one.
        return (
            slot is None or slot.placed.call_sid == call_sid or not (slot.placed.call_sid or live)
        )

    def placed(self, call_sid: str) -> PlacedCall | None:
        """What this call is for; None when we did not place it, or it is over."""
        token = self._tokens.get(call_sid)
        return self._slots[token].placed if token is not None else None

    def ended(self, call_sid: str) -> None:
        """A call is over; any call, as often as it is told, before its order is answered too."""
        token = self._tokens.pop(call_sid, None)
        if token is not None:
            del self._slots[token]
        for ended in self._orders.values():
            ended.add(call_sid)

    # --- the books ---

    def _name(self, slot: _Slot, call_sid: str) -> None:
        """The call has a SID; whoever asks for it finds a record."""
        slot.placed = replace(slot.placed, call_sid=call_sid)
        self._tokens[call_sid] = slot.placed.token
        self._store.save_call(
            call_sid,
            account_sid=self._rest.account_sid if self._rest else "",
            direction="outbound-api",
            from_number=self._from_number or "",
            to_number=slot.placed.to,
            status="queued",
        )

    def _prune(self, now_s: float) -> None:
        for slot in [each for each in self._slots.values() if each.over_s <= now_s]:
            if slot.placed.token not in self._orders:
                reason = "Twilio never said how the call that was placed ended"
                if slot.placed.call_sid:
                    self.on_decision(slot.placed.call_sid, "slot of the call freed", reason)
                self._tokens.pop(slot.placed.call_sid, None)
                del self._slots[slot.placed.token]
        self._last_s = {n: s for n, s in self._last_s.items() if s > now_s - self._repeat_s}

    # --- the guards ---

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
        if self.draining:
            raise OutboundRefused(
                503, "draining", "the service is shutting down; try again when it has restarted"
            )
        return self._rest, self._from_number, base_url.rstrip("/")

    def _check_load(self, to: str, room: int | None, now_s: float) -> None:
        if self._most_calls == 0:
            raise OutboundRefused(
                403, "switched off", "OUTBOUND_MAX_CALLS is 0, so no calls are placed; raise it"
            )
        if (last_s := self._last_s.get(to)) is not None:
            wait_s = math.ceil(last_s + self._repeat_s - now_s)
            raise OutboundRefused(
                409,
                "called lately",
                f"this number was called less than {self._repeat_s:g} s ago; try again in {wait_s} "
                "s, or lower OUTBOUND_REPEAT_SECONDS",
                wait_s,
            )
        if len(self._slots) >= self._most_calls:
            raise OutboundRefused(
                429,
                "too many calls",
                f"{len(self._slots)} outbound calls are not over yet; try again when one is, or "
                "raise OUTBOUND_MAX_CALLS",
            )
        ringing = sum(not slot.answered for slot in self._slots.values())
        if room is not None and ringing >= room:
            raise OutboundRefused(
                429,
                "too many calls",
                "no more calls are taken at a time; try again when one is over, or raise MAX_CALLS",
            )
