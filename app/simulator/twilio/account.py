"""What Twilio's REST API says of an account: numbers, applications, trunks, caller ids, balance,
regions and alerts.

(Twilio: resources IncomingPhoneNumbers, Applications, OutgoingCallerIds, Balance, Accounts;
Trunking, Routes and Monitor APIs)
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

from app.simulator.twilio.record import API_VERSION
from app.simulator.twilio.rest_orders import Form, Refusal

_NUMBER_FIELDS = frozenset(
    """AccountSid ApiVersion FriendlyName SmsApplicationSid SmsFallbackMethod SmsFallbackUrl
    SmsMethod SmsUrl StatusCallback StatusCallbackMethod VoiceApplicationSid VoiceCallerIdLookup
    VoiceFallbackMethod VoiceFallbackUrl VoiceMethod VoiceUrl EmergencyStatus EmergencyAddressSid
    TrunkSid VoiceReceiveMode IdentitySid AddressSid BundleSid""".split()
)
#: Those that change an `OwnedNumber`.
_ATTRIBUTES = {
    "VoiceUrl": "voice_url",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceMethod": "voice_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceReceiveMode": "receive_mode",
    "VoiceApplicationSid": "application_sid",
    "TrunkSid": "trunk_sid",
}
_INVALID_URL = 21502
_MOST_OF_A_PAGE = 1000


@dataclass(slots=True)
class OwnedNumber:
    """A number of the account, as the REST API shows it."""

    #: E.164.
    number: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    status_callback: str = ""
    status_callback_method: str = "POST"
    application_sid: str = ""
    trunk_sid: str = ""
    #: voice or fax.
    receive_mode: str = "voice"
    #: Whether it can take voice calls.
    takes_voice: bool = True
    #: The region that processes its calls; empty: nothing is configured.
    region: str = ""
    sid: str = field(default_factory=lambda: "PN" + uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class LoggedAlert:
    """An entry of the error log."""

    code: int
    url: str = ""
    level: str = "error"
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sid: str = field(default_factory=lambda: "NO" + uuid.uuid4().hex)


@dataclass(slots=True)
class Account:
    """The account of a line. Change its fields to provoke each state."""

    name: str = "Tester's account"
    #: active, suspended or closed.
    status: str = "active"
    #: Full or Trial.
    kind: str = "Full"
    #: As Twilio writes it; empty: the account has none to read, as a subaccount.
    balance: str = "20.00"
    currency: str = "USD"
    numbers: list[OwnedNumber] = field(default_factory=list)
    #: Names of TwiML applications by SID.
    applications: dict[str, str] = field(default_factory=dict)
    #: Names of Elastic SIP trunks by SID.
    trunks: dict[str, str] = field(default_factory=dict)
    #: Verified caller ids, E.164.
    caller_ids: list[str] = field(default_factory=list)
    #: Countries that the account may not call, in ISO 3166 letters.
    forbidden_countries: set[str] = field(default_factory=set)
    alerts: list[LoggedAlert] = field(default_factory=list)

    def answer(
        self, account_sid: str, method: str, path: str, query: Mapping[str, str], form: Form
    ) -> dict[str, Any]:
        """The resource at a path of this account.

        Raises:
            Refusal: there is none, or the request is not one that Twilio takes.
        """
        root = f"/{API_VERSION}/Accounts/{account_sid}"
        if path == f"{root}.json":
            return self._own_resource(account_sid, root)
        if path == f"{root}/Balance.json" and self.balance:
            found = {"balance": self.balance, "currency": self.currency}
            return found | {"account_sid": account_sid}
        if path == f"{root}/IncomingPhoneNumbers.json":
            numbers = [each for each in self.numbers if _matches(each.number, query)]
            shown = [_number_resource(account_sid, root, each) for each in numbers]
            return _page("incoming_phone_numbers", shown, path, query)
        if path == f"{root}/OutgoingCallerIds.json":
            ids = [number for number in self.caller_ids if _matches(number, query)]
            shown = [{"sid": f"PN{n:032x}", "phone_number": it} for n, it in enumerate(ids)]
            return _page("outgoing_caller_ids", shown, path, query)
        if sid := _last(path, f"{root}/IncomingPhoneNumbers/", ".json"):
            number = next((each for each in self.numbers if each.sid == sid), None)
            if number is None:
                raise _not_found(path)
            if method == "POST":
                self._configure(number, form)
            return _number_resource(account_sid, root, number)
        return self._other_products(account_sid, root, path, query)

    def _other_products(
        self, account_sid: str, root: str, path: str, query: Mapping[str, str]
    ) -> dict[str, Any]:
        """Applications, and what other hosts than api.twilio.com serve."""
        for prefix, end, names in (
            (f"{root}/Applications/", ".json", self.applications),
            ("/v1/Trunks/", "", self.trunks),
        ):
            sid = _last(path, prefix, end)
            if sid in names:
                return {"sid": sid, "account_sid": account_sid, "friendly_name": names[sid]}
        region = {each.number: each.region for each in self.numbers}
        number = unquote(_last(path, "/v2/PhoneNumbers/"))
        if region.get(number):
            return {"phone_number": number, "voice_region": region[number]}
        if iso_code := _last(path, "/v1/DialingPermissions/Countries/"):
            allowed = iso_code not in self.forbidden_countries
            return {"iso_code": iso_code, "low_risk_numbers_enabled": allowed}
        if path == "/v1/Alerts":
            since = query.get("StartDate", "")
            shown = [
                _alert_resource(account_sid, each)
                for each in sorted(self.alerts, key=lambda each: each.at, reverse=True)
                if f"{each.at:%Y-%m-%dT%H:%M:%SZ}" >= since
            ]
            return {"alerts": shown[: _page_size(query)], "meta": {"key": "alerts"}}
        raise _not_found(path)

    def _own_resource(self, account_sid: str, root: str) -> dict[str, Any]:
        return {
            "sid": account_sid,
            "friendly_name": self.name,
            "status": self.status,
            "type": self.kind,
            "owner_account_sid": account_sid,
            "uri": f"{root}.json",
        }

    def _configure(self, number: OwnedNumber, form: Form) -> None:
        if unknown := form.last.keys() - _NUMBER_FIELDS:
            raise Refusal(400, 20001, f"unknown parameters: {', '.join(sorted(unknown))}")
        for name in ("VoiceUrl", "VoiceFallbackUrl", "StatusCallback"):
            form.url(name, _INVALID_URL)
        for name in ("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod"):
            form.one_of(name, "", "POST", "GET")
        form.one_of("VoiceReceiveMode", "", "voice", "fax")
        for name, known in (("VoiceApplicationSid", self.applications), ("TrunkSid", self.trunks)):
            if (sid := form.get(name)) and sid not in known:
                raise Refusal(400, 21218, f"{name} {sid!r} is not of this account")
        for name, attribute in _ATTRIBUTES.items():
            if name in form.last:
                setattr(number, attribute, form.last[name])
        if form.get("TrunkSid"):  # Twilio: the one removes the other
            number.application_sid = ""
        elif form.get("VoiceApplicationSid"):
            number.trunk_sid = ""


def _number_resource(account_sid: str, root: str, number: OwnedNumber) -> dict[str, Any]:
    return {
        "sid": number.sid,
        "account_sid": account_sid,
        "phone_number": number.number,
        "friendly_name": number.number,
        "api_version": API_VERSION,
        "capabilities": {"voice": number.takes_voice, "sms": True, "mms": False, "fax": False},
        "voice_url": number.voice_url,
        "voice_method": number.voice_method,
        "voice_fallback_url": number.voice_fallback_url or None,
        "voice_fallback_method": "POST",
        "voice_caller_id_lookup": False,
        "voice_receive_mode": number.receive_mode,
        "voice_application_sid": number.application_sid or None,
        "trunk_sid": number.trunk_sid or None,
        "status_callback": number.status_callback,
        "status_callback_method": number.status_callback_method,
        "status": "in-use",
        "uri": f"{root}/IncomingPhoneNumbers/{number.sid}.json",
    }


def _alert_resource(account_sid: str, alert: LoggedAlert) -> dict[str, Any]:
    at = f"{alert.at:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "sid": alert.sid,
        "account_sid": account_sid,
        "error_code": str(alert.code),
        "log_level": alert.level,
        "alert_text": f"ErrorCode={alert.code}&AlertDate={format_datetime(alert.at)}",
        "request_url": alert.url or None,
        "date_created": at,
        "date_generated": at,
        "date_updated": at,
        "more_info": f"https://www.twilio.com/docs/errors/{alert.code}",
    }


def _page(
    name: str, shown: list[dict[str, Any]], path: str, query: Mapping[str, str]
) -> dict[str, Any]:
    """One page of a list."""
    size, number = _page_size(query), int(query.get("Page", "0"))
    start = size * number
    more = start + size < len(shown)
    others = "".join(f"&{k}={v}" for k, v in query.items() if k not in ("Page", "PageSize"))
    following = f"{path}?PageSize={size}&Page={number + 1}{others}" if more else None
    return {
        name: shown[start : start + size],
        "page": number,
        "page_size": size,
        "next_page_uri": following,
        "uri": path,
    }


def _page_size(query: Mapping[str, str]) -> int:
    return max(1, min(int(query.get("PageSize", "50")), _MOST_OF_A_PAGE))


def _matches(number: str, query: Mapping[str, str]) -> bool:
    """Whether a number fits the filter `PhoneNumber`, which may be a part of it."""
    return query.get("PhoneNumber", "") in number


def _last(path: str, prefix: str, end: str = "") -> str:
    """What a path has after a prefix; empty: it is another path."""
    if not path.startswith(prefix) or not path.endswith(end):
        return ""
    return path[len(prefix) : len(path) - len(end)]


def _not_found(path: str) -> Refusal:
    return Refusal(404, 20404, f"The requested resource {path} was not found")
