"""A leg's side of Twilio's REST API: redirects its call to other TwiML, or hangs it up.

For a softphone's call, `SoftphoneLine` takes the place of that API.
"""

from collections.abc import Awaitable, Callable

from app.bridge.ownership import still_ours
from app.bridge.services import Services
from app.call import commands as do
from app.call import events as ev
from app.errors import TwilioError


class RestSide:
    """The orders of one leg to Twilio. Each outcome is an event.

    Nothing is ordered once another replica has the call: then the leg is lost, see `Leg.lose`.

    Args:
        redirect: replaces the call's TwiML.
        feed: gives an event to the machine.
    """

    def __init__(
        self,
        services: Services,
        call_sid: str,
        redirect: Callable[[do.TransferCall | do.PlayDigits], Awaitable[None]],
        feed: Callable[[ev.Event], None],
    ) -> None:
        self._services = services
        self._call_sid = call_sid
        self._redirect = redirect
        self._feed = feed

    async def redirect(self, command: do.TransferCall | do.PlayDigits) -> None:
        """Replace the call's TwiML."""
        if not await still_ours(self._services, self._call_sid):
            return
        try:
            await self._redirect(command)
        except TwilioError as error:
            why = f"status {error.status}" if error.status else "it could not be reached"
            self._feed(ev.RedirectFailed(f"the telephone network refused, {why}"))
        else:
            self._feed(ev.CallRedirected())

    async def hang_up(self) -> None:
        """End the call."""
        control = self._services.control(self._call_sid)
        if control is None:
            self._feed(ev.HangUpFailed("no Twilio credentials; the TwiML ends the call"))
            return
        if not await still_ours(self._services, self._call_sid):
            return
        try:
            await control.hang_up(self._call_sid)
        except TwilioError as error:
            # Also "no such call": its stream still lives, so the call does too.
            self._feed(ev.HangUpFailed(str(error)))
        else:
            self._feed(ev.HangUpConfirmed())
