"""Redirects of live calls: a REST request is retried until Twilio obeys, and not after.

Twilio may obey a request whose response is lost. The retry would then replace the TwiML that the
call has gone on to meanwhile.
"""

import asyncio

from app.bridge.leg.leg import Leg
from app.bridge.softphone_line import CallControl

RESPONSE_S = 0.1  # Twilio obeys a moment before its response arrives: wait that long, do not retry


class CallRedirects:
    """One redirect at a time for each call."""

    def __init__(self) -> None:
        self._confirmed: dict[str, asyncio.Event] = {}

    async def order(
        self, rest: CallControl, call_sid: str, twiml: str, leg: Leg | None = None
    ) -> bool:
        """Replace a call's TwiML; returns when Twilio responds, or `confirm` is called, or the leg
        ends. `leg`: the one whose stream the redirect ends. Returns whether Twilio responded.

        Raises:
            TwilioError: the request failed, retries included.
        """
        confirmed = self._confirmed[call_sid] = asyncio.Event()
        request = asyncio.create_task(rest.redirect(call_sid, twiml))
        signs: list[asyncio.Task[object]] = [asyncio.create_task(_wait(confirmed))]
        if leg is not None:
            signs.append(asyncio.create_task(leg.wait_over()))
        try:
            await asyncio.wait({request, *signs}, return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                await asyncio.wait({request}, timeout=RESPONSE_S)
            if request.done():
                request.result()
            return request.done()
        finally:
            if self._confirmed.get(call_sid) is confirmed:
                del self._confirmed[call_sid]
            for task in (request, *signs):
                task.cancel()
            await asyncio.gather(request, *signs, return_exceptions=True)

    def confirm(self, call_sid: str) -> None:
        """Twilio requested a URL of the new TwiML, or of what follows it: retry no more."""
        if call_sid in self._confirmed:
            self._confirmed[call_sid].set()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
