"""The address and the headers of a Realtime handshake, as owners configure them."""

import pytest

from app.wires.extra_headers import parse_headers
from app.wires.realtime.endpoint import Endpoint, has_credential

URL = "wss://model.example/v1/realtime"


@pytest.mark.parametrize(
    ("query", "sent", "model"),
    [
        ("", "model=gpt-realtime-2.1", "gpt-realtime-2.1"),
        ("api-version=preview", "model=gpt-realtime-2.1&api-version=preview", "gpt-realtime-2.1"),
        (*("api-version=2025-04-01-preview&deployment=d",) * 2, ""),
        (*("model=other",) * 2, "other"),
        ("models=a%20b+c&d=", "model=gpt-realtime-2.1&models=a%20b+c&d=", "gpt-realtime-2.1"),
    ],
)
def test_the_query_is_added_and_may_name_the_model(query: str, sent: str, model: str) -> None:
    endpoint = Endpoint(URL, "gpt-realtime-2.1", query=query)
    assert (endpoint.address, endpoint.model_name) == (f"{URL}?{sent}", model)


def test_a_models_name_is_encoded() -> None:
    assert Endpoint(URL, "my model&x").address == f"{URL}?model=my+model%26x"


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ((), {"Authorization": "Bearer ours"}),
        ((("X-Team", "phone"),), {"X-Team": "phone", "Authorization": "Bearer ours"}),
        ((("API-Key", "theirs"), ("X-Team", "a")), {"API-Key": "theirs", "X-Team": "a"}),
        ((("authorization", "Basic abc"),), {"authorization": "Basic abc"}),
    ],
)
def test_a_credential_among_the_headers_replaces_the_bearer_token(
    headers: tuple[tuple[str, str], ...], sent: dict[str, str]
) -> None:
    assert Endpoint(URL, "m", "ours", headers).handshake_headers == sent
    assert has_credential(headers) == ("ours" not in str(sent))


def test_repr_shows_no_credential() -> None:
    endpoint = Endpoint(URL, "m", "hush-1", (("api-key", "hush-2"),), "sig=hush-3")
    assert "hush" not in repr(endpoint)


def test_headers_are_parsed_in_order_and_stripped() -> None:
    text = " api-key: a:b=c ;; X-Empty-After:\t1 ; "
    assert parse_headers(text) == (("api-key", "a:b=c"), ("X-Empty-After", "1"))
    assert parse_headers("") == ()


@pytest.mark.parametrize(
    "text",
    ["hush", "api-key:", ": hush", "api key: hush", "a: hush\r\nb: c", "a: hüsh", "a: b; hush"],
)
def test_what_is_no_header_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_headers(text)
    assert "hush" not in str(refused.value)
