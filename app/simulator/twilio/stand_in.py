"""Twilio's REST API by itself, with an account and no telephone line."""

from types import TracebackType
from typing import Self

from app.simulator.twilio.account import Account
from app.simulator.twilio.account_resources import OwnedNumber
from app.simulator.twilio.call import Call
from app.simulator.twilio.rest import RestServer
from app.simulator.twilio.rest_orders import Form, Refusal

ACCOUNT_SID = "AC" + "5" * 32
AUTH_TOKEN = "5" * 32
_APPLICATION, _TRUNK = "AP" + "5" * 32, "TK" + "5" * 32
_VOICE_MENU = "https://demo.twilio.com/welcome/voice/"


class AccountStandIn:
    """The REST API of one account with a number, for clients that configure it. It places no
    calls.

    Args:
        number: E.164.
        port: 0: a free one.
    """

    def __init__(self, number: str = "+15005550006", port: int = 0) -> None:
        self._port = port
        self.account = Account(
            numbers=[OwnedNumber(number, voice_url=_VOICE_MENU)],
            applications={_APPLICATION: "Voice menu"},
            trunks={_TRUNK: "Office PBX"},
        )
        self._rest = RestServer(
            ACCOUNT_SID, {ACCOUNT_SID: AUTH_TOKEN}, lambda _: None, _no_line, self.account
        )

    @property
    def url(self) -> str:
        """The value for `TWILIO_API_BASE_URL`."""
        return self._rest.url

    async def __aenter__(self) -> Self:
        await self._rest.start(self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._rest.stop()


async def _no_line(_form: Form) -> Call:
    raise Refusal(400, 10002, "This stand-in has no telephone line and places no calls")
