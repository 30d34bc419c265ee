"""The files that deploy the service agree with it, and with each other."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Match

from app.config.agent.file import load_agent
from app.config.settings import Settings, load_settings
from app.main import app
from docs.imports import ROOT
from scripts.deploy_check import OFFERED, TAKEN
from tests.deploy import files
from tests.deploy.files import STOPPED_S

ENVIRONMENTS = files.environments()
KNOWN = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}


def container() -> dict[str, Any]:
    """The container of the deployment."""
    (found,) = pod()["containers"]
    return dict(found)


def pod() -> dict[str, Any]:
    """The pod of the deployment."""
    return dict(files.manifest("base/deployment.yaml")["spec"]["template"]["spec"])


def answers(path: str) -> bool:
    """Whether the service has a GET route for this path."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in app.routes)


@pytest.mark.parametrize("file", files.YAML_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_yaml_file_holds_documents(file: Path) -> None:
    assert all(isinstance(document, dict) for document in files.documents(file))


# --- the environment ------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ENVIRONMENTS)
def test_every_variable_is_a_setting(file: str) -> None:
    assert set(ENVIRONMENTS[file]) - KNOWN - files.OTHERS == set()


@pytest.mark.parametrize("file", ENVIRONMENTS)
def test_every_value_is_one_that_the_setting_takes(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # there is no .env
    for name, value in ENVIRONMENTS[file].items():
        # As Compose puts in values of .env: ${NAME} and ${NAME:?what to do}.
        given = re.sub(r"\$\{PUBLIC_URL.*?\}", "https://voice.example.com", value)
        monkeypatch.setenv(name, re.sub(r"\$\{.*?\}", "secret", given))
    if not ENVIRONMENTS[file].get("API_TOKEN"):
        monkeypatch.setenv("API_TOKEN", "secret")  # by the owner

    load_settings()


def test_compose_needs_no_variable_that_its_page_does_not_name() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "deploy" / "compose.md").read_text(encoding="utf-8")

    for name in set(re.findall(r"\$\{([A-Z_]+)", text)):
        assert f"\n{name}=" in page


def test_replicas_differ_only_in_what_must_differ() -> None:
    first, second = files.replicas().values()

    differing = {k for k in first if first[k] != second[k]}
    assert differing == {"environment"}
    different = dict(first["environment"].items() - second["environment"].items())
    assert different.keys() == {"REPLICA_URL", "SPOOL_DIR"}


@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL", "API_TOKEN"])
def test_what_several_replicas_need_is_set(name: str) -> None:
    for file in ("compose.yaml, replica-1", "compose.yaml, replica-2", "example", "render.yaml"):
        assert name in ENVIRONMENTS[file], file


def test_the_example_agent_of_kubernetes_is_one() -> None:
    example = files.DEPLOY / "kubernetes" / "example"
    mounted = {v["name"]: v["mountPath"] for v in container()["volumeMounts"]}
    (agent,) = files.manifest("example/kustomization.yaml")["configMapGenerator"][1]["files"]

    assert load_agent(example / agent, None).agent.name == "Alex"
    assert ENVIRONMENTS["example"]["AGENT_FILE"] == f"{mounted['agent']}/{agent}"


# --- the end of a process -------------------------------------------------------------------------


def test_a_process_is_killed_only_after_it_has_drained() -> None:
    hook = container()["lifecycle"]["preStop"]["exec"]["command"]
    grace = {
        "base": (int(hook[1]), pod()["terminationGracePeriodSeconds"]),
        "fly.toml": (0, files.fly()["kill_timeout"]),
        "render.yaml": (0, files.render()["maxShutdownDelaySeconds"]),
    }
    for name, each in files.replicas().items():
        grace[f"compose.yaml, {name}"] = (0, each["stop_grace_period"].removesuffix("s"))

    assert hook[0] == "sleep"
    for file, (before_s, killed_s) in grace.items():
        drain_s = int(ENVIRONMENTS[file]["DRAIN_SECONDS"])
        assert before_s + drain_s + STOPPED_S <= int(killed_s) <= before_s + drain_s + 60, file


def test_systemd_waits_for_the_default_drain() -> None:
    (killed_s,) = files.unit("TimeoutStopSec")
    (written,) = re.findall(
        r"^DRAIN_SECONDS=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.M
    )

    assert float(written) == DEFAULTS["drain_seconds"]
    assert float(written) + STOPPED_S <= float(killed_s) <= float(written) + 60


def test_the_page_has_the_numbers_of_the_files() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (hook_s,) = re.findall(r"after (\d+) s of `preStop`", page)
    rows = {
        row.split(" | ")[0].strip("| "): [int(n) for n in re.findall(r"\d+", row)]
        for row in page.splitlines()
        if row.startswith("| ") and re.search(r"\d+ s \|", row)
    }

    assert rows["Compose"] == [600, 630]
    assert rows["Kubernetes"] == [540, int(hook_s), 600]
    assert rows["systemd"] == [3600, 3630]
    assert rows["Fly, Render"] == [270, 300]
    assert {int(e["DRAIN_SECONDS"]) for e in ENVIRONMENTS.values() if "DRAIN_SECONDS" in e} == {
        rows[name][0] for name in ("Compose", "Kubernetes", "Fly, Render")
    }


# --- ports and probes -----------------------------------------------------------------------------


def test_every_probe_asks_a_route_of_the_service() -> None:
    probes = {
        each: container()[each] for each in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    asked = [*paths.values(), files.render()["healthCheckPath"]]
    asked += [each["path"] for each in files.fly()["http_service"]["checks"]]
    asked += re.findall(r"health_uri (\S+)", files.CADDYFILE.read_text(encoding="utf-8"))
    for each in files.replicas().values():
        asked += re.findall(r"http://127.0.0.1:5050(/\w+)", each["healthcheck"]["test"][-1])
    asked += re.findall(r"}(/\w+)'", json.loads(health_check())[-1])
    asked += [files.manifest("scaling/monitor.yaml")["spec"]["podMetricsEndpoints"][0]["path"]]

    assert paths["livenessProbe"] == "/healthz"  # a restart while draining would cut calls
    assert paths["readinessProbe"] == "/readyz"
    assert len(asked) == 10
    assert [path for path in asked if not answers(path)] == []


def health_check() -> str:
    """The command of the image's health check, a list in JSON."""
    (line,) = files.instructions("HEALTHCHECK")
    return "[" + line.partition("CMD [")[2]


def test_every_port_is_the_service_s() -> None:
    port = DEFAULTS["port"]
    service = files.manifest("base/service.yaml")["spec"]["ports"][0]
    (named,) = container()["ports"]
    caddy = files.CADDYFILE.read_text(encoding="utf-8")

    assert files.instructions("EXPOSE") == [str(port)]
    assert (named["name"], named["containerPort"]) == (service["targetPort"], port)
    assert files.fly()["http_service"]["internal_port"] == port
    assert {int(each) for each in re.findall(r"replica-\d:(\d+)", caddy)} == {port}
    for environment in ENVIRONMENTS.values():
        assert int(environment.get("PORT", port)) == port


def test_the_proxy_reaches_every_replica_in_common_and_each_by_its_own_address() -> None:
    text = files.CADDYFILE.read_text(encoding="utf-8")
    shared = re.findall(r"reverse_proxy (replica.* replica.*) {", text)
    own = dict(re.findall(r"handle_path /([\w-]+)/\* {\s+reverse_proxy ([\w-]+):\d+ {", text))

    assert [each.split(":")[0] for line in shared for each in line.split()] == [*files.replicas()]
    for name, each in files.replicas().items():
        path = each["environment"]["REPLICA_URL"].removeprefix("${PUBLIC_URL}/")
        assert own[path] == name


def test_the_proxy_closes_idle_connections_before_the_service_does() -> None:
    (kept_s,) = re.findall(r"keepalive (\d+)s", files.CADDYFILE.read_text(encoding="utf-8"))

    assert int(kept_s) < DEFAULTS["keep_alive_seconds"]


def test_the_autoscaler_reads_a_metric_of_the_service_and_leaves_room() -> None:
    (metric,) = files.manifest("scaling/autoscaler.yaml")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    (rule,) = files.manifest("scaling/adapter-values.yaml")["rules"]["custom"]

    assert f'"{name}"' in (ROOT / "app" / "web" / "metrics.py").read_text(encoding="utf-8")
    assert rule["seriesQuery"].startswith(name)
    aim = int(metric["pods"]["target"]["averageValue"])
    assert aim <= int(ENVIRONMENTS["base"]["MAX_CALLS"]) / 2


def test_the_example_offers_the_autoscaler_to_the_check() -> None:
    text = (files.DEPLOY / "kubernetes" / "example" / "kustomization.yaml").read_text("utf-8")

    assert OFFERED in text and TAKEN not in text


def test_everything_selects_the_pods_by_their_label() -> None:
    deployment = files.manifest("base/deployment.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]

    assert labels
    assert deployment["selector"] == {"matchLabels": labels}
    assert files.manifest("base/service.yaml")["spec"]["selector"] == labels
    for name in ("base/disruption.yaml", "scaling/monitor.yaml"):
        assert files.manifest(name)["spec"]["selector"] == {"matchLabels": labels}


# --- the image ------------------------------------------------------------------------------------


def test_the_image_has_a_python_that_the_tests_run_on() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (tested,) = re.findall(r"^PYTHONS := (.*)$", makefile, re.MULTILINE)
    (argument,) = files.instructions("ARG")

    assert argument.removeprefix("PYTHON=") in tested.split()
    assert {each.split()[0] for each in files.instructions("FROM")} == {"python:${PYTHON}-slim"}


def test_the_image_gets_what_the_package_is_built_from_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert "*" in lines
    assert sent == {
        *("app", "examples", "phone_agent", "constraints.txt", "pyproject.toml", "setup.py"),
        *project["license-files"],
        project["readme"],
    }


def test_the_image_starts_the_production_command_on_every_address() -> None:
    command = json.loads(files.instructions("ENTRYPOINT")[0]) + json.loads(
        files.instructions("CMD")[0]
    )
    procfile = (ROOT / "Procfile").read_text(encoding="utf-8").split()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]

    assert command == ["tini", "--", *scripts, *procfile[procfile.index("serve") :]]


def test_a_container_is_not_root_and_writes_to_two_directories() -> None:
    (user,) = files.instructions("USER")
    (home,) = files.instructions("VOLUME")
    security = pod()["securityContext"]
    mounts = container()["volumeMounts"]
    writable = {each["mountPath"] for each in mounts if not each.get("readOnly")}

    assert user == f"{security['runAsUser']}:{security['runAsGroup']}" and security["runAsNonRoot"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    assert writable == {home, "/tmp"}
    for each in files.replicas().values():
        assert each["read_only"] and each["tmpfs"] == ["/tmp"]
        assert f"data:{home}" in each["volumes"]
    for environment in ENVIRONMENTS.values():
        for name in ("RECORDINGS_DIR", "SPOOL_DIR"):
            assert environment.get(name, home).startswith(home)


def test_the_unit_writes_where_it_works() -> None:
    (home,) = files.unit("WorkingDirectory")

    assert [f"/var/lib/{each}" for each in files.unit("StateDirectory")] == [home]
    # SIGTERM to all of them would end programs that tools of live calls started.
    assert files.unit("KillMode") == ["mixed"]
