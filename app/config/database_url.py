"""DATABASE_URL taken apart: which database it names, and how the driver connects to it.

Hosting companies hand out PostgreSQL URLs for libpq, whose parameters
(https://www.postgresql.org/docs/current/libpq-connect.html, "Parameter Key Words") are not those of
asyncpg. Each one is taken, translated, or refused with what to do about it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from sqlalchemy.engine import URL

from app.errors import ConfigError

EXPECTED_URL = (
    "sqlite:///file, sqlite:////directory/file or postgresql://user:password@host/database"
)

_EXPECTED_POSTGRES = (
    f"{EXPECTED_URL}; write @ : / ? # and spaces of a password as %40 %3A %2F %3F %23 %20"
)
_EXPECTED_PORT = "a port from 1 to 65535 after a host's colon and in port="
_SQLITE = "sqlite:///"
_IN_MEMORY = ":memory:"
_DEFAULT_PORT = 5432
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\s:\[\]]+))(?::(?P<port>\d{1,5}))?"
)
_NUMBER = re.compile("[0-9]{1,6}")

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# Parameters with closed lists of values that asyncpg reads from its DSN.
_CHOICES = {
    "sslmode": _SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "target_session_attrs": (
        "any", "primary", "standby", "prefer-standby", "read-write", "read-only",
    ),
}  # fmt: skip
_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile")  # ... that name a file
_TEXTS = ("sslpassword", "krbsrvname", "gsslib")  # ... that hold any text
_ADDRESS = ("host", "port", "user", "password", "dbname")
# The server's own parameters, sent when a connection is opened.
_SERVER = {
    "fallback_application_name": "application_name",
    "application_name": "application_name",  # which takes precedence
    "options": "options",
}
_NUMBERS = {
    "connect_timeout": ("timeout", 1),  # libpq's 0, to wait without end, is refused
    "statement_cache_size": ("statement_cache_size", 0),
    "prepared_statement_cache_size": ("prepared_statement_cache_size", 0),
}
# Values that ask for what asyncpg does anyway. It has no channel binding: it authenticates by
# SCRAM-SHA-256 without it, and providers hand out `require` to every client.
_NO_EFFECT = {
    "channel_binding": ("disable", "prefer", "require"),
    "client_encoding": ("auto", "utf8", "UTF8", "utf-8", "UTF-8"),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
}
_FIXES = {
    "hostaddr": "write the address as the host",
    "service": "write the host and the database into the URL",
    "keepalives": "set TCP keepalive in the operating system",
    "tcp_user_timeout": "set TCP time-outs in the operating system",
    "pgbouncer": "write prepared_statement_cache_size=0&statement_cache_size=0",
}
_ALIASES = {"ssl": "sslmode", "database": "dbname", "username": "user"}
_KNOWN = sorted({*_CHOICES, *_FILES, *_TEXTS, *_ADDRESS, *_SERVER, *_NUMBERS, *_NO_EFFECT})


@dataclass(frozen=True, slots=True)
class Database:
    """A database that the service can use. `repr` shows no password."""

    #: With the driver; for `create_async_engine`.
    url: URL
    #: What the driver is given beside the URL, over which it takes precedence.
    connect_args: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for PostgreSQL and for a database in memory."""
        path = self.url.database
        is_file = self.url.get_backend_name() == "sqlite" and path not in (None, _IN_MEMORY)
        return Path(path) if is_file and path else None


def parse_database_url(text: str) -> Database:
    """The database that a DATABASE_URL names: SQLite, or PostgreSQL as libpq writes it.

    `postgres://` is the same as `postgresql://`. The driver is chosen here, never by the URL. The
    folder of an SQLite file and the files that the URL names must exist.

    Raises:
        ConfigError: one line that says what is expected. It shows no part of the URL that may hold
            a password.
    """
    if text.startswith(_SQLITE):
        return _sqlite(text.removeprefix(_SQLITE))
    if text.startswith(("postgresql://", "postgres://")):
        return _postgres(text)
    raise _fault(EXPECTED_URL)


def _fault(expected: str) -> ConfigError:
    return ConfigError(f"DATABASE_URL: expected {expected}")


# --- SQLite ---------------------------------------------------------------------------------------


