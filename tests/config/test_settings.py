"""The settings: variables in, values or one line per fault out."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config.redis_url import parse_redis_url
from app.config.settings import Settings, load_settings
from app.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def faults(monkeypatch: pytest.MonkeyPatch, **variables: str) -> tuple[str, ...]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return caught.value.problems


def test_the_defaults_are_a_working_configuration() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.max_calls) == ("127.0.0.1", 5050, 0)
    assert settings.openai_api_key is None
    assert settings.agent_file is settings.prices_file is None
    assert settings.realtime_url == "wss://api.openai.com/v1/realtime"
    assert settings.drain_seconds == 3600
    assert settings.trusted_proxies == (ip_network("127.0.0.1"), ip_network("::1"))
    assert settings.database_url.get_secret_value() == "sqlite:///calls.db"


def test_the_environment_overrides_the_env_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("\ufeffPORT=6001\nMAX_CALLS=7\nSOMETHING_ELSE=1\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "6002")
    settings = load_settings()
    assert (settings.port, settings.max_calls) == (6002, 7)


def test_a_blank_variable_counts_as_not_set_and_hides_the_env_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("OPENAI_API_KEY=sk-file\n")
    monkeypatch.setenv("OPENAI_API_KEY", "  \u200b")
    monkeypatch.setenv("PORT", "")
    settings = load_settings()
    assert settings.openai_api_key is None
    assert settings.port == 5050


def test_the_example_lists_every_variable_with_a_comment_and_its_default() -> None:
    lines = EXAMPLE.read_text().splitlines()
    listed = [line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)]
    assert {*listed} ^ {name.upper() for name in Settings.model_fields} == set()
    assert len(listed) == len({*listed})
    for above, line in zip(lines, lines[1:], strict=False):
        if "=" in line and not line.startswith("#"):
            assert above.startswith("# "), line
    defaults = load_settings()
    Path(".env").write_text("\n".join(lines))
    assert load_settings() == defaults


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_is_expected(name: str) -> None:
    assert Settings.model_fields[name].description


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "abc", "PORT: expected a whole number from 1 to 65535, got 'abc'"),
        ("PORT", "0", "PORT: expected a whole number from 1 to 65535, got '0'"),
        ("PORT", "65536", "PORT: expected a whole number from 1 to 65535, got '65536'"),
        ("MAX_CALLS", "-1", "MAX_CALLS: expected a whole number, 0 (no limit) or more, got '-1'"),
        ("DRAIN_SECONDS", "nan", "DRAIN_SECONDS: expected a number of seconds, 0 or more"),
        ("DRAIN_SECONDS", "1h", "DRAIN_SECONDS: expected a number of seconds, 0 or more"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: expected debug, info, warning or error, got 'loud'"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: expected text or json, got 'xml'"),
        (
            "TWILIO_STREAM_SIGNATURE",
            "never",
            "TWILIO_STREAM_SIGNATURE: expected require or if-present, got 'never'",
        ),
        ("TRUSTED_PROXIES", "10.0.0.1,proxy", "TRUSTED_PROXIES: expected IP addresses or ranges"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "TRUSTED_PROXIES: expected IP addresses or ranges"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_variable_and_expectation(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    (line,) = faults(monkeypatch, **{variable: value})
    assert line.startswith(expected)
    assert repr(value) in line


@pytest.mark.parametrize(
    "value",
    [
        "https://x.azure.com/openai?api-key=hush",
        "https://x.azure.com/openai#hush",
        "https://user:hush@x.azure.com/openai",
    ],
)
@pytest.mark.parametrize(
    "variable", ["OPENAI_BASE_URL", "TWILIO_API_BASE_URL", "PUBLIC_URL", "CALL_WEBHOOK_URL"]
)
def test_a_rejected_url_does_not_show_its_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    wrong = value.replace("https://", "ftp://")  # for the webhook, which may have a query
    (line,) = faults(monkeypatch, **{variable: wrong})
    assert line.startswith(f"{variable}: expected ") and "hush" not in line
    both = "OPENAI_API_QUERY" in line and "OPENAI_API_HEADERS" in line
    assert both == (variable == "OPENAI_BASE_URL")


def test_every_fault_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = faults(monkeypatch, PORT="x", PUBLIC_URL="y", TWILIO_ACCOUNT_SID="AC1")
    assert [line.partition(":")[0] for line in lines] == [
        "PUBLIC_URL",
        "PORT",
        "TWILIO_AUTH_TOKEN",
    ]
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    "number", ["+14155550100", "+15005550006", "+15550100", "+442079460000", "+4930123456"]
)
def test_numbers_are_e164_test_numbers_included(
    monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    monkeypatch.setenv("TWILIO_PHONE_NUMBER", number)
    monkeypatch.setenv("TRANSFER_NUMBER", number)
    settings = load_settings()
    assert settings.twilio_phone_number == settings.transfer_number == number


@pytest.mark.parametrize(
    "number",
    ["4155550100", "+1 415 555 0100", "+1415", "+0123456789", "++14155550100", "tel:+14155550100"]
    + ["+1415555010012345", "+١٤١٥٥٥٥٠١٠٠", "+999123456789", "+1415555CALL", "0014155550100"],
)
def test_numbers_that_are_not_e164_are_faults(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    (line,) = faults(monkeypatch, TRANSFER_NUMBER=number)
    assert line.startswith("TRANSFER_NUMBER: expected an E.164 number such as +14155550100")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://example.ngrok.app", "https://example.ngrok.app"),
        ("https://example.ngrok.app/", "https://example.ngrok.app"),
        ("HTTPS://example.com:8443/phone/", "https://example.com:8443/phone"),
        ("http://[::1]:5050", "http://[::1]:5050"),
        (" http://127.0.0.1:5050 ", "http://127.0.0.1:5050"),
    ],
)
def test_the_public_url_keeps_its_prefix_and_loses_its_trailing_slash(
    monkeypatch: pytest.MonkeyPatch, value: str, kept: str
) -> None:
    monkeypatch.setenv("PUBLIC_URL", value)
    assert load_settings().public_url == kept


@pytest.mark.parametrize(
    "value",
    [
        "example.com",
        "wss://example.com",
        "https://",
        "https://:5050",
        "https://a.b/?",
        "https://a/#",
    ]
    + [
        "https://a b.com",
        "https://a.com:99999",
        "https://a.com:x",
        "https://[::1",
        "https://bäh.de",
    ]
    + ['https://a"b.com', "https://a.b/x?y=1", "ftp://a.b", "https://a.com:0"],
)
def test_a_public_url_twilio_cannot_reach_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (line,) = faults(monkeypatch, PUBLIC_URL=value)
    assert line.startswith("PUBLIC_URL: expected the address Twilio reaches, such as https://")


@pytest.mark.parametrize(
    ("base", "socket"),
    [
        ("http://127.0.0.1:9000/v1/", "ws://127.0.0.1:9000/v1/realtime"),
        ("https://x.openai.azure.com/openai/v1", "wss://x.openai.azure.com/openai/v1/realtime"),
        ("ws://localhost:1", "ws://localhost:1/realtime"),
        ("wss://http.example/v1", "wss://http.example/v1/realtime"),
    ],
)
def test_the_realtime_url_is_below_the_base_url(
    monkeypatch: pytest.MonkeyPatch, base: str, socket: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    assert load_settings().realtime_url == socket


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["TWILIO_ACCOUNT_SID"], ["TWILIO_AUTH_TOKEN"]),
        (["TWILIO_AUTH_TOKEN"], ["TWILIO_ACCOUNT_SID"]),
        (["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY"], ["TWILIO_API_SECRET"]),
        (["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_SECRET"], ["TWILIO_API_KEY"]),
        (["TWILIO_API_KEY", "TWILIO_API_SECRET"], ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]),
    ],
)
def test_a_credential_without_its_partner_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, given: list[str], missing: list[str]
) -> None:
    blank = dict.fromkeys(missing, " ")
    lines = faults(monkeypatch, **dict.fromkeys(given, "hush-hush"), **blank)
    assert sorted(line.partition(":")[0] for line in lines) == sorted(missing)
    assert "hush-hush" not in str(lines)


def test_credentials_are_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "OPENAI_API_KEY", "API_TOKEN"):
        monkeypatch.setenv(name, "x")
    settings = load_settings()
    assert settings.twilio_account_sid == "x"
    assert settings.twilio_auth_token == SecretStr("x")


def test_a_database_url_of_a_hosting_company_is_kept_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "postgres://u:p%40ss@db/calls?sslmode=require&channel_binding=require"
    monkeypatch.setenv("DATABASE_URL", url)
    assert load_settings().database_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mysql://u:secret@h/d", "sqlite:///file"),
        ("postgresql://u:secret@h/d?sslmode=yes", "sslmode to be disable or allow"),
    ],
)
def test_a_database_that_cannot_be_opened_is_a_fault_and_its_password_stays_hidden(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    lines = faults(monkeypatch, DATABASE_URL=value, PORT="many")
    assert len(lines) == 2
    assert lines[1].startswith(f"DATABASE_URL: expected {expected}")
    assert "secret" not in str(lines)


@pytest.mark.parametrize(
    "value", ["localhost:6379", "http://h", "redis://", "redis://u:secret@h:x"]
)
def test_a_redis_url_has_its_scheme_and_host(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (line,) = faults(monkeypatch, REDIS_URL=value)
    assert line.startswith("REDIS_URL: expected redis://user:password@host:port/number, rediss://")
    assert "secret" not in line


REPLICAS = {
    "REDIS_URL": "redis://h",
    "API_TOKEN": "a token for all of them",
    "DATABASE_URL": "postgresql://u:p@h/d",
}


def test_replicas_need_redis_a_token_and_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REPLICAS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REPLICA_URL", "https://replica-1.example.com/")
    monkeypatch.setenv("SPOOL_DIR", "/var/spool/phone")
    settings = load_settings()
    assert settings.redis_url is not None
    assert settings.replica_url == "https://replica-1.example.com"
    assert settings.spool_dir == Path("/var/spool/phone")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"API_TOKEN": ""}, ["API_TOKEN"]),
        ({"DATABASE_URL": ""}, ["DATABASE_URL"]),
        ({"DATABASE_URL": "sqlite:///calls.db"}, ["DATABASE_URL"]),
        ({"API_TOKEN": " ", "DATABASE_URL": "sqlite:////calls.db"}, ["API_TOKEN", "DATABASE_URL"]),
        ({"API_TOKEN": "'quoted'"}, ["API_TOKEN"]),
        ({"DATABASE_URL": "mysql://u:p@h/d"}, ["DATABASE_URL"]),
        ({"REDIS_URL": "h:6379", "API_TOKEN": "", "DATABASE_URL": ""}, ["REDIS_URL"]),
        ({"REPLICA_URL": "replica-1"}, ["REPLICA_URL"]),
        ({"REPLICA_URL": "https://h/?a=b"}, ["REPLICA_URL"]),
    ],
)
def test_what_replicas_lack_is_named_in_one_line_each(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: list[str]
) -> None:
    lines = faults(monkeypatch, **(REPLICAS | variables))
    assert [line.partition(":")[0] for line in lines] == named
    assert all("expected" in line and "\n" not in line for line in lines)


def test_a_url_with_a_password_is_rejected_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (line,) = faults(monkeypatch, OPENAI_BASE_URL="https://me:secret@proxy/v1")
    assert line.startswith("OPENAI_BASE_URL: expected an address")
    assert "secret" not in line


def test_headers_and_query_reach_the_endpoint_and_a_key_among_them_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not load_settings().has_model_key
    monkeypatch.setenv("OPENAI_API_HEADERS", "X-Team: phone")
    monkeypatch.setenv("OPENAI_API_QUERY", "api-version=preview&x=hush")
    settings = load_settings()
    assert not settings.has_model_key
    monkeypatch.setenv("OPENAI_API_HEADERS", "X-Team: phone; API-Key: hush-hush;")
    settings = load_settings()
    assert settings.has_model_key
    endpoint = settings.endpoint
    assert endpoint.headers == (("X-Team", "phone"), ("API-Key", "hush-hush"))
    assert endpoint.query == "api-version=preview&x=hush"
    assert "hush" not in f"{settings!r} {settings}"


def test_the_embedded_model_gets_no_header_and_no_query_of_the_owners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_HEADERS", "api-key: hush-hush")
    monkeypatch.setenv("OPENAI_API_QUERY", "deployment=d")
    endpoint = load_settings().with_embedded_model("http://127.0.0.1:1/v1").endpoint
    assert endpoint.address == "ws://127.0.0.1:1/v1/realtime?model=embedded"
    assert endpoint.handshake_headers == {"Authorization": "Bearer embedded"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hush-hush", "Name: value in ASCII, several separated by ;"),
        ("api-key: hush-hush; other", "Name: value in ASCII"),
        ("api-key: hush-hush; API-KEY: hush", "Name: value in ASCII"),
        ("api-key: hush-h\u00fcsh", "Name: value in ASCII"),
        ("api-key: hush-hush\nX: y", "Name: value in ASCII"),
        ("Host: hush-hush", "no header host: it is the handshake's own; remove it"),
        ("Sec-WebSocket-Protocol: hush-hush", "no header sec-websocket-protocol"),
    ],
)
def test_headers_that_cannot_be_sent_are_a_fault_and_stay_hidden(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    (line,) = faults(monkeypatch, OPENAI_API_HEADERS=value)
    assert line.startswith(f"OPENAI_API_HEADERS: expected {expected}")
    assert "hush" not in line


@pytest.mark.parametrize(
    "value", ["hush", "?sig=hush", "sig=hush&", "=hush", "sig=hush#x", "sig=h ush", "a=b&hush"]
)
def test_a_query_that_cannot_be_sent_is_a_fault_and_stays_hidden(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (line,) = faults(monkeypatch, OPENAI_API_QUERY=value)
    assert line.startswith("OPENAI_API_QUERY: expected name=value, several separated by &")
    assert "hush" not in line


def test_proxies_are_networks_and_a_star_is_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.1.2.3/8, fd00::/8,192.0.2.1")
    assert load_settings().trusted_proxies == tuple(
        map(ip_network, ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"])
    )
    monkeypatch.setenv("TRUSTED_PROXIES", "*")
    assert load_settings().trusted_proxies == (ip_network("0.0.0.0/0"), ip_network("::/0"))


def test_repr_hides_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ["OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "TWILIO_API_SECRET", "API_TOKEN"]
    for name in [*secrets, "TWILIO_ACCOUNT_SID", "TWILIO_API_KEY"]:
        monkeypatch.setenv(name, "hush-hush" if name in secrets else "id")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hush-hush@h/d")
    monkeypatch.setenv("REDIS_URL", "redis://:hush-hush@h")
    assert "hush" not in repr(parse_redis_url("redis://:hush-hush@h"))
    settings = load_settings()
    assert "hush-hush" not in repr(settings) + str(settings)
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "hush-hush"


def test_an_env_file_that_is_not_utf8_is_a_fault() -> None:
    Path(".env").write_bytes(b"API_TOKEN=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"^\.env: expected text in UTF-8"):
        load_settings()


def test_settings_from_keyword_arguments_are_validated() -> None:
    assert Settings(port=6000, public_url="http://h/").public_url == "http://h"
    with pytest.raises(ConfigError, match="^PORT: expected"):
        Settings(port=0)
