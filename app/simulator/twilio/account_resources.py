"""How Twilio's REST API writes an account's resources, and pages of them.

(Twilio: resources Account, IncomingPhoneNumber, Application, OutgoingCallerId, Balance; Trunking
Trunk, Routes PhoneNumber, Voice DialingPermissions Country, Monitor Alert. Times of api.twilio.com
are as in RFC 2822, those of the other hosts as in ISO 8601.)
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from app.simulator.twilio.record import API_VERSION

Resource = dict[str, Any]

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


@dataclass(frozen=True, slots=True)
class Resources:
    """Writes the resources of one account.

    Args:
        account_sid: its SID.
        since: when everything in it was created and changed.
    """

    account_sid: str
    since: datetime

    @property
    def root(self) -> str:
        """The path of the account, without `.json`."""
        return f"/{API_VERSION}/Accounts/{self.account_sid}"

    def account(self, name: str, status: str, kind: str) -> Resource:
        """The account itself, without its auth token."""
        parts = ("balance", "applications", "incoming_phone_numbers", "outgoing_caller_ids")
        names = {part: "".join(map(str.title, part.split("_"))) for part in parts}
        return {
            "sid": self.account_sid,
            "friendly_name": name,
            "status": status,
            "type": kind,
            "owner_account_sid": self.account_sid,
            "subresource_uris": {part: f"{self.root}/{names[part]}.json" for part in parts},
            "uri": f"{self.root}.json",
            **self._dates(),
        }

    def balance(self, amount: str, currency: str) -> Resource:
        return {"account_sid": self.account_sid, "balance": amount, "currency": currency}

    def number(self, number: OwnedNumber) -> Resource:
        return {
            "sid": number.sid,
            "account_sid": self.account_sid,
            "phone_number": number.number,
            "friendly_name": number.number,
            "api_version": API_VERSION,
            "address_sid": None,
            "address_requirements": "none",
            "beta": False,
            "bundle_sid": None,
            "capabilities": {"voice": number.takes_voice, "sms": True, "mms": False, "fax": False},
            "emergency_status": "Inactive",
            "emergency_address_sid": None,
            "emergency_address_status": "unregistered",
            "identity_sid": None,
            "origin": "twilio",
            "sms_application_sid": "",
            "sms_fallback_method": "POST",
            "sms_fallback_url": "",
            "sms_method": "POST",
            "sms_url": "",
            "voice_url": number.voice_url or None,
            "voice_method": number.voice_method,
            "voice_fallback_url": number.voice_fallback_url or None,
            "voice_fallback_method": "POST",
            "voice_caller_id_lookup": False,
            "voice_receive_mode": number.receive_mode,
            "voice_application_sid": number.application_sid,
            "trunk_sid": number.trunk_sid or None,
            "status_callback": number.status_callback,
            "status_callback_method": number.status_callback_method,
            "status": "in-use",
            "type": "local",
            "uri": f"{self.root}/IncomingPhoneNumbers/{number.sid}.json",
            **self._dates(),
        }

    def caller_id(self, number: str) -> Resource:
        sid = _sid("PN", f"caller id {number}")
        return {
            "sid": sid,
            "account_sid": self.account_sid,
            "phone_number": number,
            "friendly_name": number,
            "uri": f"{self.root}/OutgoingCallerIds/{sid}.json",
            **self._dates(),
        }

    def application(self, sid: str, name: str) -> Resource:
        methods = ("voice", "voice_fallback", "sms", "sms_fallback")
        return {
            "sid": sid,
            "account_sid": self.account_sid,
            "friendly_name": name,
            "api_version": API_VERSION,
            **{f"{each}_url": "" for each in methods},
            **{f"{each}_method": "POST" for each in methods},
            "status_callback": "",
            "status_callback_method": "POST",
            "message_status_callback": "",
            "sms_status_callback": "",
            "voice_caller_id_lookup": False,
            "public_application_connect_enabled": False,
            "uri": f"{self.root}/Applications/{sid}.json",
            **self._dates(),
        }

    def trunk(self, sid: str, name: str) -> Resource:
        url = f"https://trunking.twilio.com/v1/Trunks/{sid}"
        return {
            "sid": sid,
            "account_sid": self.account_sid,
            "friendly_name": name,
            "domain_name": None,
            "disaster_recovery_method": "POST",
            "disaster_recovery_url": None,
            "secure": False,
            "recording": {"mode": "do-not-record", "trim": "do-not-trim"},
            "transfer_mode": "disable-all",
            "transfer_caller_id": "from-transferee",
            "cnam_lookup_enabled": False,
            "auth_type": "",
            "symmetric_rtp_enabled": False,
            "auth_type_set": [],
            "url": url,
            "links": {"phone_numbers": f"{url}/PhoneNumbers"},
            **self._iso_dates(),
        }

    def region(self, number: OwnedNumber) -> Resource:
        return {
            "sid": _sid("QQ", f"region {number.number}"),
            "account_sid": self.account_sid,
            "phone_number": number.number,
            "friendly_name": number.number,
            "voice_region": number.region,
            "url": f"https://routes.twilio.com/v2/PhoneNumbers/{number.number}",
            **self._iso_dates(),
        }

    def country(self, iso_code: str, *, allowed: bool) -> Resource:
        """What may be called there. Name, continent and country codes are left out."""
        url = f"https://voice.twilio.com/v1/DialingPermissions/Countries/{iso_code}"
        return {
            "iso_code": iso_code,
            "low_risk_numbers_enabled": allowed,
            "high_risk_special_numbers_enabled": False,
            "high_risk_tollfraud_numbers_enabled": False,
            "url": url,
            "links": {"highrisk_special_prefixes": f"{url}/HighRiskSpecialPrefixes"},
        }

    def alert(self, alert: LoggedAlert) -> Resource:
        """An entry as lists have it: without the request's variables, headers and body."""
        at = _iso(alert.at)
        return {
            "sid": alert.sid,
            "account_sid": self.account_sid,
            "api_version": API_VERSION,
            "error_code": str(alert.code),
            "log_level": alert.level,
            "alert_text": f"ErrorCode={alert.code}&AlertDate={format_datetime(alert.at)}",
            "request_method": "POST" if alert.url else None,
            "request_url": alert.url or None,
            "resource_sid": None,
            "service_sid": None,
            "date_created": at,
            "date_generated": at,
            "date_updated": at,
            "more_info": f"https://www.twilio.com/docs/errors/{alert.code}",
            "url": f"https://monitor.twilio.com/v1/Alerts/{alert.sid}",
        }

    def _dates(self) -> Resource:
        at = format_datetime(self.since)
        return {"date_created": at, "date_updated": at}

    def _iso_dates(self) -> Resource:
        return {"date_created": _iso(self.since), "date_updated": _iso(self.since)}