def _sqlite(path: str) -> Database:
    if not path:
        raise _fault(EXPECTED_URL)
    if "?" in path or path.startswith("file:"):
        raise _fault("the path of a file after sqlite:///, with no ? and no file: in it")
    path = unquote(path)
    database = Database(URL.create("sqlite+aiosqlite", database=path))
    if (file := database.file) is not None:
        try:
            if file.is_dir() or path.endswith("/"):
                raise _fault("a file, and this is a directory")
            if not file.parent.is_dir():
                raise _fault("a file in a directory that exists; create it first")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise _fault(f"a file that can be opened ({reason})") from None
    return database


# --- PostgreSQL -----------------------------------------------------------------------------------


def _postgres(text: str) -> Database:
    try:
        parts = urlsplit(text)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _fault(_EXPECTED_POSTGRES) from None
    login, _, address = parts.netloc.rpartition("@")
    if "@" in login or parts.fragment or re.search(r"\s", text):
        raise _fault(_EXPECTED_POSTGRES)
    query = {_ALIASES.get(name, name): value for name, value in pairs}
    user, _, password = login.partition(":")
    database = query.get("dbname") or unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise _fault(_EXPECTED_POSTGRES)
    hosts = _hosts(query.get("host") or unquote(address), query.get("port", ""))
    # Last: of a password with a ? in it, these names would show a part.
    for name, value in query.items():
        _check(name, value)
    url = URL.create(
        "postgresql+asyncpg",
        query.get("user") or unquote(user) or None,
        query.get("password") or unquote(password) or None,
        ",".join(name for name, _ in hosts) or None,
        hosts[0][1] if len(hosts) == 1 else None,
        database,
    )
    return Database(url, _connect_args(hosts, query))


def _check(name: str, value: str) -> None:
    """Refuse a parameter that asyncpg does not take, and a value that it does not understand."""
    if name not in _KNOWN:
        fix = next((fix for start, fix in _FIXES.items() if name.startswith(start)), "remove it")
        raise _fault(f"no '{name}' after the ?; {fix}. Known there: {', '.join(_KNOWN)}")
    choices = _CHOICES.get(name) or _NO_EFFECT.get(name)
    if choices and value not in choices:
        raise _fault(f"{name} to be {' or '.join(choices)}")
    if name in _NUMBERS:
        _, least = _NUMBERS[name]
        if not _NUMBER.fullmatch(value) or int(value) < least:
            raise _fault(f"{name} to be a whole number, {least} or more")
    if name in _FILES and not _is_file(value):
        raise _fault(f"{name} to be the path of a file that exists")


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _hosts(hosts: str, ports: str) -> list[tuple[str, int | None]]:
    """Each host of a list with commas in it, and its port; None: not given. A host that begins with
    / is the directory of a Unix socket."""
    found: list[tuple[str, int | None]] = []
    for host in hosts.split(",") if hosts else []:
        match = _HOST.fullmatch(host)
        if host.startswith("/"):
            found.append((host, None))
        elif match is None:
            raise _fault(f"{_EXPECTED_POSTGRES}, and {_EXPECTED_PORT}")
        else:
            found.append((match["ipv6"] or match["name"], _port(match["port"])))
    if not ports:
        return found
    given = [_port(each) for each in ports.split(",")]
    if not found:  # asyncpg's own hosts: the usual Unix sockets, then localhost
        found = [("", None)]
    if len(given) not in (1, len(found)):
        raise _fault("as many ports as hosts, or one port for all")
    every = given if len(given) > 1 else given * len(found)
    return [(host, port) for (host, _), port in zip(found, every, strict=True)]


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or not 0 < int(text) < 65_536:
        raise _fault(_EXPECTED_PORT)
    return int(text)


def _connect_args(
    hosts: list[tuple[str, int | None]], query: Mapping[str, str]
) -> Mapping[str, Any]:
    """What `asyncpg.connect` and SQLAlchemy's dialect are given beside the URL."""
    arguments: dict[str, Any] = {}
    if any(name for name, _ in hosts):
        arguments["host"] = [name for name, _ in hosts]
    if any(port for _, port in hosts):
        arguments["port"] = [port or _DEFAULT_PORT for _, port in hosts]
    for name, (argument, _) in _NUMBERS.items():
        if name in query:
            arguments[argument] = int(query[name])
    server = {_SERVER[name]: query[name] for name in _SERVER if name in query}
    if server:
        arguments["server_settings"] = server
    # asyncpg reads the files of TLS from a DSN alone. Its address and password come from the URL.
    in_dsn = {name: query[name] for name in (*_CHOICES, *_FILES, *_TEXTS) if name in query}
    if in_dsn:
        arguments["dsn"] = f"postgresql:///?{urlencode(in_dsn)}"
    return arguments
