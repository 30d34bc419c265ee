"""Redis on a busy machine: only the tests in which it is away expect no answer in half a second."""

import pytest

PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.stem != "test_redis_away":
        for module in ("link", "subscription"):
            monkeypatch.setattr(f"app.bridge.bus.{module}.DEADLINE_S", PATIENCE_S)
