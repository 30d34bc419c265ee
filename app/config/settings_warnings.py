"""Settings that are accepted and probably wrong: one line each, which names the variable."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pydantic import SecretStr

from app.call.destinations import Destination
from app.config.leftovers import has_comment, has_lone_quote
from app.config.settings import Settings
from app.config.url_warnings import is_openai, url_warnings
from app.wires.realtime.endpoint import has_credential

_SID = re.compile(r"(AC|SK)[0-9a-fA-F]{32}")
_PLACEHOLDER = re.compile(
    r"\.\.\.|…|^<.*>$|^\[.*\]$|^\{.*\}$|x{6,}|^(your|my)[-_ ]|change[-_ ]?me|placeholder"
    r"|^(api[-_ ]?)?(key|token|secret)$",
    re.IGNORECASE,
)
_BLANK_INSIDE = re.compile(r"\s")
_REPEATED = re.compile(r"(.+?)\1+", re.DOTALL)

#: Characters that a credential has at least, whoever gives it to the owner.
LEAST_OF_CREDENTIAL = 8
#: Characters that a secret of the owner's own making has at least.
LEAST_CHARACTERS = 16
#: How many of them differ at least.
LEAST_DIFFERENT = 5
#: The share of characters that may continue a sequence such as 123 or cba.
MOST_IN_SEQUENCE = 0.7

#: Identifiers and secrets that others gave to the owner.
_CREDENTIALS = (
    "openai_api_key",
    "twilio_account_sid",
    "twilio_auth_token",
    "twilio_api_key",
    "twilio_api_secret",
    "dashscope_api_key",
    "volcengine_app_id",
    "volcengine_access_token",
    "volcengine_api_key",
    "http_voice_token",
)
#: Those with a check of their own.
_SIDS = ("twilio_account_sid", "twilio_api_key")
#: Secrets that the owner makes up.
_OWN_SECRETS = ("api_token", "metrics_token", "stream_audio_token", "call_webhook_secret")
_PATHS = ("agent_file", "prices_file", "recordings_dir", "spool_dir")


def settings_warnings(
    settings: Settings, destinations: Sequence[Destination] = (), agent_file: str = ""
) -> list[str]:
    """One line for each setting that is probably wrong, `VARIABLE: …`. No line shows a secret.

    Args:
        settings: as loaded.
        destinations: those of the agent file, or the one that TRANSFER_NUMBER makes.
        agent_file: its path, for messages.
    """
    return [
        *_twilio_warnings(settings),
        *_credential_warnings(settings),
        *_secret_warnings(settings),
        *url_warnings(settings),
        *_number_warnings(settings, destinations, agent_file),
        *_text_warnings(settings),
    ]


def _value(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value is None else str(value)


# --- credentials ----------------------------------------------------------------------------------


def _twilio_warnings(settings: Settings) -> Iterator[str]:
    yield from _pair_warnings(
        settings,
        ("twilio_account_sid", "AC", "account SID"),
        ("twilio_auth_token", "auth token"),
        "expected AC and 32 of the characters 0-9 a-f, as https://console.twilio.com shows it",
        "copy the token from https://console.twilio.com, Account info",
    )
    yield from _pair_warnings(
        settings,
        ("twilio_api_key", "SK", "SID of an API key"),
        ("twilio_api_secret", "secret"),
        "expected SK and 32 of the characters 0-9 a-f",
        "Twilio shows the secret once, when the API key is made",
    )


def _pair_warnings(
    settings: Settings,
    sid_name: tuple[str, str, str],
    secret_name: tuple[str, str],
    sid_fix: str,
    secret_fix: str,
) -> Iterator[str]:
    """Warnings about a SID and the secret that belongs to it.

    Args:
        sid_name: the field, the prefix of such SIDs, and what they are.
        secret_name: the field, and what it holds.
        sid_fix, secret_fix: what to do when the one or the other is of another kind.
    """
    (sid_field, prefix, sid_kind), (secret_field, secret_kind) = sid_name, secret_name
    sid, secret = _value(settings, sid_field), _value(settings, secret_field)
    if sid and secret and not _is_sid(sid, prefix) and _is_sid(secret, prefix):
        yield (
            f"{sid_field.upper()}: probably swapped with {secret_field.upper()}, which looks like "
            f"the {sid_kind}; swap them"
        )
        return
    if sid and not _is_sid(sid, prefix) and not _PLACEHOLDER.search(sid):
        yield f"{sid_field.upper()}: probably no {sid_kind}; {sid_fix}"
    if _SID.fullmatch(secret):
        yield (
            f"{secret_field.upper()}: probably no {secret_kind}, because it looks like a SID; "
            f"{secret_fix}"
        )


def _is_sid(value: str, prefix: str) -> bool:
    return value.startswith(prefix) and bool(_SID.fullmatch(value))


def _credential_warnings(settings: Settings) -> Iterator[str]:
    for name in _CREDENTIALS:
        value = _value(settings, name)
        if value and _PLACEHOLDER.search(value):
            yield f"{name.upper()}: probably a placeholder; put the real value in its place"
        elif value and len(value) < LEAST_OF_CREDENTIAL and name not in _SIDS:
            # Servers of others, such as one on the owner's machine, often take any key.
            if name != "openai_api_key" or is_openai(settings.openai_base_url):
                yield (
                    f"{name.upper()}: probably not whole; expected at least {LEAST_OF_CREDENTIAL} "
                    "characters, so copy it again"
                )
    if _SID.fullmatch(_value(settings, "openai_api_key")):
        yield "OPENAI_API_KEY: probably a SID of Twilio's; expected a key for OPENAI_BASE_URL"
    for header, value in settings.endpoint.headers:
        if has_credential(((header, value),)) and _PLACEHOLDER.search(value.split()[-1]):
            yield "OPENAI_API_HEADERS: probably a placeholder; put the real key in its place"


def _secret_warnings(settings: Settings) -> Iterator[str]:
    given = {name: _value(settings, name) for name in _CREDENTIALS}
    for name in _OWN_SECRETS:
        value = _value(settings, name)
        if not value:
            continue
        reused = next((other for other, taken in given.items() if taken == value), "")
        if reused:
            yield (
                f"{name.upper()}: the same value as {reused.upper()}; whoever has one has both, so "
                "make another, such as by: openssl rand -hex 24"
            )
        elif _is_guessable(value):
            yield (
                f"{name.upper()}: easy to guess; expected at least {LEAST_CHARACTERS} random "
                "characters, such as by: openssl rand -hex 24"
            )
        elif _PLACEHOLDER.search(value):
            yield f"{name.upper()}: probably a placeholder; put a random value in its place"


def _is_guessable(secret: str) -> bool:
    """Whether a secret is short, the same few characters, repeated, or a sequence."""
    if len(secret) < LEAST_CHARACTERS or len({*secret}) < LEAST_DIFFERENT:
        return True
    steps = [ord(after) - ord(before) for before, after in pairwise(secret)]
    in_sequence = max(steps.count(1), steps.count(-1)) / len(steps)
    return in_sequence > MOST_IN_SEQUENCE or bool(_REPEATED.fullmatch(secret))


# --- numbers --------------------------------------------------------------------------------------


def _number_warnings(
    settings: Settings, destinations: Sequence[Destination], agent_file: str
) -> Iterator[str]:
    ours = settings.twilio_phone_number
    if ours is None:
        return
    again = "callers would reach the agent again; expected the number of a human"
    if settings.transfer_number == ours:
        yield f"TRANSFER_NUMBER: the same number as TWILIO_PHONE_NUMBER; {again}"
        return
    for each in destinations:
        if each.address == ours:
            yield (
                f"{agent_file}: transfer.destinations: the number of {each.name!r} is "
                f"TWILIO_PHONE_NUMBER itself; {again}"
            )


# --- every variable -------------------------------------------------------------------------------


def _text_warnings(settings: Settings) -> Iterator[str]:
    for name in (*_CREDENTIALS, *_OWN_SECRETS):
        value = _value(settings, name)
        if _BLANK_INSIDE.search(value) and name != "call_webhook_secret":
            yield f"{name.upper()}: has a space or a line break inside; expected one word"
        if has_lone_quote(value):
            yield f"{name.upper()}: begins or ends with a quote that has no partner; remove it"
    for name in _PATHS:
        if has_comment(_value(settings, name)):
            yield f"{name.upper()}: has a # behind a space; if that is a comment, remove it"