# --- pages ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that a query asks for.

    Args:
        path: of the list.
        query: with `Page` and `PageSize`; the rest are filters, which links to other pages repeat.
    """

    path: str
    query: Mapping[str, str]

    @property
    def size(self) -> int:
        return max(1, min(int(self.query.get("PageSize", "50")), _MOST_OF_A_PAGE))

    @property
    def number(self) -> int:
        return int(self.query.get("Page", "0"))

    def of(self, name: str, listed: list[Resource]) -> Resource:
        """As api.twilio.com writes it, with paths."""
        start, shown = self.size * self.number, self._shown(listed)
        return {
            name: shown,
            "page": self.number,
            "page_size": self.size,
            "start": start,
            "end": start + max(0, len(shown) - 1),
            "first_page_uri": self._link(0),
            "previous_page_uri": self._link(self.number - 1) if self.number else None,
            "next_page_uri": self._following(listed),
            "uri": self._link(self.number),
        }

    def with_meta(self, name: str, listed: list[Resource], host: str) -> Resource:
        """As the other hosts write it, with addresses in `meta`."""
        following = self._following(listed)
        before = self._link(self.number - 1) if self.number else None
        return {
            name: self._shown(listed),
            "meta": {
                "key": name,
                "page": self.number,
                "page_size": self.size,
                "first_page_url": f"{host}{self._link(0)}",
                "previous_page_url": before and f"{host}{before}",
                "next_page_url": following and f"{host}{following}",
                "url": f"{host}{self._link(self.number)}",
            },
        }

    def _shown(self, listed: list[Resource]) -> list[Resource]:
        start = self.size * self.number
        return listed[start : start + self.size]

    def _following(self, listed: list[Resource]) -> str | None:
        more = self.size * (self.number + 1) < len(listed)
        return self._link(self.number + 1) if more else None

    def _link(self, number: int) -> str:
        filters = {k: v for k, v in self.query.items() if k not in ("Page", "PageSize")}
        return f"{self.path}?{urlencode({**filters, 'PageSize': self.size, 'Page': number})}"


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _sid(prefix: str, text: str) -> str:
    return prefix + hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
