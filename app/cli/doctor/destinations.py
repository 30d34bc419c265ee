"""Checks of the numbers that callers are transferred to."""

import phonenumbers
from phonenumbers import PhoneNumberType

from app.cli.doctor.check import Check, Subject, fault, ok, warning
from app.config.phone_number import country, is_number
from app.errors import TwilioError
from app.wires.twilio.account import TwilioAccount

_NAME = "destinations"
_EXPENSIVE = (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST)


async def check_destinations(
    account: TwilioAccount, subject: Subject, *, is_trial: bool
) -> list[Check]:
    """A line for each destination that cannot be dialled, or one for all of them.

    `is_trial`: the account calls verified numbers only.
    """
    destinations = subject.agent.agent.destinations
    if not destinations:
        where = subject.agent_file
        fix = f"set TRANSFER_NUMBER, or write [[transfer.destinations]] into {where}"
        return [warning(_NAME, "callers cannot be transferred to a human", fix)]
    checks = [
        found
        for each in destinations
        if is_number(each.address)
        and (found := await _fault(account, each.name, each.address, is_trial=is_trial))
    ]
    names = ", ".join(each.name for each in destinations)
    return checks or [ok(_NAME, f"{names}: every number can be dialled")]


async def _fault(account: TwilioAccount, name: str, number: str, *, is_trial: bool) -> Check | None:
    """What is wrong with the number of a destination; None: nothing."""
    parsed = phonenumbers.parse(number)
    correct = "correct TRANSFER_NUMBER, or its number in [[transfer.destinations]]"
    if not phonenumbers.is_valid_number(parsed):
        detail = f"{name}: {number} is in no range of numbers in use"
        return warning(_NAME, detail, f"{correct}, if it is not one for tests")
    if phonenumbers.number_type(parsed) in _EXPENSIVE:
        return warning(_NAME, f"{name}: {number} is a premium-rate number", correct)
    try:
        if not await account.may_call(country(number)):
            detail = f"{name}: the account may not call {country(number)} (13227)"
            fix = "allow it: https://console.twilio.com, Voice, Settings, Geo permissions"
            return fault(_NAME, detail, fix)
        if is_trial and not await account.is_verified_caller_id(number):
            detail = f"{name}: a trial account calls verified numbers only, and {number} is none"
            fix = "verify it as a caller id, or upgrade the account: https://console.twilio.com"
            return fault(_NAME, detail, fix)
    except TwilioError as error:
        detail, _, fix = str(error).partition("; ")
        return warning(_NAME, detail, fix)
    return None
