"""What is refused is counted here, and not told meanwhile: a busy machine takes its time."""

import pytest


@pytest.fixture(autouse=True)
def no_log_while_counting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.path.stem != "test_refusals":
        monkeypatch.setattr("app.web.server.refusals.FIRST_S", 3600.0)
