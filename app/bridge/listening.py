"""Listening in on live calls, whichever replica has them.

The replica that has a call's leg keeps its sound for each listener. Another replica asks it for the
sound several times a second, each time when it has the piece before. Who listens, and when, is in
the call's record.
"""

import asyncio
import logging
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from app.bridge.bus.bus import Bus, BusUnavailable, Message, NoAnswer
from app.bridge.leg.leg import Leg
from app.bridge.operator_orders import OrderRefused
from app.bridge.requests import Requests
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.call.orders import NOT_WITH_AGENT
from app.records.finding import NO_RECORD, find_row
from app.records.live_sound import Listener
from app.wires.twilio.call import TERMINAL

logger = logging.getLogger(__name__)

#: Sound is sent in pieces of this length; those of another replica are longer.
PIECE_S = 0.1
FAR_PIECE_S = 0.2
#: Listeners at a time, on the calls of this process.
MOST_LISTENERS = 20
ANSWER_S = 2.0
#: When no replica has a leg of the call, they are asked again: it may be passed on right now.
AGAIN_S = (0.2, 0.4)
#: A replica that asks for no sound for so long has no listener any more.
SILENT_S = 5.0

OFF = "listening in is turned off: LISTEN_IN=off"
STARTED, ENDED = "listening in", "listening in ended"


class Heard(Protocol):
    """The sound of a call, for one listener. `aclose` it."""

    async def piece(self) -> bytes | None:
        """Wait for the next piece: see `Listener.take`. None: there is nothing more to hear."""

    async def aclose(self) -> None:
        """Listen no more."""


class Listening:
    """Finds calls to listen in on, and keeps the sound of those of this process.

    Args:
        allowed: LISTEN_IN.
    """

    def __init__(
        self, services: Services, switchboard: Switchboard, requests: Requests, *, allowed: bool
    ) -> None:
        self._services = services
        self._switchboard = switchboard
        #: Whether people may listen in.
        self.allowed = allowed
        self._closed = False
        self._here: set[_Here] = set()
        self._far: dict[str, _FarListener] = {}  # listeners at other replicas, by their id
        switchboard.on_call_left.append(self._call_left)
        requests.add("listen", self._answer_listen)
        requests.add("sound", self._answer_sound)
        requests.add("unlisten", self._answer_unlisten)

    @property
    def listeners(self) -> int:
        """How many listen to calls of this process."""
        return len(self._here)

    async def begin(self, call_sid: str, by: str) -> Heard:
        """Listen in on a call.

        Args:
            by: who listens, for the record.

        Raises:
            OrderRefused: that is not possible.
        """
        if not self.allowed:
            raise OrderRefused(403, OFF)
        leg = self._switchboard.leg(call_sid)
        if leg is not None and (not leg.over or leg.redirecting):
            return self._listen(leg, by)
        elsewhere = self._services.bus.shared and leg is None
        if elsewhere and (far := await self._begin_far(call_sid, by)) is not None:
            return far
        row = await find_row(self._services.store, call_sid)
        if row is None:
            raise OrderRefused(404, NO_RECORD)
        if row.status in TERMINAL:
            raise OrderRefused(409, "the call has ended")
        for wait_s in AGAIN_S if elsewhere else ():
            await asyncio.sleep(wait_s)
            if (far := await self._begin_far(call_sid, by)) is not None:
                return far
        raise OrderRefused(409, NOT_WITH_AGENT)

    def close(self) -> None:
        """The service stops: end what is heard here."""
        self._closed = True
        for each in self._here:
            each.listener.over = True

    # --- calls of this process ---

    def _listen(self, leg: Leg, by: str) -> "_Here":
        if len(self._here) >= MOST_LISTENERS:
            raise OrderRefused(503, f"{MOST_LISTENERS} listeners are the most; end one of them")
        here = _Here(leg, by, self._ended)
        self._here.add(here)
        self._note(leg.call.call_sid, STARTED, f"by {by}")
        return here

    def _ended(self, here: "_Here") -> None:
        self._here.discard(here)
        self._note(here.call_sid, ENDED, f"by {here.by}, after {here.seconds:.0f} s")

    def _note(self, call_sid: str, decision: str, reason: str) -> None:
        """Who has the call writes its record; the end of a call ends the listening anyway."""
        if self._switchboard.is_live(call_sid):
            self._switchboard.note_decision(call_sid, decision, reason)

    def _call_left(self, call_sid: str, _lost: bool) -> None:
        for each in self._here:
            if each.call_sid == call_sid:
                each.listener.over = True

    # --- for listeners at other replicas ---

    async def _answer_listen(self, request: Message) -> dict[str, Any]:
        identifier, call_sid = str(request["id"]), str(request["call"])
        leg = self._switchboard.leg(call_sid)
        if leg is None or (leg.over and not leg.redirecting):
            return {"gone": True}
        if not self.allowed:
            return {"status": 403, "refused": OFF}
        if identifier not in self._far:
            try:
                here = self._listen(leg, str(request["by"]))
            except OrderRefused as refused:
                return {"status": refused.status, "refused": str(refused)}
            self._far[identifier] = _FarListener(here, lambda: self._far.pop(identifier, None))
        return {"listening": True}

    async def _answer_sound(self, request: Message) -> dict[str, Any]:
        far = self._far.get(str(request["id"]))
        return far.answer(int(request["number"])) if far is not None else {"gone": True}

    async def _answer_unlisten(self, request: Message) -> dict[str, Any]:
        far = self._far.get(str(request["id"]))
        if far is not None:
            far.end()
        return {}

    # --- calls of other replicas ---

    async def _begin_far(self, call_sid: str, by: str) -> "_Far | None":
        bus = self._services.bus
        request = {"request": "listen", "id": secrets.token_hex(8), "call": call_sid, "by": by}
        try:
            owner = await bus.owner(call_sid)
            if owner is None or owner.replica == bus.replica:
                return None
            outcome = await bus.ask_replica(owner.replica, request, ANSWER_S)
        except BusUnavailable as error:
            reason = f"the call is another replica's, which cannot be asked: {error}"
            raise OrderRefused(503, reason) from error
        except NoAnswer as error:
            raise OrderRefused(504, str(error)) from error
        if "refused" in outcome:
            raise OrderRefused(int(outcome["status"]), str(outcome["refused"]))
        if "listening" not in outcome:
            return None
        return _Far(bus, owner.replica, request["id"], lambda: self._closed)


