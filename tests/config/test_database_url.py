"""DATABASE_URL: every form that is accepted opens or fails in one line; the others are faults."""

from pathlib import Path
from typing import Any

import pytest

from app.config.database_url import parse_database_url
from app.errors import ConfigError
from app.records.store import Store, StoreUnavailable

HERE = "postgresql://u:secret@h/d"
NOWHERE = "127.0.0.1:1"  # no database answers there


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.crt").write_text("neither a certificate nor a database, " * 40)
    for name in ("PGHOST", "PGPORT", "PGSSLMODE", "PGPASSFILE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sqlite:///mine.db", "sqlite+aiosqlite:///mine.db"),
        ("sqlite:////tmp/mine.db", "sqlite+aiosqlite:////tmp/mine.db"),
        ("sqlite:///my%20calls.db", "sqlite+aiosqlite:///my calls.db"),
        ("postgresql://db/calls", "postgresql+asyncpg://db/calls"),
        ("postgres://db/calls", "postgresql+asyncpg://db/calls"),
        ("postgresql://u:p%40ss@db/my%20calls", "postgresql+asyncpg://u:p%40ss@db/my calls"),
        ("postgresql:///calls?user=me&password=x", "postgresql+asyncpg://me:x@/calls"),
        ("postgresql://db/?dbname=calls", "postgresql+asyncpg://db/calls"),
    ],
)
def test_the_driver_is_chosen_for_the_owner(text: str, url: str) -> None:
    found = parse_database_url(text).url

    assert found.render_as_string(hide_password=False) == url
    assert "p%40ss" not in repr(parse_database_url(text)) + repr(found)


def test_an_sqlite_url_has_a_file_unless_it_is_in_memory(tmp_path: Path) -> None:
    assert parse_database_url("sqlite:///50%25 #1.db").file == Path("50% #1.db")
    assert parse_database_url(f"sqlite:///{tmp_path}/x.db").file == tmp_path / "x.db"
    assert parse_database_url("sqlite:///:memory:").file is None
    assert parse_database_url(HERE).file is None


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("postgres://db:5433/d", {"host": ["db"], "port": [5433]}),
        ("postgres://[::1]:5433/d", {"host": ["::1"], "port": [5433]}),
        ("postgres:///d?host=/run/postgresql", {"host": ["/run/postgresql"]}),
        ("postgres://%2Frun%2Fpostgresql/d", {"host": ["/run/postgresql"]}),
        ("postgres:///d?host=db&port=5433", {"host": ["db"], "port": [5433]}),
        ("postgres://db/d?port=5433", {"host": ["db"], "port": [5433]}),
        ("postgres:///d", {}),
        (
            "postgres://one,two:6432/d?target_session_attrs=primary",
            {
                "host": ["one", "two"],
                "port": [5432, 6432],
                "dsn": "postgresql:///?target_session_attrs=primary",
            },
        ),
        ("postgres://one,two/d?port=1,2", {"host": ["one", "two"], "port": [1, 2]}),
        (
            "postgres:///d?sslmode=require&channel_binding=require",
            {"dsn": "postgresql:///?sslmode=require"},
        ),
        ("postgres:///d?ssl=verify-full", {"dsn": "postgresql:///?sslmode=verify-full"}),
        ("postgres:///d?connect_timeout=3", {"timeout": 3}),
        (
            "postgres:///d?application_name=mine&fallback_application_name=other",
            {"server_settings": {"application_name": "mine"}},
        ),
        (
            "postgres:///d?fallback_application_name=other",
            {"server_settings": {"application_name": "other"}},
        ),
        (
            "postgres:///d?options=-c%20statement_timeout%3D5000",
            {"server_settings": {"options": "-c statement_timeout=5000"}},
        ),
        (
            "postgres:///d?prepared_statement_cache_size=0&statement_cache_size=0",
            {"prepared_statement_cache_size": 0, "statement_cache_size": 0},
        ),
        ("postgres:///d?client_encoding=utf8&gssencmode=prefer&sslsni=1", {}),
    ],
)
def test_what_libpq_takes_is_translated_for_asyncpg(text: str, arguments: dict[str, Any]) -> None:
    assert parse_database_url(text).connect_args == arguments


