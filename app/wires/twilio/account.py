"""Twilio's REST API for the account: its numbers, balance, caller ids and alerts.

Twilio: resources IncomingPhoneNumbers, OutgoingCallerIds, Balance, Applications; Elastic SIP
Trunking, Inbound Processing Region, Monitor Alerts. What `doctor` reads and `setup` writes; calls
use `rest`.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from app.errors import TwilioError
from app.wires.twilio.rest import checked, refused
from app.wires.twilio.rest_http import HttpClient

_T = TypeVar("_T")

#: Where Twilio processes a number's calls if nothing else is configured.
DEFAULT_REGION = "us1"
_MOST_NUMBERS = 400


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """What a number does with calls. Empty texts: not set."""

    #: "A call comes in". Twilio ignores it while an application or a trunk is set.
    voice_url: str = ""
    #: POST or GET.
    voice_method: str = "POST"
    #: "Call status changes".
    status_callback: str = ""
    #: POST or GET.
    status_callback_method: str = "POST"
    #: SID of the TwiML application that gets the calls in place of `voice_url`.
    application_sid: str = ""
    #: SID of the Elastic SIP trunk that gets the calls in place of both.
    trunk_sid: str = ""
    #: voice, or fax: then calls reach no webhook of voice.
    receive_mode: str = "voice"


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number of the account."""

    sid: str
    #: E.164.
    number: str
    #: The owner's name for it.
    name: str
    #: Whether it can receive and place voice calls at all.
    takes_voice: bool
    voice: VoiceConfig


@dataclass(frozen=True, slots=True)
class AccountState:
    """The account itself."""

    name: str
    #: active, suspended or closed.
    status: str
    #: Full or Trial.
    kind: str

    @property
    def is_trial(self) -> bool:
        return self.kind.lower() == "trial"


@dataclass(frozen=True, slots=True)
class Balance:
    """The account's credit."""

    amount: float
    #: ISO 4217, such as USD.
    currency: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An entry of Twilio's error log."""

    #: Twilio's error code, such as 11200.
    code: int
    at: datetime | None
    #: The URL that Twilio requested; empty: the alert is not about a request.
    url: str
    #: error, warning, notice or debug.
    level: str


class TwilioAccount:
    """Reads and configures one account. Every method but `aclose` raises TwilioError if Twilio
    refuses the request or cannot be reached. Call `aclose` at the end.

    Args:
        account_sid: The account.
        username: The account SID, or an API key.
        password: The auth token, or the API key's secret.
        base_url: TWILIO_API_BASE_URL; see `base_of` in `rest_http`.
        deadline_s: For each attempt, seconds.
    """

    def __init__(
        self,
        account_sid: str,
        username: str,
        password: str,
        base_url: str = "https://api.twilio.com",
        *,
        deadline_s: float = 5.0,
    ) -> None:
        self.account_sid = account_sid
        self._http = HttpClient(
            base_url,
            deadline_s=deadline_s,
            total_s=2 * deadline_s,
            backoff_s=0.25,
            longest_wait_s=deadline_s,
            repeatable=True,
        )
        self._client = Client(username, password, account_sid, http_client=self._http)

    async def state(self) -> AccountState:
        found = await _read(
            "to read the account", self._client.api.accounts(self.account_sid).fetch_async()
        )
        return AccountState(
            _text(found.friendly_name), _text(found.status) or "active", _text(found.type)
        )

    async def numbers(self, number: str = "") -> list[PhoneNumber]:
        """The account's numbers, or the one that is `number`, E.164; empty: it has none."""
        wanted = {"phone_number": number} if number else {}
        found = await _read(
            "to list the numbers",
            self._client.incoming_phone_numbers.list_async(
                **wanted, limit=_MOST_NUMBERS, page_size=50
            ),
        )
        numbers = [_number(each) for each in found]
        # Twilio's filter matches parts of numbers too.
        return [each for each in numbers if not number or each.number == number]

    async def configure(self, number: PhoneNumber, voice: VoiceConfig) -> PhoneNumber:
        """Set what a number does with calls. `number`: as it is now. Returns it as it is then."""
        before = number.voice
        given: dict[str, Any] = {
            "voice_url": voice.voice_url,
            "voice_method": voice.voice_method,
            "status_callback": voice.status_callback,
            "status_callback_method": voice.status_callback_method,
        }
        if voice.receive_mode != before.receive_mode:
            given["voice_receive_mode"] = voice.receive_mode
        if voice.application_sid != before.application_sid:
            given["voice_application_sid"] = voice.application_sid
        if voice.trunk_sid != before.trunk_sid:
            given["trunk_sid"] = voice.trunk_sid
        updated = await _read(
            "to configure the number",
            self._client.incoming_phone_numbers(number.sid).update_async(**given),
        )
        return _number(updated)

    async def is_verified_caller_id(self, number: str) -> bool:
        """Whether a number that the account does not own is verified as a caller id."""
        found = await _read(
            "to list the caller ids",
            self._client.outgoing_caller_ids.list_async(phone_number=number, limit=20),
        )
        return any(each.phone_number == number for each in found)

    async def balance(self) -> Balance | None:
        """The credit; None: Twilio does not say, as for subaccounts."""
        found = await _found("to read the balance", self._client.balance.fetch_async)
        try:
            return None if found is None else Balance(float(found.balance), _text(found.currency))
        except (TypeError, ValueError):
            return None

    async def application(self, sid: str) -> str:
        """The name of a TwiML application; empty: there is none."""
        found = await _found(
            "to read the application", lambda: self._client.applications(sid).fetch_async()
        )
        return _text(found.friendly_name) if found is not None else ""

    async def trunk(self, sid: str) -> str:
        """The name of an Elastic SIP trunk; empty: there is none."""
        found = await _found(
            "to read the trunk", lambda: self._client.trunking.v1.trunks(sid).fetch_async()
        )
        return _text(found.friendly_name) if found is not None else ""

    async def region(self, number: str) -> str:
        """Where Twilio processes the calls of a number, such as us1 or ie1."""
        found = await _found(
            "to read the number's region",
            lambda: self._client.routes.v2.phone_numbers(number).fetch_async(),
        )
        return (_text(found.voice_region) if found is not None else "") or DEFAULT_REGION

    async def may_call(self, country: str) -> bool:
        """Whether the account's permissions allow calls to a country, in ISO 3166 letters. True
        where Twilio does not say."""
        found = await _found(
            "to read the permissions to call countries",
            lambda: self._client.voice.v1.dialing_permissions.countries(country).fetch_async(),
        )
        return found is None or found.low_risk_numbers_enabled is not False

    async def alerts(self, since: datetime, most: int = 200) -> list[Alert]:
        """The alerts since a time, the last one first."""
        found = await _read(
            "to read the alerts",
            self._client.monitor.v1.alerts.list_async(
                start_date=since, limit=most, page_size=min(most, 100)
            ),
        )
        alerts = [
            Alert(int(each.error_code), each.date_created, _text(each.request_url),
                  _text(each.log_level))
            for each in found
            if _text(each.error_code).isdecimal()
        ]  # fmt: skip
        return [each for each in alerts if each.at is None or each.at >= since]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


