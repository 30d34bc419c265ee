"""A stand-in in a process of its own, and the clients that docs/stand-ins.md shows for it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "stand-ins.md"
_CLIENT = re.compile(
    r"^<!-- client: (?P<name>\w+) -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
_WAIT_S = 30


@contextmanager
def stand_in(name: str, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start one. Yields the first line that it prints, and the process, which ends in the block or
    is ended after it."""
    command = [sys.executable, "-m", "app", "stand-in", name, *options]
    with subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            address = process.stdout.readline().strip()
            assert address, process.stderr.read()
            yield address, process
        finally:
            process.terminate()
            process.wait(_WAIT_S)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end. Returns the exit status and stderr."""
    _, errors = process.communicate(timeout=_WAIT_S)
    return process.returncode, errors


def run_clients(name: str, address: str, folder: Path) -> list[str]:
    """Run the page's clients of a stand-in in `folder`. Returns what each printed."""
    printed = []
    host_and_port = _ADDRESS.search(address)
    assert host_and_port is not None
    for found in _CLIENT.finditer(_PAGE.read_text(encoding="utf-8")):
        if found["name"] == name:
            code = _ADDRESS.sub(host_and_port[0], found["code"])
            shell = [shutil.which("sh") or "sh", "-c", code]
            command = shell if found["language"] == "sh" else [sys.executable, "-c", code]
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_WAIT_S, check=False
            )
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
    return printed
