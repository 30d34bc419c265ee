"""Twilio's own client against the simulated REST API of an account: what it parses of each resource
that `setup` and `doctor` use, and whether the API has the fields that the client knows, each of the
type that the client writes beside it."""

import ast
import inspect
import json
import textwrap
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from app.simulator.twilio import LoggedAlert, OwnedNumber, PhoneLine

SID, TOKEN, NUMBER = "AC" + "1" * 32, "a-token", "+15550109999"
APPLICATION, TRUNK = "AP" + "2" * 32, "TK" + "3" * 32

# What the simulated API leaves out, by the client's class: the account's secret, what only a single
# alert has, and the description of a country.
LEFT_OUT = {
    "AccountInstance": {"auth_token"},
    "AlertInstance": {
        "request_variables", "request_headers", "response_headers", "response_body",
    },
    "CountryInstance": {"name", "continent", "country_codes"},
}  # fmt: skip
# The client's annotation is wrong: Twilio's reference has an object.
OBJECTS = {"capabilities"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str, "bool": bool, "datetime": datetime, "int": int,
    "Dict[str, object]": dict, "List[str]": list,
}  # fmt: skip


class Rerouted(AsyncTwilioHttpClient):  # type: ignore[misc] # the package ships no types
    """The package's own client, with the simulated line in the place of all of Twilio's hosts."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        #: The JSON of each answer.
        self.answers: list[Any] = []

    async def request(self, method: str, url: str, *args: Any, **named: Any) -> Any:
        path = url.partition("://")[2].partition("/")[2]
        answer = await super().request(method, f"{self._url}/{path}", *args, **named)
        self.answers.append(json.loads(answer.text))
        return answer


@pytest.fixture
async def line() -> AsyncIterator[PhoneLine]:
    async with PhoneLine("http://127.0.0.1:9/", account_sid=SID, auth_token=TOKEN) as line:
        line.account.applications[APPLICATION] = "Old voice menu"
        line.account.trunks[TRUNK] = "Office PBX"
        line.account.caller_ids = ["+493012345678"]
        line.account.numbers.append(OwnedNumber(NUMBER, region="ie1"))
        line.account.alerts.append(LoggedAlert(11200, "https://example.com/incoming-call"))
        yield line


@pytest.fixture
async def client(line: PhoneLine) -> AsyncIterator[Client]:
    http = Rerouted(line.rest_url)
    yield Client(SID, TOKEN, http_client=http)
    await http.close()


def fields_of(instance: object) -> Iterator[tuple[str, str]]:
    """The fields that the client reads of a resource, with the types that it writes beside them."""
    source = textwrap.dedent(inspect.getsource(type(instance).__init__))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            kind = ast.unparse(node.annotation).removeprefix("Optional[").removesuffix("]")
            if "payload" in ast.unparse(node.value or node.target):
                yield node.target.attr, kind


def check(instance: Any, raw: dict[str, Any]) -> None:
    """Every field is sent, and parsed as what the client expects."""
    name = type(instance).__name__
    fields = dict(fields_of(instance))
    assert len(fields) >= 3, name
    assert fields.keys() - raw.keys() == LEFT_OUT.get(name, set()), name
    unknown = raw.keys() - fields.keys()
    assert not unknown, f"{name}: the client knows nothing of {unknown}"
    for field, kind in fields.items():
        value = getattr(instance, field)
        if value is None or field in OBJECTS:
            continue
        if (choices := enum_of(instance, kind)) is not None:
            assert value in choices, f"{name}.{field}: {value!r} is none of {choices}"
        else:
            assert isinstance(value, TYPES[kind]), f"{name}.{field}: {value!r} is no {kind}"


def enum_of(instance: object, kind: str) -> set[str] | None:
    """The values of the enum that an annotation such as 'AccountInstance.Status' names."""
    _, dot, name = kind.strip("'").partition("Instance.")
    if not dot:
        return None
    enum = getattr(type(instance), name, None)
    assert enum is not None, kind
    return {value for key, value in vars(enum).items() if not key.startswith("_")}


async def test_every_field_of_each_resource_is_sent_and_of_the_clients_type(
    client: Client,
) -> None:
    answers = client.http_client.answers
    [number] = await client.incoming_phone_numbers.list_async(phone_number=NUMBER)
    check(number, answers[-1]["incoming_phone_numbers"][0])
    [caller_id] = await client.outgoing_caller_ids.list_async()
    check(caller_id, answers[-1]["outgoing_caller_ids"][0])
    since = datetime.now(UTC) - timedelta(hours=1)
    [alert] = await client.monitor.v1.alerts.list_async(start_date=since)
    check(alert, answers[-1]["alerts"][0])
    for context in (
        client.api.accounts(SID),
        client.balance,
        client.incoming_phone_numbers(number.sid),
        client.applications(APPLICATION),
        client.trunking.v1.trunks(TRUNK),
        client.routes.v2.phone_numbers(NUMBER),
        client.voice.v1.dialing_permissions.countries("DE"),
    ):
        check(await context.fetch_async(), answers[-1])


async def test_a_number_is_configured_and_read_back(line: PhoneLine, client: Client) -> None:
    [number] = await client.incoming_phone_numbers.list_async()

    changed = await client.incoming_phone_numbers(number.sid).update_async(
        voice_url="https://example.com/incoming-call",
        voice_method="POST",
        status_callback="https://example.com/call-status",
        trunk_sid=TRUNK,
    )
    read = await client.incoming_phone_numbers(number.sid).fetch_async()

    assert changed.voice_url == read.voice_url == "https://example.com/incoming-call"
    assert (read.status_callback, read.trunk_sid) == ("https://example.com/call-status", TRUNK)
    moved = await client.incoming_phone_numbers(number.sid).update_async(
        voice_application_sid=APPLICATION
    )
    assert (moved.voice_application_sid, moved.trunk_sid) == (APPLICATION, None)


@pytest.mark.parametrize("kind", ["numbers", "alerts"])
async def test_lists_are_read_over_the_links_to_their_pages(
    line: PhoneLine, client: Client, kind: str
) -> None:
    line.account.numbers = [OwnedNumber(f"+1555010{n:04}") for n in range(45)]
    line.account.alerts = [LoggedAlert(11200) for _ in range(45)]
    listed = client.incoming_phone_numbers if kind == "numbers" else client.monitor.v1.alerts

    found = await listed.list_async(page_size=20)

    assert len({each.sid for each in found}) == 45
    assert [request.method for request in line.rest_requests] == ["GET"] * 3


async def test_refusals_have_twilios_code(client: Client) -> None:
    with pytest.raises(TwilioRestException) as missing:
        await client.applications("AP" + "9" * 32).fetch_async()
    [number] = await client.incoming_phone_numbers.list_async()
    with pytest.raises(TwilioRestException) as invalid:
        await client.incoming_phone_numbers(number.sid).update_async(voice_url="no address")

    assert (missing.value.status, missing.value.code) == (404, 20404)
    assert (invalid.value.status, invalid.value.code) == (400, 21502)
