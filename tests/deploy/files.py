"""The files of docs/deploy.md, read as their tools read them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from docs.imports import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = ROOT / "Dockerfile"
UNIT = DEPLOY / "systemd" / "phone-agent@.service"
CADDYFILE = DEPLOY / "compose" / "Caddyfile"
YAML_FILES = sorted(
    [ROOT / "compose.yaml", *(p for end in ("yaml", "yml") for p in DEPLOY.rglob(f"*.{end}"))]
)
#: Variables of other programs: PostgreSQL's, Caddy's and Python's.
OTHERS = {"PATH", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER", "PYTHONDONTWRITEBYTECODE"}
#: How long the service may take from DRAIN_SECONDS to its end, in seconds.
STOPPED_S = 10


def documents(file: Path) -> list[Any]:
    """What a YAML file holds."""
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def compose() -> dict[str, Any]:
    """compose.yaml, with its anchors resolved."""
    (found,) = documents(ROOT / "compose.yaml")
    return dict(found)


def replicas() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml that run this service, by name."""
    services = compose()["services"]
    return {name: each for name, each in services.items() if each.get("build")}


def manifest(name: str) -> dict[str, Any]:
    """A file of deploy/kubernetes, such as base/deployment.yaml."""
    (found,) = documents(DEPLOY / "kubernetes" / name)
    return dict(found)


def literals(name: str) -> dict[str, str]:
    """The variables of a kustomization's first config map."""
    first = manifest(name)["configMapGenerator"][0]
    return dict(line.split("=", 1) for line in first["literals"])


def secrets() -> dict[str, str]:
    """The variables of secrets.env.example."""
    text = (DEPLOY / "kubernetes" / "example" / "secrets.env.example").read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def instructions(name: str) -> list[str]:
    """What follows an instruction of the Dockerfile, each time."""
    return _found(name, DOCKERFILE.read_text(encoding="utf-8"))


def image_environment() -> dict[str, str]:
    """The environment of the image: that of its last stage."""
    last = DOCKERFILE.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    return dict(pair.split("=", 1) for line in _found("ENV", last) for pair in line.split())


def _found(name: str, text: str) -> list[str]:
    return re.findall(rf"^{name} +(.*)$", text.replace("\\\n", ""), re.MULTILINE)


def unit(key: str) -> list[str]:
    """The values of a key of the systemd unit."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def snippet(page: str, begins: str) -> str:
    """A block of code on a page of docs/deploy, by its first line."""
    text = (ROOT / "docs" / "deploy" / page).read_text(encoding="utf-8")
    (found,) = re.findall(
        rf"^```\w*\n({re.escape(begins)}\n.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    return str(found)


def fly() -> dict[str, Any]:
    """fly.toml."""
    return tomllib.loads(snippet("platform.md", "# fly.toml"))


def render() -> dict[str, Any]:
    """The web service of render.yaml."""
    return dict(yaml.safe_load(snippet("platform.md", "# render.yaml"))["services"][0])


def environments() -> dict[str, dict[str, str]]:
    """The service's environment in each file. A value that the platform makes is empty."""
    found = {
        "Dockerfile": image_environment(),
        "systemd": dict(pair.split("=", 1) for pair in unit("Environment")),
    }
    for name, each in replicas().items():
        found[f"compose.yaml, {name}"] = each["environment"]
    found["base"] = literals("base/kustomization.yaml")
    found["example"] = found["base"] | literals("example/kustomization.yaml") | secrets()
    found["fly.toml"] = fly()["env"]
    found["render.yaml"] = {each["key"]: each.get("value", "") for each in render()["envVars"]}
    return found
