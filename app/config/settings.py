"""The service's settings, read from the environment and validated once at the start."""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.call.words.blank import is_blank, stripped
from app.config.database_url import EXPECTED_URL, parse_database_url
from app.config.leftovers import fault_in, has_outer_quotes
from app.config.phone_number import EXPECTED_NUMBER, Number
from app.config.redis_url import EXPECTED_REDIS, parse_redis_url
from app.config.replica_settings import missing_for_replicas
from app.errors import ConfigError
from app.wires.extra_headers import Headers, parse_headers
from app.wires.realtime.endpoint import Endpoint, has_credential

Network = IPv4Network | IPv6Network

_PREFIX = re.compile(r"\+[1-9][0-9]{0,13}")
EMBEDDED = "embedded"
"""The embedded model's name, in place of a Realtime model's such as gpt-realtime."""

# Set by the WebSocket handshake itself (RFC 6455), or about a body, which it has not.
_HANDSHAKE_HEADER = re.compile(
    r"host|connection|upgrade|sec-websocket-.*|content-length|transfer-encoding", re.IGNORECASE
)
_QUERY = re.compile(r"[^&=#?]+=[^&#]*(&[^&=#]+=[^&#]*)*")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_PRINTABLE = re.compile(r"[!-~]+")
_ALL_NETWORKS: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.1"), IPv6Network("::1"))


