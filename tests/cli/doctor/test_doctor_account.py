"""What the doctor says of a Twilio account: each state of a number, and each fault."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.cli.doctor.account import check_account
from app.cli.doctor.check import Check, State
from app.simulator.twilio import Account, Fault, LoggedAlert, OwnedNumber, PhoneLine
from tests.cli.doctor.scene import (
    NUMBER,
    PUBLIC_URL,
    SID,
    TOKEN,
    configured_number,
    found,
    states,
    subject,
)

APPLICATION, TRUNK = "AP" + "2" * 32, "TK" + "3" * 32
KEY = {"twilio_api_key": "SK" + "4" * 32, "twilio_api_secret": "the secret of the key"}


@pytest.fixture
async def line() -> AsyncIterator[PhoneLine]:
    async with PhoneLine(
        "http://127.0.0.1:9/",
        account_sid=SID,
        auth_token=TOKEN,
        api_key=KEY["twilio_api_key"],
        api_secret=KEY["twilio_api_secret"],
    ) as line:
        line.account.applications[APPLICATION] = "Old voice menu"
        line.account.trunks[TRUNK] = "Office PBX"
        line.account.numbers = [configured_number()]
        yield line


async def checks_of(line: PhoneLine, folder: Path, agent: str = "", **values: Any) -> list[Check]:
    usual = {
        "twilio_account_sid": SID,
        "twilio_auth_token": TOKEN,
        "twilio_api_base_url": line.rest_url,
        "twilio_phone_number": NUMBER,
        "transfer_number": "+14155550123",
    }
    return await check_account(subject(folder, agent, **{**usual, **values}))


async def test_a_good_account_has_no_fault(line: PhoneLine, tmp_path: Path) -> None:
    checks = await checks_of(line, tmp_path)

    assert states(checks) == dict.fromkeys(
        (
            "Twilio credentials",
            "balance",
            "number",
            "caller id",
            "webhook",
            "status callback",
            "region",
            "destinations",
            "Twilio alerts",
        ),
        "ok",
    )
    assert {request.method for request in line.rest_requests} == {"GET"}


def number(**changes: Any) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        account.numbers = [configured_number(**changes)]

    return change


def account_of(**changes: Any) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        for name, value in changes.items():
            setattr(account, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "name", "state", "words", "fix"),
    [
        (account_of(status="suspended"), "Twilio credentials", "fault", "suspended", "console"),
        (account_of(status="closed"), "Twilio credentials", "fault", "closed", "console"),
        (account_of(kind="Trial"), "Twilio credentials", "warning", "trial account", "upgrade"),
        (account_of(balance="0.00"), "balance", "fault", "0.00 USD", "add credit"),
        (account_of(balance="-3.10"), "balance", "fault", "-3.10 USD", "add credit"),
        (account_of(balance="1.50"), "balance", "warning", "1.50 USD is left", "add credit"),
        (account_of(balance=""), "balance", "ok", "does not say", ""),
        (account_of(numbers=[]), "number", "fault", "does not belong", "TWILIO_PHONE_NUMBER"),
        (account_of(numbers=[]), "caller id", "fault", "21210", "TWILIO_PHONE_NUMBER"),
        (
            account_of(numbers=[], caller_ids=[NUMBER]),
            "number",
            "warning",
            "verified caller id",
            "TWILIO_PHONE_NUMBER",
        ),
        (account_of(numbers=[], caller_ids=[NUMBER]), "caller id", "ok", "verified", ""),
        (number(takes_voice=False), "number", "fault", "cannot take voice", "buy one"),
        (number(receive_mode="fax"), "number", "fault", "faxes", "app setup"),
        (number(trunk_sid=TRUNK), "webhook", "fault", "trunk Office PBX", "app setup"),
        (
            number(application_sid=APPLICATION),
            "webhook",
            "fault",
            "application Old voice menu",
            "app setup",
        ),
        (number(voice_url=""), "webhook", "fault", "has none", "app setup"),
        (
            number(voice_url="https://u:s3cret@old.example.com/incoming-call?key=s3cret"),
            "webhook",
            "fault",
            f"https://old.example.com/incoming-call, not to {PUBLIC_URL}/incoming-call",
            "app setup",
        ),
        (number(voice_url=f"{PUBLIC_URL}/incoming"), "webhook", "fault", "/incoming,", "setup"),
        (number(voice_url=f"{PUBLIC_URL}:443/incoming-call/"), "webhook", "ok", "go to", ""),
        (number(status_callback=""), "status callback", "warning", "has none", "app setup"),
        (
            number(status_callback="https://old.example.com/call-status"),
            "status callback",
            "warning",
            "old.example.com",
            "app setup",
        ),
        (number(region="ie1"), "region", "warning", "processed in ie1", "dublin.ie1.twilio.com"),
        (
            account_of(forbidden_countries={"US"}),
            "destinations",
            "fault",
            "human: the account may not call US",
            "Geo permissions",
        ),
        (account_of(kind="Trial"), "destinations", "fault", "verified numbers only", "verify it"),
    ],
)
async def test_each_state_of_the_account_is_named_with_its_fix(
    line: PhoneLine,
    tmp_path: Path,
    change: Callable[[Account], None],
    name: str,
    state: State,
    words: str,
    fix: str,
) -> None:
    change(line.account)

    check = found(await checks_of(line, tmp_path), name)

    assert (check.state, words in check.detail) == (state, True), check
    assert fix in check.fix and bool(fix) == bool(check.fix)
    assert "s3cret" not in f"{check}"


@pytest.mark.parametrize(
    ("values", "words", "fix"),
    [
        ({"twilio_auth_token": "another token"}, "TWILIO_AUTH_TOKEN", "again from https://console"),
        ({"twilio_account_sid": "AC" + "9" * 32}, "TWILIO_ACCOUNT_SID", "again from https://cons"),
        ({**KEY, "twilio_api_secret": "another"}, "TWILIO_API_SECRET", "again from https://cons"),
        ({**KEY, "twilio_auth_token": "another"}, "TWILIO_AUTH_TOKEN", "again from https://cons"),
        ({"twilio_api_base_url": "http://127.0.0.1:9"}, "cannot be reached", "TWILIO_API_BASE_URL"),
    ],
)
async def test_wrong_credentials_are_named(
    line: PhoneLine, tmp_path: Path, values: dict[str, Any], words: str, fix: str
) -> None:
    checks = await checks_of(line, tmp_path, **values)

    check = next(each for each in checks if each.state == "fault")
    assert check.check == "Twilio credentials" and words in check.detail and fix in check.fix


async def test_a_good_api_key_is_named(line: PhoneLine, tmp_path: Path) -> None:
    assert found(await checks_of(line, tmp_path, **KEY), "Twilio API key").state == "ok"


async def test_test_credentials_are_named(line: PhoneLine, tmp_path: Path) -> None:
    from tests.wires.twilio.twilio_stand_in import says, twilio_that

    async with twilio_that(says(403, 20008)) as fake:
        checks = await checks_of(line, tmp_path, twilio_api_base_url=fake.url.rstrip("/"))

    assert "test credentials" in checks[0].detail and "live ones" in checks[0].fix


async def test_without_an_account_there_is_one_line(tmp_path: Path) -> None:
    [check] = await check_account(subject(tmp_path))

    assert check.state == "warning" and "TWILIO_ACCOUNT_SID" in check.fix


async def test_the_only_number_needs_no_setting_but_for_outbound_calls(
    line: PhoneLine, tmp_path: Path
) -> None:
    checks = await checks_of(line, tmp_path, twilio_phone_number=None)

    check = found(checks, "number")
    assert (check.state, check.fix) == ("warning", f"set TWILIO_PHONE_NUMBER={NUMBER}")
    assert found(checks, "webhook").state == "ok"


async def test_of_two_numbers_one_has_to_be_chosen(line: PhoneLine, tmp_path: Path) -> None:
    line.account.numbers.append(OwnedNumber("+15550108888"))

    check = found(await checks_of(line, tmp_path, twilio_phone_number=None), "number")

    assert check.state == "warning" and "+15550108888" in check.detail
    assert found(await checks_of(line, tmp_path), "number").state == "ok"


async def test_an_account_without_a_number_is_told(line: PhoneLine, tmp_path: Path) -> None:
    line.account.numbers = []

    check = found(await checks_of(line, tmp_path, twilio_phone_number=None), "number")

    assert check.state == "fault" and "buy one" in check.fix


async def test_a_region_of_twilios_own_is_compared(line: PhoneLine, tmp_path: Path) -> None:
    from app.cli.doctor.number import rest_region

    for url, region in {
        "https://api.twilio.com": "us1",
        "https://api.dublin.ie1.twilio.com": "ie1",
        "https://api.ie1.twilio.com": "ie1",
        "http://127.0.0.1:1": "",
    }.items():
        assert rest_region(subject(tmp_path, twilio_api_base_url=url).settings) == region


@pytest.mark.parametrize(
    ("number_", "words"),
    [("+15550100001", "no range"), ("+19005550123", "premium-rate")],
)
async def test_a_destination_that_cannot_be_meant_is_named(
    line: PhoneLine, tmp_path: Path, number_: str, words: str
) -> None:
    check = found(await checks_of(line, tmp_path, transfer_number=number_), "destinations")

    assert check.state == "warning" and words in check.detail


async def test_without_destinations_callers_cannot_be_transferred(
    line: PhoneLine, tmp_path: Path
) -> None:
    check = found(await checks_of(line, tmp_path, transfer_number=None), "destinations")

    assert check.state == "warning" and "TRANSFER_NUMBER" in check.fix


async def test_a_sip_destination_needs_no_permission(line: PhoneLine, tmp_path: Path) -> None:
    line.account.forbidden_countries = {"US"}
    agent = '[[transfer.destinations]]\nname = "desk"\nsip = "sip:desk@example.com"\n'

    assert found(await checks_of(line, tmp_path, agent), "destinations").state == "ok"


async def test_a_number_at_the_address_that_ngrok_has_now_needs_no_setup(
    line: PhoneLine, tmp_path: Path
) -> None:
    url = "https://new.ngrok.app"
    line.account.numbers = [configured_number(voice_url=f"{url}/incoming-call")]
    values = {"twilio_account_sid": SID, "twilio_auth_token": TOKEN}
    checked = subject(tmp_path, twilio_api_base_url=line.rest_url, **values)

    check = found(await check_account(replace(checked, ngrok_url=url)), "webhook")

    assert check.fix == f"set PUBLIC_URL to {url}, where ngrok runs now"


async def test_a_base_url_of_twilio_with_a_path_is_no_fault_of_the_credentials(
    line: PhoneLine, tmp_path: Path
) -> None:
    url = f"{line.rest_url}/2010-04-01"
    [check] = await checks_of(line, tmp_path, twilio_api_base_url=url)

    assert check.state == "fault" and "TWILIO_API_BASE_URL" in check.detail + check.fix
    assert "AUTH_TOKEN" not in check.fix


# --- alerts ---------------------------------------------------------------------------------------


async def test_the_last_alerts_are_explained(line: PhoneLine, tmp_path: Path) -> None:
    url, now = f"{PUBLIC_URL}/incoming-call", datetime.now(UTC)
    line.account.alerts = [
        LoggedAlert(11200, f"{url}?secret=1", at=now - timedelta(minutes=5)),
        LoggedAlert(11200, url, at=now - timedelta(hours=2)),
        LoggedAlert(31920, at=now - timedelta(minutes=1)),
        LoggedAlert(64999, "https://old.ngrok.app/incoming-call", at=now - timedelta(hours=3)),
        LoggedAlert(12100, "https://shop.example.com/other"),
        LoggedAlert(11205, url, at=now - timedelta(days=2)),
        LoggedAlert(11206, url, level="debug"),
    ]

    alerts = [each for each in await checks_of(line, tmp_path) if each.check == "Twilio alerts"]

    assert [each.detail[:5] for each in alerts] == ["11200", "31920", "64999"]
    assert "2 in the last 24 hours" in alerts[0].detail and "secret" not in alerts[0].detail
    assert "PUBLIC_URL" in alerts[0].fix and "Upgrade" in alerts[1].fix
    assert "api/errors/64999" in alerts[2].fix
    assert {each.state for each in alerts} == {"warning"}


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/Alerts", "Twilio alerts"), ("Balance", "balance"), ("/v2/", "region"),
     ("IncomingPhoneNumbers", "number")],
)  # fmt: skip
async def test_one_part_of_twilio_that_is_down_hides_no_other(
    line: PhoneLine, tmp_path: Path, path: str, name: str
) -> None:
    line.rest_faults.append(Fault(503, times=9, path=path))

    checks = await checks_of(line, tmp_path)

    assert found(checks, name).state != "ok"
    assert found(checks, "destinations").state == "ok"
