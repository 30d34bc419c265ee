"""Checks of the Twilio account: credentials, credit, number, webhooks, destinations and alerts."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from app.cli.doctor.check import Check, Subject, fault, ok, warning
from app.cli.doctor.destinations import check_destinations
from app.cli.doctor.number import check_number
from app.cli.twilio_account import open_account
from app.config.twilio_errors import explained
from app.errors import TwilioError
from app.wires.twilio.account import AccountState, Alert, TwilioAccount

_CREDENTIALS = "Twilio credentials"
_LOW = 5.0
_MOST_CODES = 5
_ALERTS = timedelta(hours=24)
_CONSOLE = "https://console.twilio.com"
_LEVELS = ("error", "warning")
_TEST_CREDENTIALS = 20008


async def check_account(subject: Subject) -> list[Check]:
    """All checks that ask Twilio's REST API."""
    settings = subject.settings
    if settings.twilio_account_sid is None or settings.twilio_auth_token is None:
        fix = f"copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN from {_CONSOLE} into .env"
        return [warning(_CREDENTIALS, "there is no Twilio account, so no phone call comes in", fix)]
    # The auth token, which signs webhooks, shows whether it is right by signing in.
    by_token = open_account(settings, by_token=True)
    account, base_url = open_account(settings), settings.twilio_api_base_url
    try:
        try:
            state = await by_token.state()
        except TwilioError as error:
            return [_refused(error, "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN", base_url)]
        checks = [_state(state)]
        if settings.twilio_api_key is not None:
            try:
                await account.numbers(settings.twilio_phone_number or "")
            except TwilioError as error:
                names = "TWILIO_API_KEY and TWILIO_API_SECRET"
                return [*checks, _refused(error, names, base_url)]
            checks.append(ok("Twilio API key", "Twilio accepts it"))
        if any(each.state == "fault" for each in checks):
            return checks
        groups = await asyncio.gather(
            _balance(account),
            check_number(account, subject),
            check_destinations(account, subject, is_trial=state.is_trial),
            _alerts(account, subject),
        )
        return [*checks, *(each for group in groups for each in group)]
    finally:
        await by_token.aclose()
        await account.aclose()


def _refused(error: TwilioError, names: str, base_url: str) -> Check:
    if error.status is None:
        fix = "check the network of this machine, and TWILIO_API_BASE_URL"
        return fault(_CREDENTIALS, str(error).partition("; ")[0], fix)
    if error.code == _TEST_CREDENTIALS:
        fix = f"copy the live ones from {_CONSOLE}, Account info"
        return fault(_CREDENTIALS, f"{names} are Twilio's test credentials", fix)
    path = urlsplit(base_url).path
    foreign = error.code is None and error.status < 500 and error.status not in (401, 403, 429)
    if foreign or (error.status == 404 and path):
        fix = "set TWILIO_API_BASE_URL to https://api.twilio.com, with no path"
        detail = f"TWILIO_API_BASE_URL does not lead to Twilio's REST API: HTTP {error.status}"
        return fault(_CREDENTIALS, detail, fix)
    if error.status in (401, 403, 404):
        fix = f"copy {names} again from {_CONSOLE}; a region has credentials of its own"
        return fault(_CREDENTIALS, f"Twilio does not accept {names}", fix)
    return fault(_CREDENTIALS, *_parts(str(error)))


def _parts(message: str) -> tuple[str, str]:
    detail, _, fix = message.partition("; ")
    return detail, fix


def _state(state: AccountState) -> Check:
    if state.status != "active":
        fix = f"see why on {_CONSOLE}: an unpaid bill, or a review by Twilio"
        return fault(_CREDENTIALS, f"the account {state.name} is {state.status}", fix)
    if state.is_trial:
        detail = (
            f"{state.name} is a trial account: callers hear a notice first, and it calls verified "
            "numbers only"
        )
        return warning(_CREDENTIALS, detail, f"upgrade it on {_CONSOLE}")
    return ok(_CREDENTIALS, f"Twilio accepts them: {state.name}")


async def _balance(account: TwilioAccount) -> list[Check]:
    name = "balance"
    try:
        found = await account.balance()
    except TwilioError as error:
        return [warning(name, *_parts(str(error)))]
    if found is None:
        return [ok(name, "Twilio does not say; subaccounts have none of their own")]
    text, fix = f"{found.amount:.2f} {found.currency}", f"add credit on {_CONSOLE}, Billing"
    if found.amount <= 0:
        return [fault(name, f"{text}: Twilio connects no calls", fix)]
    if found.amount < _LOW:
        return [warning(name, f"{text} is left", fix)]
    return [ok(name, text)]


# --- alerts ---------------------------------------------------------------------------------------


async def _alerts(account: TwilioAccount, subject: Subject) -> list[Check]:
    """A line for each error code of the last day, the most frequent first."""
    name = "Twilio alerts"
    try:
        found = await account.alerts(datetime.now(UTC) - _ALERTS)
    except TwilioError as error:
        return [warning(name, *_parts(str(error)))]
    host = urlsplit(subject.public_url).hostname or ""
    found = [each for each in found if each.level in _LEVELS and _concerns(each, host, subject)]
    if not found:
        return [ok(name, "none in the last 24 hours")]
    counted = Counter(each.code for each in found)
    return [_alert(name, code, found) for code, _ in counted.most_common(_MOST_CODES)]


def _concerns(alert: Alert, host: str, subject: Subject) -> bool:
    """Whether an alert may be about this service. One about another host may be about an address
    that it had before, as a tunnel's: then the path is one of its own."""
    asked = urlsplit(alert.url)
    prefix = urlsplit(subject.public_url).path.rstrip("/")
    own = ("/incoming-call", "/call-status", "/media-stream", "/stream-ended", "/outgoing-call",
           "/transfers")  # fmt: skip
    return (
        not alert.url or asked.hostname == host or asked.path.removeprefix(prefix).startswith(own)
    )


def _alert(name: str, code: int, alerts: list[Alert]) -> Check:
    of_code = [each for each in alerts if each.code == code]
    times = [each.at for each in of_code if each.at is not None]
    last = f", last at {max(times):%Y-%m-%d %H:%M} UTC" if times else ""
    urls = [each.url.partition("?")[0] for each in of_code if each.url]
    where = f" ({urls[0]})" if urls else ""
    entry = explained(code)
    detail = f"{code}: {entry.means}{where}; {len(of_code)} in the last 24 hours{last}"
    return warning(name, detail, entry.fix)