class _Here:
    """A listener on a call of this process."""

    def __init__(self, leg: Leg, by: str, ended: Callable[["_Here"], None]) -> None:
        self.call_sid = leg.call.call_sid
        self.by = by
        self._recorder = leg.seed.recorder
        self._began_s = leg.seed.began_s
        self._listens_s = monotonic()
        self._ended = ended
        self._open = True
        self.listener: Listener = self._recorder.listen(self._now_ms())

    @property
    def seconds(self) -> float:
        """For how long it has listened."""
        return monotonic() - self._listens_s

    def _now_ms(self) -> float:
        return (monotonic() - self._began_s) * 1000

    def take(self) -> bytes | None:
        """What was heard since the last time; None: there is nothing more to hear."""
        return None if self.listener.over else self.listener.take(self._now_ms())

    async def piece(self) -> bytes | None:
        await asyncio.sleep(PIECE_S)
        return self.take()

    def end(self) -> None:
        """Listen no more."""
        if self._open:
            self._open = False
            self._recorder.leave(self.listener)
            self._ended(self)

    async def aclose(self) -> None:
        self.end()


class _FarListener:
    """A listener at another replica, on a call of this one. It ends when that asks no more."""

    def __init__(self, here: _Here, forget: Callable[[], object]) -> None:
        self._here = here
        self._forget = forget
        self._number = 0  # of the last piece
        self._last: dict[str, Any] = {}
        self._expires = asyncio.get_running_loop().call_later(SILENT_S, self.end)

    def answer(self, number: int) -> dict[str, Any]:
        """A piece of sound. The last one may be asked for again."""
        self._expires.cancel()
        self._expires = asyncio.get_running_loop().call_later(SILENT_S, self.end)
        if number != self._number:
            self._number = number
            sound = self._here.take()
            self._last = {"gone": True} if sound is None else {"sound": b64encode(sound).decode()}
        return self._last

    def end(self) -> None:
        self._expires.cancel()
        self._forget()
        self._here.end()


class _Far:
    """A listener in this process, on a call of another replica."""

    def __init__(
        self, bus: Bus, replica: str, identifier: str, is_closed: Callable[[], bool]
    ) -> None:
        self._bus = bus
        self._replica = replica
        self._identifier = identifier
        self._is_closed = is_closed
        self._number = 0

    async def piece(self) -> bytes | None:
        await asyncio.sleep(FAR_PIECE_S)
        if self._is_closed():
            return None
        self._number += 1
        request = {"request": "sound", "id": self._identifier, "number": self._number}
        try:
            outcome = await self._bus.ask_replica(self._replica, request, ANSWER_S)
        except (NoAnswer, BusUnavailable) as error:
            logger.info("listening in ended", extra={"reason": str(error)})
            return None
        return b64decode(outcome["sound"]) if "sound" in outcome else None

    async def aclose(self) -> None:
        request = {"request": "unlisten", "id": self._identifier}
        with suppress(NoAnswer, BusUnavailable):
            await self._bus.ask_replica(self._replica, request, ANSWER_S)
