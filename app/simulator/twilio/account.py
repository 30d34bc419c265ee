"""What Twilio's REST API says of an account: numbers, applications, trunks, caller ids, balance,
regions and alerts.

(Twilio: resources IncomingPhoneNumbers, Applications, OutgoingCallerIds, Balance, Accounts;
Trunking, Routes and Monitor APIs)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from app.simulator.twilio.account_resources import (
    LoggedAlert,
    OwnedNumber,
    Page,
    Resource,
    Resources,
)
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
    #: When everything in it was created.
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def answer(
        self, account_sid: str, method: str, path: str, query: Mapping[str, str], form: Form
    ) -> Resource:
        """The resource at a path of this account.

        Raises:
            Refusal: there is none, or the request is not one that Twilio takes.
        """
        written = Resources(account_sid, self.since)
        root, page = written.root, Page(path, query)
        if path == f"{root}.json":
            return written.account(self.name, self.status, self.kind)
        if path == f"{root}/Balance.json" and self.balance:
            return written.balance(self.balance, self.currency)
        if path == f"{root}/IncomingPhoneNumbers.json":
            numbers = [each for each in self.numbers if _matches(each.number, query)]
            return page.of("incoming_phone_numbers", [*map(written.number, numbers)])
        if path == f"{root}/OutgoingCallerIds.json":
            ids = [number for number in self.caller_ids if _matches(number, query)]
            return page.of("outgoing_caller_ids", [*map(written.caller_id, ids)])
        if sid := _last(path, f"{root}/IncomingPhoneNumbers/", ".json"):
            number = next((each for each in self.numbers if each.sid == sid), None)
            if number is None:
                raise _not_found(path)
            if method == "POST":
                self._configure(number, form)
            return written.number(number)
        if (sid := _last(path, f"{root}/Applications/", ".json")) in self.applications:
            return written.application(sid, self.applications[sid])
        return self._of_other_hosts(written, page)

    def _of_other_hosts(self, written: Resources, page: Page) -> Resource:
        """What trunking, routes, voice and monitor.twilio.com serve."""
        path = page.path
        if (sid := _last(path, "/v1/Trunks/")) in self.trunks:
            return written.trunk(sid, self.trunks[sid])
        wanted = unquote(_last(path, "/v2/PhoneNumbers/"))
        for number in self.numbers:
            if number.number == wanted and number.region:
                return written.region(number)
        if iso_code := _last(path, "/v1/DialingPermissions/Countries/"):
            return written.country(iso_code, allowed=iso_code not in self.forbidden_countries)
        if path == "/v1/Alerts":
            since = page.query.get("StartDate", "")
            last_first = sorted(self.alerts, key=lambda each: each.at, reverse=True)
            shown = [each for each in map(written.alert, last_first)
                     if each["date_created"] >= since]  # fmt: skip
            return page.with_meta("alerts", shown, "https://monitor.twilio.com")
        raise _not_found(path)

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
