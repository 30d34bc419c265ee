"""`make deploy-check`: the files that deploy the service, checked by the tools that read them.

What is installed beside this interpreter (deploy/requirements.txt) always runs; systemd-analyze and
Docker Compose run if the machine has them. Nothing is started or downloaded.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
KUBERNETES = Path("deploy", "kubernetes")
UNIT = ROOT / "deploy" / "systemd" / "phone-agent@.service"
#: The exposure of the unit that systemd-analyze computes, from 0 to 100, is at most this.
MOST_EXPOSURE = 20
#: The versions of Kubernetes whose schemas count: the oldest that docs/deploy names, and a new one.
KUBERNETES_VERSIONS = ("1.28", "1.37")
#: The lines of the example's kustomization that switch the autoscaler on, before and after.
OFFERED, TAKEN = "# components:\n#   - ../scaling\n", "components:\n  - ../scaling\n"
#: One command, in seconds.
STEP_S = 120


class Skipped(Exception):
    """The machine lacks a tool. The message names it."""


class Failed(Exception):
    """A tool found a fault. The message is what it printed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    run: Callable[[Path], None]


def main() -> int:
    """Run every check. Returns the exit status: 1 if one failed."""
    count = {"ok": 0, "failed": 0, "skipped": 0}
    with TemporaryDirectory(prefix="deploy-") as name:
        for check in CHECKS:
            said = ""
            try:
                check.run(Path(name))
                state = "ok"
            except Skipped as missing:
                state, said = "skipped", f"  ({missing} is not installed)"
            except Failed as fault:
                state, said = "failed", f"\n{fault}"
            count[state] += 1
            print(f"{state:8} {check.name}{said}", flush=True)
    print(", ".join(f"{number} {state}" for state, number in count.items()))
    return 1 if count["failed"] else 0


def own(name: str) -> str:
    """The path of a program of this environment. Raises Failed if there is none."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise Failed(f"{path} is missing: run make deploy-check")
    return str(path)


def program(name: str) -> str:
    """The path of a program of the machine. Raises Skipped if there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Skipped(name)
    return found


def run(command: Sequence[str], **environment: str) -> str:
    """What a command prints. Raises Failed if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=STEP_S,
    )
    if done.returncode:
        raise Failed((done.stdout + done.stderr).strip())
    return done.stdout


# --- the checks -----------------------------------------------------------------------------------


def dockerfile(_folder: Path) -> None:
    """hadolint on the Dockerfile."""
    run([own("hadolint"), "Dockerfile"])


def compose_schema(_folder: Path) -> None:
    """compose.yaml by the schema of the Compose specification."""
    command = [own("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    run([*command, "compose.yaml"])


def compose_config(folder: Path) -> None:
    """compose.yaml as Docker Compose reads it, with .env.example as .env."""
    command = _docker_compose()
    project = folder / "compose"
    project.mkdir()
    shutil.copy(ROOT / "compose.yaml", project)
    shutil.copy(ROOT / ".env.example", project / ".env")
    values = {"PUBLIC_URL": "https://voice.example.com", "API_TOKEN": "t", "POSTGRES_PASSWORD": "p"}
    run([*command, "--file", str(project / "compose.yaml"), "config", "--quiet"], **values)


def manifests(folder: Path) -> None:
    """The manifests of the example, built."""
    _validate(_built(folder / "example", scaling=False), folder)


def manifests_with_scaling(folder: Path) -> None:
    """The manifests of the example with the autoscaler, built."""
    rendered = _built(folder / "scaling", scaling=True)
    if "\n  replicas:" in rendered:
        raise Failed("the deployment says how many replicas there are, beside the autoscaler")
    _validate(rendered, folder)


def unit_verify(folder: Path) -> None:
    """The systemd unit, with a command that exists."""
    unit = _unit(folder)
    said = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=STEP_S,
    )
    # It also reads the units that this one names, and reports theirs.
    faults = [line for line in said.stderr.splitlines() if "phone-agent" in line]
    if faults:
        raise Failed("\n".join(faults))


def unit_security(folder: Path) -> None:
    """How much of the system the unit exposes."""
    command = [program("systemd-analyze"), "security", "--offline=true", "--no-pager"]
    try:
        run([*command, f"--threshold={MOST_EXPOSURE}", str(_unit(folder))])
    except Failed as fault:
        raise Failed("\n".join(x for x in str(fault).splitlines() if x[:1] in "✗→")) from None


def caddyfile(_folder: Path) -> None:
    """The proxy's configuration, as Caddy reads it."""
    command = [own("caddy"), "validate", "--adapter", "caddyfile", "--config"]
    run([*command, "deploy/compose/Caddyfile"], PUBLIC_URL="https://voice.example.com")


CHECKS = (
    Check("Dockerfile: hadolint", dockerfile),
    Check("compose.yaml: the schema of Compose", compose_schema),
    Check("compose.yaml: docker compose config", compose_config),
    Check("Kubernetes: kustomize, and the schemas of its API", manifests),
    Check("Kubernetes with the autoscaler: the same", manifests_with_scaling),
    Check("systemd unit: systemd-analyze verify", unit_verify),
    Check("systemd unit: systemd-analyze security", unit_security),
    Check("Caddyfile: caddy validate", caddyfile),
)


def _docker_compose() -> list[str]:
    """The command: Docker's plug-in, or the program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            run([program(command[0]), *command[1:], "version"])
        except (Failed, Skipped):
            continue
        return command
    raise Skipped("Docker Compose")


def _built(folder: Path, *, scaling: bool) -> str:
    """What `kubectl kustomize` makes of the example, in a copy with its secrets."""
    shutil.copytree(ROOT / KUBERNETES, folder)
    example = folder / "example"
    shutil.copy(example / "secrets.env.example", example / "secrets.env")
    if scaling:
        file = example / "kustomization.yaml"
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(OFFERED, TAKEN), encoding="utf-8")
    kubectl = Path(sys.executable).parent / "kubectl"
    command = str(kubectl) if kubectl.exists() else program("kubectl")
    return run([command, "kustomize", str(example)])


def _validate(rendered: str, folder: Path) -> None:
    file = folder / "rendered.yaml"
    file.write_text(rendered, encoding="utf-8")
    command = [own("kubernetes-validate"), "--strict", "--quiet", "--no-warn", "-k"]
    for version in KUBERNETES_VERSIONS:
        run([*command, version, str(file)])


def _unit(folder: Path) -> Path:
    text = UNIT.read_text(encoding="utf-8")
    unit = folder / "phone-agent@5050.service"
    unit.write_text(text.replace("/opt/phone-agent/bin/phone-agent", sys.executable), "utf-8")
    return unit


if __name__ == "__main__":
    sys.exit(main())
