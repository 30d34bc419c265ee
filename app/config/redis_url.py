"""REDIS_URL taken apart: which server it names, and how to connect to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from app.errors import ConfigError

EXPECTED_REDIS = (
    "redis://user:password@host:port/number, rediss:// for TLS, unix:///path/to/socket, or "
    "redis+sentinel://host:port,host:port/service"
)
_EXPECTED = f"{EXPECTED_REDIS}; write @ : / ? # and spaces of a password as %40 %3A %2F %3F %23 %20"
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
_PORT = 6379
_SENTINEL_PORT = 26379
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\s:\[\],]+))(?::(?P<port>\d{1,5}))?"
)
_NUMBER = re.compile("[0-9]{1,4}")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")  # those that redis-py takes, by its names
_CHOICES: Mapping[str, Mapping[str, Any]] = {
    "ssl_cert_reqs": {
        "none": "none", "optional": "optional", "required": "required",
        "CERT_NONE": "none", "CERT_OPTIONAL": "optional", "CERT_REQUIRED": "required",
    },
    "ssl_check_hostname": {"true": True, "True": True, "false": False, "False": False},
}  # fmt: skip
_TEXTS = ("username", "password", "sentinel_username", "sentinel_password")
_KNOWN = sorted({"db", *_FILES, *_CHOICES, *_TEXTS})

Hosts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis server, or the sentinels that know its address. `repr` shows no password."""

    #: (host, port) of the server, or of each sentinel. Empty: a Unix socket.
    hosts: Hosts
    #: The Unix socket; empty: TCP.
    path: str = ""
    #: What the sentinels call the server; empty: there are none.
    service: str = ""
    tls: bool = False
    #: For the server, by the names of redis-py: username, password, db, ssl_….
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: For the sentinels: username, password.
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The address without credentials, for messages."""
        return self.path or ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse_redis_url(text: str) -> RedisAddress:
    """The server that a REDIS_URL names.

    Raises:
        ConfigError: one line that says what is expected. It shows no part of the URL that may hold
            a password.
    """
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _fault(_EXPECTED) from None
    login, _, address = parts.netloc.rpartition("@")
    if parts.scheme not in _SCHEMES or parts.fragment or "@" in login or re.search(r"\s", text):
        raise _fault(_EXPECTED)
    hosts, path, service, number = _place(parts.scheme, unquote(address), unquote(parts.path))
    # Last: of a password with a ? in it, these names would show a part.
    checked = {name: _check(name, value) for name, value in dict(pairs).items()}
    sentinels = {name: checked.pop(name) for name in [*checked] if name.startswith("sentinel_")}
    tls = parts.scheme.startswith("rediss")
    if not tls and any(name.startswith("ssl_") for name in checked):
        raise _fault("rediss:// with the ssl_… parameters, because they are about TLS")
    user, _, password = login.partition(":")
    given = {"username": unquote(user), "password": unquote(password), "db": number}
    return RedisAddress(
        hosts,
        path,
        service,
        tls,
        {name: value for name, value in given.items() if value} | checked,
        {name.removeprefix("sentinel_"): value for name, value in sentinels.items()},
    )


def _place(scheme: str, address: str, path: str) -> tuple[Hosts, str, str, int]:
    """The hosts, the Unix socket, the service and the database number of a URL."""
    if scheme == "unix":
        if address or path in ("", "/"):
            raise _fault(_EXPECTED)
        return (), path, "", 0
    sentinel = scheme.endswith("sentinel")
    port = _SENTINEL_PORT if sentinel else _PORT
    hosts = [_host(each, port) for each in (address.split(",") if sentinel else [address])]
    segments = [each for each in path.split("/") if each]
    service = segments.pop(0) if sentinel and segments else ""
    if len(segments) > 1 or (sentinel and not service):
        raise _fault(_EXPECTED)
    number = _check("db", segments[0]) if segments else 0
    return tuple(hosts), "", service, number


def _fault(expected: str) -> ConfigError:
    return ConfigError(f"REDIS_URL: expected {expected}")


def _host(text: str, default: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or default) if match is not None else 0
    if match is None or not 0 < port < 65_536:
        raise _fault(_EXPECTED)
    return match["ipv6"] or match["name"], port


def _check(name: str, value: str) -> Any:
    """The value of a parameter, as redis-py takes it."""
    if name not in _KNOWN:
        raise _fault(f"no '{name}' after the ?; remove it. Known there: {', '.join(_KNOWN)}")
    if name == "db":
        if not _NUMBER.fullmatch(value):
            raise _fault("the number of a database after the last slash")
        return int(value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise _fault(f"{name} to be {' or '.join(_CHOICES[name])}")
        return _CHOICES[name][value]
    if name in _FILES and not _is_file(value):
        raise _fault(f"{name} to be the path of a file that exists")
    return value


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
