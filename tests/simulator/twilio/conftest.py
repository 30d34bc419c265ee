"""The twilio package's REST client, for the `line` fixture of a test module."""

from collections.abc import AsyncIterator

import pytest
from twilio.rest import Client

from app.simulator.twilio import PhoneLine
from tests.simulator.twilio.twilio_bridge import TOKEN
from tests.simulator.twilio.twilio_client import HttpClient


@pytest.fixture
async def http(line: PhoneLine) -> AsyncIterator[HttpClient]:
    http = HttpClient(line.rest_url)
    yield http
    await http.close()


@pytest.fixture
def client(line: PhoneLine, http: HttpClient) -> Client:
    return Client(line.account_sid, TOKEN, http_client=http)
