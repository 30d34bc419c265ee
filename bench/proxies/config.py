"""The configurations of docs/proxies, fitted: ports, certificate, times, variants."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.process import ROOT

DOCS = ROOT / "docs" / "proxies"
PREFIX = "/phone"
HOST = "localhost"  # in place of the documented host
STARTED_S, STOPPED_S = 10, 5

_STRIP = "# Or strip the prefix:"
_FORWARDED = "# Or Forwarded (RFC 7239)"
_X_FORWARDED = re.compile(r"# (Caddy sets )?X-Forwarded-\*, in place of")
_KEPT = "# Leave the prefix in place:"


@dataclass(frozen=True, slots=True)
class Kind:
    """A proxy program."""

    name: str
    #: In docs/proxies.
    file: str
    #: The command line; {config} is filled in.
    command: tuple[str, ...]
    #: How the documented configuration says how long an idle connection is kept.
    keep_alive: str
    #: What `keep_alive` becomes; {ms} is filled in.
    shorter: str


KINDS = (
    Kind(
        "nginx",
        "nginx.conf",
        ("nginx", "-c", "{config}", "-g", "daemon off;", "-e", "stderr"),
        "keepalive_timeout 60s;",
        "keepalive_timeout {ms:.0f}ms;",
    ),
    Kind(
        "HAProxy",
        "haproxy.cfg",
        ("haproxy", "-W", "-db", "-f", "{config}"),
        "pool-purge-delay 5s",
        "pool-purge-delay {ms:.0f}ms",
    ),
    Kind(
        "Caddy",
        "Caddyfile",
        ("caddy", "run", "--adapter", "caddyfile", "--config", "{config}"),
        "keepalive 60s",
        "keepalive {ms:.0f}ms",
    ),
)


def installed(kind: Kind) -> bool:
    """Whether the program is on the PATH, or where Debian puts it."""
    return program(kind) is not None


def program(kind: Kind) -> str | None:
    """The path of the program; None if it is not installed."""
    name = kind.command[0]
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def certificate(folder: Path) -> None:
    """Write a self-signed certificate and its key in the forms that the proxies read. Makes the
    folder.

    Raises RuntimeError if openssl cannot.
    """
    folder.mkdir(exist_ok=True)
    key, chain = folder / "key.pem", folder / "fullchain.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    order = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    order += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names]
    order += ["-keyout", str(key), "-out", str(chain)]
    made = subprocess.run(order, capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"openssl made no certificate: {made.stderr.strip()}")
    (folder / "haproxy.pem").write_text(chain.read_text() + key.read_text())


def fitted(
    kind: Kind,
    folder: Path,
    *,
    port: int,
    service_port: int,
    strips: bool = False,
    forwarded: bool = False,
    keep_alive_s: float | None = None,
) -> str:
    """The documented configuration with these ports and variants. `keep_alive_s`: None leaves the
    documented time.

    Raises RuntimeError if the file does not have a text that is to be replaced.
    """
    text = (DOCS / kind.file).read_text(encoding="utf-8")
    swaps = {"/etc/ssl/phone-agent": str(folder), "127.0.0.1:5050": f"127.0.0.1:{service_port}"}
    match kind.name:
        case "nginx":
            swaps |= {"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;"}
            swaps |= {"server_name voice.example.com;": f"server_name {HOST};"}
            # The directories are root's by default.
            temporary = "client_body", "proxy", "fastcgi", "uwsgi", "scgi"
            paths = "".join(f"{each}_temp_path {folder}/{each};\n" for each in temporary)
            swaps |= {"http {\n": f"http {{\naccess_log off;\n{paths}"}
            swaps |= {"worker_processes auto;": f"worker_processes 1;\npid {folder}/nginx.pid;"}
        case "HAProxy":
            swaps |= {"bind :443 ": f"bind 127.0.0.1:{port} "}
        case "Caddy":
            swaps |= {"https://voice.example.com {": f"https://{HOST}:{port} {{\n\tbind 127.0.0.1"}
            options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
            swaps |= {"# Caddy before": f"{options}# Caddy before"}
    if keep_alive_s is not None:
        swaps[kind.keep_alive] = kind.shorter.format(ms=keep_alive_s * 1000)
    for old, new in swaps.items():
        if old not in text:
            raise RuntimeError(f"docs/proxies/{kind.file} has no {old!r}")
        text = text.replace(old, new)
    return "\n".join(_chosen(text.splitlines(), strips, forwarded)) + "\n"


def _chosen(lines: list[str], strips: bool, forwarded: bool) -> Iterator[str]:
    """The lines with the chosen alternatives. An alternative is what follows its title, up to a
    blank line."""
    active: bool | None = None
    for line in lines:
        bare = line.strip()
        if not bare:
            active = None
        if bare.startswith(_STRIP):
            active = strips
        elif bare.startswith(_KEPT):
            active = not strips
        elif bare.startswith(_FORWARDED):
            active = forwarded
        elif _X_FORWARDED.match(bare):
            active = not forwarded
        elif active is not None:
            code = bare.removeprefix("# ")
            yield code if active else f"# {code}"
            continue
        yield line


@contextmanager
def running_proxy(kind: Kind, config: str, folder: Path, port: int) -> Iterator[None]:
    """Run the proxy with this configuration. Raises RuntimeError if it does not start."""
    file, log = folder / kind.file, folder / f"{kind.name}.log"
    file.write_text(config, encoding="utf-8")
    command = [part.format(config=file) for part in kind.command]
    command[0] = program(kind) or command[0]
    environment: Mapping[str, str] = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        _wait_until_listening(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOPPED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until_s = time.monotonic() + STARTED_S
    while time.monotonic() < until_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"it did not start: {log.read_text(errors='replace')[-1500:]}")
