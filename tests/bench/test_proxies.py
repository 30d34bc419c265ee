"""The configurations of docs/proxies, as `make proxies` fits them to a machine."""

from itertools import product
from pathlib import Path

import pytest

from bench.proxies import replicas
from bench.proxies.config import KINDS, Kind, fitted
from bench.proxies.idle import idle_times_s


def variant(kind: Kind, **chosen: bool) -> set[str]:
    """The lines that are no comments."""
    text = fitted(kind, Path("/proxies"), port=8443, service_port=6000, keep_alive_s=1.5, **chosen)
    return {line.strip() for line in text.splitlines() if not line.strip().startswith("#")}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_documented_configuration_has_each_variant_once(kind: Kind) -> None:
    strips = {
        "nginx": "proxy_pass http://phone_agent/;",
        "HAProxy": r"http-request replace-path /phone(/.*) \1",
        "Caddy": "uri strip_prefix /phone",
    }[kind.name]
    for stripped, forwarded in product((False, True), (False, True)):
        lines = variant(kind, strips=stripped, forwarded=forwarded)
        assert (strips in lines) is stripped
        assert any("Forwarded" in line and "host=" in line for line in lines) is forwarded
        assert any("127.0.0.1:6000" in line for line in lines)
        assert any("1500ms" in line for line in lines)
        assert not any("/etc/ssl" in line or "voice.example.com" in line for line in lines)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_text_that_is_gone_from_a_configuration_is_an_error(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / kind.file).write_text("# Caddy before\n")
    monkeypatch.setattr("bench.proxies.config.DOCS", tmp_path)
    with pytest.raises(RuntimeError, match=f"docs/proxies/{kind.file} has no"):
        variant(kind)


def test_most_pauses_are_about_when_one_side_closes() -> None:
    pauses = idle_times_s(400, 1.0, 1.25)
    near = [each for each in pauses if min(abs(each - 1.0), abs(each - 1.25)) <= 0.008]
    assert len(near) >= 300
    assert 0 <= min(pauses) < 0.5 and 1.25 < max(pauses) < 1.4


def test_the_proxy_of_compose_is_fitted_to_this_machine() -> None:
    text = replicas.fitted(Path("/proxies"), 8443, [6001, 6002])

    assert "https://localhost:8443 {\n\tbind 127.0.0.1\n\ttls /proxies/fullchain.pem" in text
    assert "reverse_proxy 127.0.0.1:6001 127.0.0.1:6002 {" in text
    assert "5050" not in text and "PUBLIC_URL}" not in text