def test_the_files_of_tls_are_handed_on(tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    root.write_text("a certificate")

    found = parse_database_url(f"{HERE}?sslmode=verify-full&sslrootcert={root}")

    assert found.connect_args["dsn"].startswith(
        "postgresql:///?sslmode=verify-full&sslrootcert=%2F"
    )


SYNTAX = "sqlite:///file, sqlite:////directory/file or postgresql://user:password@host/database"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SYNTAX),
        ("calls.db", SYNTAX),
        ("secret calls.db", SYNTAX),
        ("mysql://u:secret@h/d", SYNTAX),
        ("postgresql+psycopg://u:secret@h/d", SYNTAX),
        ("sqlite+aiosqlite:///calls.db", SYNTAX),
        ("sqlite://", SYNTAX),
        ("sqlite:///", SYNTAX),
        ("sqlite://calls.db", SYNTAX),
        ("sqlite:////", "a file, and this is a directory"),
        ("sqlite:///calls/", "a file, and this is a directory"),
        ("sqlite:///no/such/folder/calls.db", "a file in a directory that exists"),
        (f"sqlite:///{'x' * 5000}", "a file that can be opened (File name too long)"),
        ("sqlite:///calls.db?mode=ro", "the path of a file after sqlite:///, with no ?"),
        ("sqlite:///file:calls.db", "the path of a file after sqlite:///, with no ?"),
        ("postgresql://u:secret@h", SYNTAX),
        ("postgresql://u:secret@h/", SYNTAX),
        ("postgresql://u:secret@h/one/two", SYNTAX),
        ("postgresql://u:secret@h:port/d", SYNTAX),
        ("postgresql://u:secret@h:/d", SYNTAX),
        ("postgresql://u:secret@one,,two/d", SYNTAX),
        ("postgresql://u:secret@[::1/d", SYNTAX),
        ("postgresql://u:se@secret@h/d", SYNTAX),
        ("postgresql://u:se/secret@h/d", SYNTAX),
        ("postgresql://u:se?secret=1@h/d", SYNTAX),
        ("postgresql://u:se#secret@h/d", SYNTAX),
        ("postgresql://u:se secret@h/d", SYNTAX),
        ("postgresql://u:secret@h/d?sslmode", SYNTAX),
        ("postgresql://u:secret@h:65536/d", "a port from 1 to 65535"),
        ("postgresql://u:secret@h/d?port=0", "a port from 1 to 65535"),
        ("postgresql://u:secret@h/d?port=1,2", "as many ports as hosts, or one port for all"),
        (f"{HERE}?sslmode=yes", "sslmode to be disable or allow or prefer or require or verify-ca"),
        (f"{HERE}?ssl=true", "sslmode to be disable or"),
        (f"{HERE}?sslrootcert=system", "sslrootcert to be the path of a file that exists"),
        (f"{HERE}?target_session_attrs=rw", "target_session_attrs to be any or primary or"),
        (f"{HERE}?connect_timeout=0", "connect_timeout to be a whole number, 1 or more"),
        (f"{HERE}?connect_timeout=soon", "connect_timeout to be a whole number, 1 or more"),
        (f"{HERE}?client_encoding=latin1", "client_encoding to be auto or utf8"),
        (f"{HERE}?gssencmode=require", "gssencmode to be disable or prefer"),
        (f"{HERE}?keepalives_idle=30", "no 'keepalives_idle' after the ?; set TCP keepalive in"),
        (f"{HERE}?pgbouncer=true", "no 'pgbouncer' after the ?; write prepared_statement_cache"),
        (f"{HERE}?service=mine", "no 'service' after the ?; write the host and the database"),
        (f"{HERE}?foo=secret", "no 'foo' after the ?; remove it. Known there: application_name"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_one_line_with_the_fix_and_no_password(
    text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_database_url(text)

    (line,) = caught.value.problems
    assert line.startswith(f"DATABASE_URL: expected {expected}")
    assert "secret" not in line and "\n" not in line


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://u:secret@{NOWHERE}/d",
        f"postgresql://u:secret@{NOWHERE}/d?sslmode=require&channel_binding=require",
        f"postgresql://u:secret@{NOWHERE},{NOWHERE}/d?target_session_attrs=standby",
        f"postgresql://u:secret@{NOWHERE}/d?application_name=x&connect_timeout=2&options=-c%20a%3D1",
        f"postgresql://u:secret@{NOWHERE}/d?sslmode=verify-full",
        f"postgresql://u:secret@{NOWHERE}/d?sslrootcert=broken.crt&sslmode=verify-ca",
        f"postgresql://u:secret@{NOWHERE}/d?sslnegotiation=direct&sslmode=disable",
        "postgresql:///d?user=u&password=secret&host=/no/such/folder",
        f"postgresql://u:secret@{'x' * 70}/d",
        "sqlite:///broken.crt",
        "sqlite:///calls%00.db",
    ],
)
async def test_a_url_that_passes_and_does_not_open_fails_in_one_line(text: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await Store.open(text)

    line = str(caught.value)
    assert line.startswith("cannot open the database ") and "check DATABASE_URL" in line
    assert "secret" not in line and "\n" not in line
