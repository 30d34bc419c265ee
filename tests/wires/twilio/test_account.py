"""Reading and configuring the account over REST, against the simulated account."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import TwilioError
from app.simulator.twilio import Fault, LoggedAlert, OwnedNumber, PhoneLine
from app.wires.twilio.account import Balance, TwilioAccount, VoiceConfig, pointing_to
from app.wires.twilio.rest_http import base_of
from tests.wires.twilio.twilio_stand_in import says_html, says_json, twilio_that

SID, TOKEN, NUMBER = "AC" + "1" * 32, "s3cret-t0ken", "+15550109999"
APPLICATION, TRUNK = "AP" + "2" * 32, "TK" + "3" * 32


@pytest.fixture
async def line() -> AsyncIterator[PhoneLine]:
    async with PhoneLine("http://127.0.0.1:9/", account_sid=SID, auth_token=TOKEN) as line:
        line.account.applications[APPLICATION] = "Old voice menu"
        line.account.trunks[TRUNK] = "Office PBX"
        line.account.numbers.append(OwnedNumber(NUMBER))
        yield line


@pytest.fixture
async def account(line: PhoneLine) -> AsyncIterator[TwilioAccount]:
    client = TwilioAccount(SID, SID, TOKEN, line.rest_url)
    yield client
    await client.aclose()


async def test_the_account_and_its_credit_are_read(line: PhoneLine, account: TwilioAccount) -> None:
    state = await account.state()

    assert (state.name, state.status, state.is_trial) == ("Tester's account", "active", False)
    assert await account.balance() == Balance(20.0, "USD")
    line.account.balance = ""  # as a subaccount
    assert await account.balance() is None


async def test_a_number_is_found_by_the_whole_of_it(
    line: PhoneLine, account: TwilioAccount
) -> None:
    line.account.numbers.append(OwnedNumber("+155501099991"))

    assert [each.number for each in await account.numbers(NUMBER)] == [NUMBER]
    assert await account.numbers("+15550") == []
    assert len(await account.numbers()) == 2


async def test_numbers_of_every_page_are_read(line: PhoneLine, account: TwilioAccount) -> None:
    line.account.numbers = [OwnedNumber(f"+1555010{n:04}") for n in range(120)]

    assert len(await account.numbers()) == 120


async def test_a_number_is_pointed_to_the_service_and_back(account: TwilioAccount) -> None:
    [number] = await account.numbers(NUMBER)
    wanted = pointing_to(number.voice, "https://bridge.example.com/")

    configured = await account.configure(number, wanted)

    assert configured.voice == wanted
    assert wanted.voice_url == "https://bridge.example.com/incoming-call"
    assert wanted.status_callback == "https://bridge.example.com/call-status"
    assert (await account.configure(configured, number.voice)).voice == VoiceConfig()


@pytest.mark.parametrize("field", ["application_sid", "trunk_sid"])
async def test_what_is_in_the_way_of_the_webhook_is_removed_and_put_back(
    line: PhoneLine, account: TwilioAccount, field: str
) -> None:
    sid = APPLICATION if field == "application_sid" else TRUNK
    setattr(line.account.numbers[0], field, sid)
    [number] = await account.numbers(NUMBER)

    configured = await account.configure(number, pointing_to(number.voice, "https://example.com"))

    assert getattr(configured.voice, field) == ""
    assert await account.configure(configured, number.voice) == number


async def test_an_application_and_a_trunk_have_names(account: TwilioAccount) -> None:
    assert await account.application(APPLICATION) == "Old voice menu"
    assert await account.trunk(TRUNK) == "Office PBX"
    assert await account.application("AP" + "9" * 32) == ""
    assert await account.trunk("TK" + "9" * 32) == ""


async def test_calls_are_processed_in_the_united_states_by_default(
    line: PhoneLine, account: TwilioAccount
) -> None:
    assert await account.region(NUMBER) == "us1"
    line.account.numbers[0].region = "ie1"
    assert await account.region(NUMBER) == "ie1"


async def test_caller_ids_count_when_they_are_verified(
    line: PhoneLine, account: TwilioAccount
) -> None:
    line.account.caller_ids = ["+493012345678"]

    assert await account.is_verified_caller_id("+493012345678")
    assert not await account.is_verified_caller_id("+4930123456789")


async def test_the_last_alerts_are_read(line: PhoneLine, account: TwilioAccount) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    line.account.alerts = [
        LoggedAlert(11200, "https://example.com/incoming-call", at=now - timedelta(hours=1)),
        LoggedAlert(31920, at=now),
        LoggedAlert(12100, at=now - timedelta(days=3)),
    ]

    alerts = await account.alerts(now - timedelta(days=1))

    assert [each.code for each in alerts] == [31920, 11200]
    assert alerts[1].url == "https://example.com/incoming-call" and alerts[0].at == now


async def test_alerts_of_every_page_are_read(line: PhoneLine, account: TwilioAccount) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    line.account.alerts = [LoggedAlert(11200, at=now - timedelta(seconds=n)) for n in range(130)]

    alerts = await account.alerts(now - timedelta(days=1))

    assert [each.at for each in alerts] == [now - timedelta(seconds=n) for n in range(130)]


@pytest.mark.parametrize("asked", ["state", "numbers", "balance"])
async def test_wrong_credentials_are_named_whatever_is_asked(line: PhoneLine, asked: str) -> None:
    client = TwilioAccount(SID, SID, "another token", line.rest_url)

    with pytest.raises(TwilioError, match="check TWILIO_ACCOUNT_SID") as refused:
        await getattr(client, asked)()

    await client.aclose()
    assert (refused.value.status, refused.value.code) == (401, 20003)


async def test_a_failure_of_twilio_is_tried_again(line: PhoneLine, account: TwilioAccount) -> None:
    line.rest_faults.append(Fault(503))

    assert len(await account.numbers()) == 1


@pytest.mark.parametrize(
    "body", [says_html(200), says_json([]), says_json({}), says_json({"alerts": 1})]
)
async def test_another_server_is_not_taken_for_twilio(body: object) -> None:
    async with twilio_that(body) as other:  # type: ignore[arg-type]
        client = TwilioAccount(SID, SID, TOKEN, other.url)
        for asked in (client.numbers(), client.alerts(datetime.now(UTC))):
            with pytest.raises(TwilioError, match="TWILIO_API_BASE_URL"):
                await asked
        await client.aclose()


@pytest.mark.parametrize(
    ("base_url", "sdk_host", "used"),
    [
        ("https://api.twilio.com", "api.twilio.com", "https://api.twilio.com"),
        ("https://api.twilio.com", "monitor.twilio.com", "https://monitor.twilio.com"),
        (
            "https://api.dublin.ie1.twilio.com",
            "routes.twilio.com",
            "https://routes.dublin.ie1.twilio.com",
        ),
        ("http://127.0.0.1:1", "trunking.twilio.com", "http://127.0.0.1:1"),
        ("https://api.twilio.com.evil.test", "monitor.twilio.com", ""),
    ],
)
def test_products_have_hosts_of_their_own_at_twilio_alone(
    base_url: str, sdk_host: str, used: str
) -> None:
    assert base_of(base_url, sdk_host) == (used or base_url)


def test_an_unchanged_number_needs_no_change() -> None:
    pointed = pointing_to(VoiceConfig(), "https://example.com")

    assert pointing_to(replace(pointed), "https://example.com/") == pointed
