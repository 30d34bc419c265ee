"""Orders about live calls: repeated until they are taken, and not once more.

Twilio may take an order whose answer is lost on the way. Repeated then, it would take the caller
away from what came after it.
"""

import asyncio

from app.bridge.leg.leg import Leg
from app.wires.twilio.rest import TwilioRest

ANSWER_S = 0.1  # the answer may be on its way when Twilio is seen to obey; a repetition is not


class CallRedirects:
    """At most one for each call at a time."""

    def __init__(self) -> None:
        self._seen: dict[str, asyncio.Event] = {}

    async def tell(
        self, rest: TwilioRest, call_sid: str, twiml: str, leg: Leg | None = None
    ) -> bool:
        """Replace a call's TwiML: returns when Twilio answers, or is seen to do it. `leg`: whose
        stream ends by it. Returns whether Twilio answered.

        Raises:
            TwilioError: neither, retries included.
        """
        seen = self._seen[call_sid] = asyncio.Event()
        order = asyncio.create_task(rest.redirect(call_sid, twiml))
        signs: list[asyncio.Task[object]] = [asyncio.create_task(_until(seen))]
        if leg is not None:
            signs.append(asyncio.create_task(leg.wait_over()))
        try:
            await asyncio.wait({order, *signs}, return_when=asyncio.FIRST_COMPLETED)
            if not order.done():
                await asyncio.wait({order}, timeout=ANSWER_S)
            if order.done():
                order.result()
            return order.done()
        finally:
            if self._seen.get(call_sid) is seen:
                del self._seen[call_sid]
            for task in (order, *signs):
                task.cancel()
            await asyncio.gather(order, *signs, return_exceptions=True)

    def seen(self, call_sid: str) -> None:
        """Twilio asks what only comes of the order."""
        if call_sid in self._seen:
            self._seen[call_sid].set()


async def _until(event: asyncio.Event) -> None:
    await event.wait()