async def _read(what: str, request: Awaitable[_T]) -> _T:
    try:
        return await checked(what, request)  # type: ignore[no-any-return]
    except TwilioException as error:  # of a list: the SDK gives the response itself
        response = error.args[1] if len(error.args) > 1 else None
        status = getattr(response, "status_code", 200)
        if status != 200:
            raise refused(what, status, _code_in(getattr(response, "text", ""))) from None
        raise _other_answer(what) from None
    except (TypeError, KeyError):  # JSON of another shape
        raise _other_answer(what) from None


def _code_in(body: str) -> int | None:
    """Twilio's error code in the body of a refusal."""
    try:
        code = json.loads(body).get("code")
    except (ValueError, AttributeError):
        return None
    return code if isinstance(code, int) else None


def _other_answer(what: str) -> TwilioError:
    return TwilioError(
        f"the response to a request {what} is not Twilio's; check TWILIO_API_BASE_URL"
    )


async def _found(what: str, request: Callable[[], Awaitable[_T]]) -> _T | None:
    """What a request reads; None: Twilio has no such thing."""
    try:
        return await _read(what, request())
    except TwilioError as error:
        if error.status == 404:
            return None
        raise


def _number(found: Any) -> PhoneNumber:
    capabilities = found.capabilities if isinstance(found.capabilities, dict) else {}
    return PhoneNumber(
        _text(found.sid),
        _text(found.phone_number),
        _text(found.friendly_name),
        bool(capabilities.get("voice", True)),
        VoiceConfig(
            voice_url=_text(found.voice_url),
            voice_method=_text(found.voice_method) or "POST",
            status_callback=_text(found.status_callback),
            status_callback_method=_text(found.status_callback_method) or "POST",
            application_sid=_text(found.voice_application_sid),
            trunk_sid=_text(found.trunk_sid),
            receive_mode=_text(found.voice_receive_mode) or "voice",
        ),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def pointing_to(voice: VoiceConfig, base_url: str) -> VoiceConfig:
    """The configuration with which a number's calls come to the service at `base_url`."""
    base = base_url.rstrip("/")
    return replace(
        voice,
        voice_url=f"{base}/incoming-call",
        voice_method="POST",
        status_callback=f"{base}/call-status",
        status_callback_method="POST",
        application_sid="",
        trunk_sid="",
        receive_mode="voice",
    )
