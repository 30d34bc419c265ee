"""The forms of REST requests: checked as Twilio checks them, and turned into orders.

(Twilio: Call resource, "Create a Call resource" and "Update a Call resource"; error dictionary)
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from app.simulator.twilio.call import Call
from app.simulator.twilio.record import UNANSWERED
from app.simulator.twilio.trunk import (
    CALL_EVENTS,
    CallOrder,
    Detection,
    Source,
    StatusReport,
)

LONGEST_INLINE_TWIML = 4000

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SIP = re.compile(r"sips?:[^@\s]+@\S+")
_SEND_DIGITS = re.compile(r"[0-9#*wW]{1,32}")
_LONGEST_RING_S = 600
_FIELDS = frozenset(
    """To From Url Method FallbackUrl FallbackMethod Twiml ApplicationSid StatusCallback
    StatusCallbackMethod StatusCallbackEvent SendDigits Timeout TimeLimit Record RecordingChannels
    RecordingTrack RecordingStatusCallback RecordingStatusCallbackMethod
    RecordingStatusCallbackEvent RecordingConfigurationId Trim SipAuthUsername SipAuthPassword
    MachineDetection MachineDetectionTimeout MachineDetectionSpeechThreshold
    MachineDetectionSpeechEndThreshold MachineDetectionSilenceTimeout AsyncAmd
    AsyncAmdStatusCallback AsyncAmdStatusCallbackMethod Passports Byoc CallReason CallToken CallerId
    ClientNotificationUrl""".split()
)


class Refusal(Exception):
    """Why a request is refused: HTTP status, Twilio's error code, and the message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Form:
    """The form of a request."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        #: Every name and value, in order.
        self.fields = tuple(fields)
        #: The last value of each name.
        self.last = dict(self.fields)

    def get(self, name: str, default: str = "") -> str:
        """The last value of a name, or `default` if it is missing or blank."""
        return self.last.get(name) or default

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order."""
        return [value for each, value in self.fields if each == name]

    def one_of(self, name: str, *values: str) -> str:
        """The value of a name, one of `values`; the first of them if it is missing.

        Raises:
            Refusal: 20001.
        """
        value = self.get(name, values[0])
        if value not in values:
            raise Refusal(
                400, 20001, f"{name} {value!r} is none of {', '.join(filter(None, values))}"
            )
        return value

    def seconds(self, name: str, at_most: int | None = None) -> int | None:
        """A whole number of seconds, or None if it is missing.

        Raises:
            Refusal: 20001.
        """
        text = self.get(name)
        if not text:
            return None
        if not text.isdecimal() or not 1 <= int(text) <= (at_most or int(text)):
            raise Refusal(400, 20001, f"{name} {text!r} is not an allowed number of seconds")
        return int(text)

    def url(self, name: str, code: int) -> str:
        """An absolute http(s) URL, or empty if it is missing.

        Raises:
            Refusal: `code`.
        """
        url = self.get(name)
        split = urlsplit(url)
        if url and (split.scheme not in ("http", "https") or not split.hostname):
            raise Refusal(400, code, f"{name} {url!r} is not a valid URL")
        return url

    def inline(self) -> str:
        """The `Twiml`, or empty.

        Raises:
            Refusal: 32018, it is too long.
        """
        inline = self.get("Twiml")
        if len(inline) > LONGEST_INLINE_TWIML:
            raise Refusal(400, 32018, f"Twiml exceeds {LONGEST_INLINE_TWIML} characters")
        return inline


def create(form: Form, base: str) -> CallOrder:
    """The call that a form describes. `base`: the base of relative URLs in inline TwiML.

    Raises:
        Refusal: Twilio refuses to make such a call.
    """
    if unknown := form.last.keys() - _FIELDS:
        raise Refusal(400, 20001, f"unknown parameters: {', '.join(sorted(unknown))}")
    send_digits = form.get("SendDigits")
    if send_digits and not _SEND_DIGITS.fullmatch(send_digits):
        raise Refusal(400, 20001, f"SendDigits {send_digits!r} are not keys that can be sent")
    return CallOrder(
        to=_party(form, "To", missing=21201, invalid=21211),
        from_=_party(form, "From", missing=21213, invalid=21212),
        source=_source(form, base),
        timeout_s=float(form.seconds("Timeout", _LONGEST_RING_S) or 60),
        time_limit_s=form.seconds("TimeLimit"),
        report=_report(form),
        detection=_detection(form),
        send_digits=send_digits,
    )


def update(call: Call, form: Form) -> None:
    """Update a call as a form says.

    Raises:
        Refusal: the update is not possible; the call is unchanged.
    """
    status, inline, url = form.last.get("Status"), form.get("Twiml"), form.get("Url")
    if not call.is_live:
        raise Refusal(404, 20404, f"The call {call.call_sid} has ended")
    if status not in (None, "completed", "canceled"):
        raise Refusal(400, 20001, f"Status {status!r} is neither completed nor canceled")
    if inline and url:
        raise Refusal(400, 20001, "Twiml and Url exclude each other")
    inline = form.inline()
    if status == "canceled" and call.status not in UNANSWERED:
        raise Refusal(400, 21220, "Call is in progress. Cannot cancel.")
    if (inline or url) and not status and call.status in UNANSWERED:
        raise Refusal(400, 21220, "Call is not in-progress. Cannot redirect.")
    if status:
        call.complete(status)
    elif inline:
        call.replace(Source(call.document_url, inline=inline))
    elif url:
        call.replace(Source(url, form.get("Method", "POST").upper()))


def _party(form: Form, name: str, *, missing: int, invalid: int) -> str:
    party = form.get(name)
    if not party:
        raise Refusal(400, missing, f"No '{name}' number is specified")
    if not _E164.fullmatch(party) and not _SIP.fullmatch(party):
        raise Refusal(400, invalid, f"{name} {party!r} is not a valid phone number")
    return party


def _source(form: Form, base: str) -> Source:
    url, method = form.url("Url", 21205), form.one_of("Method", "POST", "GET")
    if url:  # Twilio: Create a call, "Twiml": ignored if Url is given
        return Source(url, method)
    inline = form.inline()
    if not inline:
        raise Refusal(400, 21205, "Url parameter is required, or Twiml")
    return Source(base, inline=inline)


def _report(form: Form) -> StatusReport | None:
    url = form.url("StatusCallback", 21609)
    method = form.one_of("StatusCallbackMethod", "POST", "GET")
    events = frozenset(form.all("StatusCallbackEvent"))
    if unknown := events - set(CALL_EVENTS):
        raise Refusal(
            400, 21626, f"StatusCallbackEvent {', '.join(sorted(unknown))} is not an event"
        )
    return StatusReport(url, method, events or frozenset({"completed"})) if url else None


def _detection(form: Form) -> Detection | None:
    mode = form.one_of("MachineDetection", "", "Enable", "DetectMessageEnd")
    url = form.url("AsyncAmdStatusCallback", 21609)
    method = form.one_of("AsyncAmdStatusCallbackMethod", "POST", "GET")
    is_async = form.one_of("AsyncAmd", "false", "true") == "true"
    return Detection(mode, url, method, is_async) if mode else None