def _address(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        parts = urlsplit(value)
        whole = _PRINTABLE.fullmatch(value) and "?" not in value and "#" not in value
        host = _HOST_AND_PORT.fullmatch(parts.netloc) and parts.hostname and parts.port != 0
        if _is_doubled(parts):
            raise ValueError
        if not whole or not host or parts.scheme not in schemes:
            raise ValueError
        return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")

    return check


def _webhook(value: str) -> str:
    parts = urlsplit(value)
    if not _PRINTABLE.fullmatch(value) or parts.scheme not in ("http", "https"):
        raise ValueError
    if not parts.hostname or parts.fragment or _is_doubled(parts):
        raise ValueError
    return value


def _is_doubled(parts: SplitResult) -> bool:
    """Whether this is an address behind a second scheme, as in https://https://example.com."""
    return parts.netloc.endswith(":") and parts.path.startswith("//")


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    if stripped(value) == "*":
        return _ALL_NETWORKS
    return tuple(ip_network(stripped(part), strict=False) for part in value.split(","))


def _prefixes(value: object) -> object:
    if not isinstance(value, str):
        return value
    prefixes = tuple(stripped(part) for part in value.split(","))
    if prefixes != ("*",) and not all(map(_PREFIX.fullmatch, prefixes)):
        raise ValueError
    return prefixes


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _headers(value: SecretStr | None) -> SecretStr | None:
    headers = _parsed(value)
    for name, sent in headers:
        bare = has_outer_quotes(sent) or sent.lower() in ("bearer", "basic")
        if has_credential(((name, sent),)) and bare:
            raise PydanticCustomError(
                "expected",
                "a credential in the header {name}, without quotes around it",
                {"name": name.lower()},
            )
    names = [name.lower() for name, _ in headers]
    for name in filter(_HANDSHAKE_HEADER.fullmatch, names):
        raise PydanticCustomError(
            "expected", "no header {name}: it is the handshake's own; remove it", {"name": name}
        )
    if len(set(names)) < len(names):
        raise ValueError
    return value


def _parsed(value: SecretStr | None) -> Headers:
    return parse_headers(value.get_secret_value()) if value is not None else ()


def _query(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    query = value.get_secret_value()
    if not _PRINTABLE.fullmatch(query) or not _QUERY.fullmatch(query) or '"' in query:
        raise ValueError
    return value


def _parsed_by(parse: Callable[[str], object]) -> Callable[[SecretStr | None], SecretStr | None]:
    """A check of a URL, whose line is that of the ConfigError."""

    def check(value: SecretStr | None) -> SecretStr | None:
        try:
            if value is not None:
                parse(value.get_secret_value())
        except ConfigError as error:
            raise PydanticCustomError("fault", "{said}", {"said": str(error)}) from None
        return value

    return check


LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
OnOff = Annotated[Literal["on", "off"], BeforeValidator(_lower)]
_ANY = "a value"


class Settings(BaseSettings):
    """Every setting of the service.

    A variable's name is the field's in upper case. The environment takes precedence over `.env` in
    the working directory. A blank variable counts as not set. A field's description is the
    "expected" part of its error message. Secrets are hidden in `repr`.

    Raises:
        ConfigError: one line per fault, `VARIABLE: expected …`. No line shows a secret.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8-sig", extra="ignore", frozen=True
    )

    openai_api_key: SecretStr | None = Field(default=None, description=_ANY)
    openai_base_url: Annotated[str, AfterValidator(_address("http", "https", "ws", "wss"))] = Field(
        default="https://api.openai.com/v1",
        description="an address such as https://api.openai.com/v1 (http, https, ws or wss)",
    )
    openai_realtime_model: str = Field(default="gpt-realtime-2.1", description=_ANY)
    openai_api_headers: Annotated[SecretStr | None, AfterValidator(_headers)] = Field(
        default=None,
        description="Name: value in ASCII, several separated by ;, each name once, "
        "such as api-key: KEY",
    )
    openai_api_query: Annotated[SecretStr | None, AfterValidator(_query)] = Field(
        default=None,
        description="name=value, several separated by &, URL-encoded and without ?, "
        "such as api-version=preview",
    )

    twilio_account_sid: str | None = Field(default=None, description=_ANY)
    twilio_auth_token: SecretStr | None = Field(default=None, description=_ANY)
    twilio_api_key: str | None = Field(default=None, description=_ANY)
    twilio_api_secret: SecretStr | None = Field(default=None, description=_ANY)
    twilio_api_base_url: Annotated[str, AfterValidator(_address("http", "https"))] = Field(
        default="https://api.twilio.com", description="an address such as https://api.twilio.com"
    )
    twilio_phone_number: Number | None = Field(default=None, description=EXPECTED_NUMBER)
    twilio_stream_signature: Literal["require", "if-present"] = Field(
        default="require", description="require or if-present"
    )

    dashscope_api_key: SecretStr | None = Field(default=None, description=_ANY)
    volcengine_app_id: SecretStr | None = Field(default=None, description=_ANY)
    volcengine_access_token: SecretStr | None = Field(default=None, description=_ANY)
    volcengine_api_key: SecretStr | None = Field(default=None, description=_ANY)
    http_voice_token: SecretStr | None = Field(default=None, description=_ANY)
    http_voice_headers: SecretStr | None = Field(default=None, description=_ANY)
    stream_audio_token: SecretStr | None = Field(default=None, description=_ANY)

    public_url: Annotated[str, AfterValidator(_address("http", "https"))] | None = Field(
        default=None,
        description="the address Twilio reaches, such as https://example.ngrok.app, "
        "with no ? or # in it",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        default=_LOOPBACK,
        description="IP addresses or ranges such as 10.0.0.0/8, separated by commas, or *",
    )
    replica_url: Annotated[str, AfterValidator(_address("http", "https"))] | None = Field(
        default=None,
        description="the address at which Twilio reaches this replica alone, such as "
        "https://replica-1.example.com, with no ? or # in it",
    )
    transfer_number: Number | None = Field(default=None, description=EXPECTED_NUMBER)
    outbound_prefixes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_prefixes)] = Field(
        default=(), description="prefixes of numbers such as +1, separated by commas, or *"
    )
    outbound_max_calls: int = Field(default=10, ge=0, description="a whole number, 0 or more")
    outbound_repeat_seconds: float = Field(
        default=60, ge=0, allow_inf_nan=False, description="a number of seconds, 0 or more"
    )
    agent_file: Path | None = Field(default=None, description="the path of a TOML file")
    prices_file: Path | None = Field(default=None, description="the path of a TOML file")

    host: str = Field(default="127.0.0.1", description=_ANY)
    port: int = Field(default=5050, ge=1, le=65535, description="a whole number from 1 to 65535")
    api_token: SecretStr | None = Field(default=None, description=_ANY)
    metrics_token: SecretStr | None = Field(default=None, description=_ANY)
    listen_in: OnOff = Field(default="on", description="on or off")
    max_calls: int = Field(default=0, ge=0, description="a whole number, 0 (no limit) or more")
    drain_seconds: float = Field(
        default=3600, ge=0, allow_inf_nan=False, description="a number of seconds, 0 or more"
    )
    keep_alive_seconds: float = Field(
        default=75, gt=0, allow_inf_nan=False, description="a number of seconds above 0"
    )

    database_url: Annotated[SecretStr, AfterValidator(_parsed_by(parse_database_url))] = Field(
        default=SecretStr("sqlite:///calls.db"), description=EXPECTED_URL
    )
    spool_dir: Path | None = Field(default=None, description="the path of a directory")
    recordings_dir: Path = Field(default=Path("recordings"), description="the path of a directory")
    redis_url: Annotated[SecretStr | None, AfterValidator(_parsed_by(parse_redis_url))] = Field(
        default=None, description=EXPECTED_REDIS
    )

    call_webhook_url: Annotated[str, AfterValidator(_webhook)] | None = Field(
        default=None, description="an address such as https://example.com/calls"
    )
    call_webhook_secret: SecretStr | None = Field(default=None, description=_ANY)

    log_level: LogLevel = Field(default="info", description="debug, info, warning or error")
    log_format: Literal["text", "json"] = Field(default="text", description="text or json")

    @property
    def realtime_url(self) -> str:
        """The URL of the Realtime WebSocket, without `?model=`."""
        return re.sub("^http", "ws", self.openai_base_url) + "/realtime"

    @property
    def has_model_key(self) -> bool:
        """Whether a credential of a model is set; otherwise the embedded model answers."""
        return self.openai_api_key is not None or has_credential(_parsed(self.openai_api_headers))

    @property
    def endpoint(self) -> Endpoint:
        """Where Realtime sessions are opened."""
        key, query = self.openai_api_key, self.openai_api_query
        return Endpoint(
            self.realtime_url,
            self.openai_realtime_model,
            key.get_secret_value() if key is not None else "",
            _parsed(self.openai_api_headers),
            query.get_secret_value() if query is not None else "",
        )

    def with_embedded_model(self, base_url: str) -> "Settings":
        """The same settings, with the embedded model at `base_url`, which gets none of the owner's
        headers and query."""
        return self.model_copy(
            update={
                "openai_api_key": SecretStr(EMBEDDED),
                "openai_base_url": base_url,
                "openai_realtime_model": EMBEDDED,
                "openai_api_headers": None,
                "openai_api_query": None,
            }
        )

    @model_validator(mode="wrap")
    @classmethod
    def _name_every_fault(
        cls, raw: Mapping[str, Any], validate: "ModelWrapValidatorHandler[Settings]"
    ) -> "Settings":
        values = {
            name: stripped(value) if isinstance(value, str) else value
            for name, value in raw.items()
            if value is not None and not _is_blank(value)
        }
        problems = _missing_partners(values)
        for name in [*values]:
            if leftover := _leftover(name, raw[name]):
                problems.append(leftover)
                del values[name]  # one line for it is enough
        problems += missing_for_replicas(values.get("redis_url"), raw)
        try:
            settings = validate(values)
        except ValidationError as error:
            raise ConfigError(*map(_problem, error.errors()), *problems) from None
        if problems:
            raise ConfigError(*problems)
        return settings


def load_settings() -> Settings:
    """Read the settings from the environment and `.env`.

    Raises:
        ConfigError: one line per fault, `VARIABLE: expected …`.
    """
    try:
        return Settings()
    except UnicodeDecodeError:
        raise ConfigError(".env: expected text in UTF-8; save it again as UTF-8") from None
    except OSError as error:
        raise ConfigError(f".env: cannot be read: {error.strerror}") from None


def _is_blank(value: object) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return isinstance(text, str) and is_blank(text)


def _leftover(name: str, value: object) -> str:
    """The line for a value that kept its quotes or a comment; empty: it did not."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    field = Settings.model_fields.get(name)
    if field is None or not isinstance(text, str):
        return ""
    is_path = Path in (field.annotation, *get_args(field.annotation))
    found = fault_in(text, may_have_comment=is_path)
    return found and f"{name.upper()}: expected {field.description}, {found}"


def _missing_partners(values: Mapping[str, Any]) -> list[str]:
    """One line for each credential that is missing although its partner is set."""
    needs = {
        "twilio_account_sid": ["twilio_auth_token"],
        "twilio_auth_token": ["twilio_account_sid"],
        "twilio_api_key": ["twilio_api_secret", "twilio_account_sid", "twilio_auth_token"],
        "twilio_api_secret": ["twilio_api_key", "twilio_account_sid", "twilio_auth_token"],
    }
    because = {
        missing: present
        for present, partners in needs.items()
        for missing in partners
        if present in values and missing not in values
    }
    return [
        f"{missing.upper()}: expected a value, because {present.upper()} is set; "
        "set both or neither"
        for missing, present in because.items()
    ]


def _problem(error: ErrorDetails) -> str:
    if error["type"] == "fault":
        return error["msg"]
    name = str(error["loc"][0])
    field = Settings.model_fields[name]
    expected = error["msg"] if error["type"] == "expected" else field.description
    line = f"{name.upper()}: expected {expected}"
    value = error["input"]
    types = (field.annotation, *get_args(field.annotation))
    if SecretStr in types or not isinstance(value, str):
        return line
    # Any URL may have a password before its @, and a key in its query or its fragment.
    if not {*"@?#"} & {*value}:
        return f"{line}, got {value!r}"
    if name == "openai_base_url":
        line += (
            ", with no ?, # or @ in it; put a query into OPENAI_API_QUERY, and a key into "
            "OPENAI_API_HEADERS"
        )
    return line
