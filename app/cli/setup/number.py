"""The number that `setup` configures: which one, what changes, and what is in the way."""

from collections.abc import Awaitable, Callable

from rich.table import Table
from rich.text import Text

from app.config.phone_number import is_number
from app.errors import ConfigError
from app.records.visible import one_line
from app.wires.twilio.account import PhoneNumber, TwilioAccount, VoiceConfig

Choose = Callable[[list[PhoneNumber]], PhoneNumber]
"""Asks which of several numbers is meant."""

_NONE = "—"
_BUY = "buy one with voice on https://console.twilio.com, Phone Numbers"


async def chosen_number(
    account: TwilioAccount, wanted: str, named_by: str, choose: Choose | None
) -> PhoneNumber:
    """The number to configure.

    Args:
        wanted: E.164; empty: the account's only one, or the one that `choose` returns.
        named_by: where `wanted` is from, for messages.
        choose: None: do not ask.

    Raises:
        ConfigError: the account has no such number, or several.
        TwilioError: Twilio refuses the request.
    """
    numbers = await account.numbers(wanted)
    if wanted and not numbers:
        owned = ", ".join(each.number for each in (await account.numbers())[:5])
        has = f"it has {owned}" if owned else f"it has none: {_BUY}"
        what = (
            "is a verified caller id, and calls to it do not pass Twilio"
            if await account.is_verified_caller_id(wanted)
            else "does not belong to the account"
        )
        raise ConfigError(f"{named_by}: {wanted} {what}; {has}")
    if not numbers:
        raise ConfigError(f"the account has no number; {_BUY}")
    if len(numbers) == 1:
        number = numbers[0]
    elif choose is not None:
        number = choose(numbers)
    else:
        listed = ", ".join(each.number for each in numbers[:5])
        raise ConfigError(
            f"the account has {len(numbers)} numbers: {listed}; name one, as in "
            f"python -m app setup {numbers[0].number}, or set TWILIO_PHONE_NUMBER"
        )
    if not number.takes_voice:
        raise ConfigError(f"{number.number} cannot take voice calls; {_BUY}")
    return number


def checked_number(number: str) -> str:
    """An argument as E.164: spaces, dots, brackets and hyphens are removed.

    Raises:
        ConfigError: it is no number.
    """
    plain = "".join(each for each in number if each not in " ().-/")
    if not is_number(plain):
        raise ConfigError(f"{number}: expected a number in E.164, such as +14155550100")
    return plain


async def changes(
    account: TwilioAccount, number: PhoneNumber, after: VoiceConfig
) -> tuple[Table, list[str]]:
    """What changes, as a table of before and after, and what the owner should know about it."""
    before = number.voice
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in (number.number, "before", "after"):
        table.add_column(column, overflow="fold")
    rows = {
        "A call comes in": (_hook(before.voice_url, before.voice_method),
                            _hook(after.voice_url, after.voice_method)),
        "Call status changes": (_hook(before.status_callback, before.status_callback_method),
                                _hook(after.status_callback, after.status_callback_method)),
        "Application": (await _named(account.application, before.application_sid),
                        await _named(account.application, after.application_sid)),
        "SIP trunk": (await _named(account.trunk, before.trunk_sid),
                      await _named(account.trunk, after.trunk_sid)),
        "Receives": (before.receive_mode, after.receive_mode),
    }  # fmt: skip
    always = ("A call comes in", "Call status changes")
    for name, (was, becomes) in rows.items():
        if was != becomes or name in always:
            style = "" if was == becomes else "bold"
            table.add_row(name, Text(one_line(was)), Text(one_line(becomes), style=style))
    notes = []
    if before.trunk_sid and not after.trunk_sid:
        notes.append("The number leaves the SIP trunk: its calls no longer go to your PBX.")
    if before.application_sid and not after.application_sid:
        notes.append("The number leaves the application: its calls no longer go there.")
    return table, notes


def _hook(url: str, method: str) -> str:
    return f"{url}  HTTP {method}" if url else _NONE


async def _named(read: Callable[[str], Awaitable[str]], sid: str) -> str:
    if not sid:
        return _NONE
    name = await read(sid)
    return f"{name} ({sid})" if name else sid
