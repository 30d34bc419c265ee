"""Checks of the number: whose it is, where its calls go, and where they are processed."""

from urllib.parse import SplitResult, urlsplit

from app.cli.doctor.check import Check, Subject, fault, ok, warning
from app.config.settings import Settings
from app.errors import TwilioError
from app.wires.twilio.account import (
    DEFAULT_REGION,
    PhoneNumber,
    TwilioAccount,
    VoiceConfig,
    pointing_to,
)

_SETUP = "run: python -m app setup"
_NUMBER, _WEBHOOK, _CALLER_ID = "number", "webhook", "caller id"
_BUY = "buy one with voice on https://console.twilio.com, Phone Numbers"


async def check_number(account: TwilioAccount, subject: Subject) -> list[Check]:
    """The number of TWILIO_PHONE_NUMBER, or the account's only one."""
    try:
        return await _checked(account, subject)
    except TwilioError as error:
        detail, _, fix = str(error).partition("; ")
        return [fault(_NUMBER, detail, fix)]


async def _checked(account: TwilioAccount, subject: Subject) -> list[Check]:
    wanted = subject.settings.twilio_phone_number
    numbers = await account.numbers(wanted or "")
    if wanted and not numbers:
        return await _not_owned(account, wanted)
    if not numbers:
        return [fault(_NUMBER, "the account has no number", _BUY)]
    if len(numbers) > 1:
        listed = ", ".join(each.number for each in numbers[:5])
        fix = "set TWILIO_PHONE_NUMBER to the one that the agent answers"
        return [warning(_NUMBER, f"the account has {len(numbers)}: {listed}", fix)]
    number = numbers[0]
    checks = [_own(number, wanted)]
    if checks[0].state == "fault":
        return checks
    if wanted:
        checks.append(ok(_CALLER_ID, f"outbound calls show {wanted}, which the account owns"))
    checks += [
        await _webhook(account, number, subject),
        *_status_callback(number.voice, subject.public_url),
        await _region(account, number, subject.settings),
    ]
    return checks


async def _not_owned(account: TwilioAccount, number: str) -> list[Check]:
    fix = "set TWILIO_PHONE_NUMBER to a number of the account, as python -m app setup lists them"
    if await account.is_verified_caller_id(number):
        detail = f"{number} is a verified caller id, so calls to it do not reach the agent"
        return [
            warning(_NUMBER, detail, fix),
            ok(_CALLER_ID, f"outbound calls show {number}, a verified caller id"),
        ]
    detail = f"{number} is neither a number of the account nor a verified caller id"
    return [
        fault(_NUMBER, f"{number} does not belong to the account", fix),
        fault(_CALLER_ID, f"{detail}, so Twilio refuses outbound calls (21210)", fix),
    ]


def _own(number: PhoneNumber, wanted: str | None) -> Check:
    if not number.takes_voice:
        return fault(_NUMBER, f"{number.number} cannot take voice calls", _BUY)
    if number.voice.receive_mode == "fax":
        return fault(_NUMBER, f"{number.number} is set to receive faxes", _SETUP)
    if not wanted:
        fix = f"set TWILIO_PHONE_NUMBER={number.number}"
        detail = f"{number.number}; without TWILIO_PHONE_NUMBER the agent places no calls"
        return warning(_NUMBER, detail, fix)
    return ok(_NUMBER, f"{number.number} belongs to the account")


# --- where its calls go ---------------------------------------------------------------------------


async def _webhook(account: TwilioAccount, number: PhoneNumber, subject: Subject) -> Check:
    voice, public_url = number.voice, subject.public_url
    if voice.trunk_sid:
        name = await account.trunk(voice.trunk_sid)
        detail = f"the SIP trunk {name or voice.trunk_sid} takes the calls, not the webhook"
        return fault(_WEBHOOK, detail, f"{_SETUP}, which takes the number out of the trunk")
    if voice.application_sid:
        name = await account.application(voice.application_sid)
        detail = f"the application {name or voice.application_sid} takes the calls, not the webhook"
        return fault(_WEBHOOK, detail, f"{_SETUP}, which takes the number out of the application")
    if not voice.voice_url:
        return fault(_WEBHOOK, "the number has none, so callers hear an error message", _SETUP)
    if not public_url:
        fix = "set PUBLIC_URL, so that it can be compared"
        return warning(_WEBHOOK, f"calls go to {_shown(voice.voice_url)}", fix)
    expected = pointing_to(voice, public_url).voice_url
    if not _same(voice.voice_url, expected):
        detail = f"calls go to {_shown(voice.voice_url)}, not to {expected}"
        ngrok = subject.other_ngrok
        if ngrok and _same(voice.voice_url, pointing_to(voice, ngrok).voice_url):
            return fault(_WEBHOOK, detail, f"set PUBLIC_URL to {ngrok}, where ngrok runs now")
        return fault(_WEBHOOK, detail, _SETUP)
    return ok(_WEBHOOK, f"calls go to {expected}, HTTP {voice.voice_method}")


def _status_callback(voice: VoiceConfig, public_url: str) -> list[Check]:
    name = "status callback"
    if voice.trunk_sid or voice.application_sid:
        return []
    effect = "so a call that is hung up while it rings ends late in its record"
    if not voice.status_callback:
        return [warning(name, f"the number has none, {effect}", _SETUP)]
    if not public_url:
        return []
    expected = pointing_to(voice, public_url).status_callback
    if not _same(voice.status_callback, expected):
        shown = _shown(voice.status_callback)
        return [warning(name, f"it goes to {shown}, not to {expected}, {effect}", _SETUP)]
    return [ok(name, f"it goes to {expected}")]


def _same(url: str, expected: str) -> bool:
    """Whether two URLs lead to the same route: case of the host, default ports and a slash at the
    end change nothing."""
    return _parts(urlsplit(url)) == _parts(urlsplit(expected))


def _parts(parts: SplitResult) -> tuple[str, str, int, str]:
    default = 443 if parts.scheme == "https" else 80
    try:
        port = parts.port or default
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/")


def _shown(url: str) -> str:
    """Without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# --- where its calls are processed ----------------------------------------------------------------


async def _region(account: TwilioAccount, number: PhoneNumber, settings: Settings) -> Check:
    name = "region"
    try:
        region = await account.region(number.number)
    except TwilioError as error:
        detail, _, fix = str(error).partition("; ")
        return warning(name, detail, fix)
    rest = rest_region(settings)
    if region == (rest or DEFAULT_REGION):
        return ok(name, f"calls are processed in {region}")
    detail = f"calls are processed in {region}, and REST requests go to {rest or 'another host'}"
    fix = (
        f"set TWILIO_API_BASE_URL to https://api.{_EDGES.get(region, 'EDGE')}.{region}.twilio.com "
        "and TWILIO_AUTH_TOKEN to the token of that region, or route the number to "
        f"{rest or DEFAULT_REGION} in the console"
    )
    if not rest:
        return warning(name, detail, fix)
    return fault(name, f"{detail}, so hang-ups and transfers fail", fix)


_EDGES = {"us1": "ashburn", "ie1": "dublin", "au1": "sydney"}


def rest_region(settings: Settings) -> str:
    """The region of TWILIO_API_BASE_URL; empty: it is not an address of Twilio's."""
    labels = (urlsplit(settings.twilio_api_base_url).hostname or "").split(".")
    if labels[-2:] != ["twilio", "com"] or labels[0] != "api":
        return ""
    return labels[-3] if len(labels) > 3 else DEFAULT_REGION
