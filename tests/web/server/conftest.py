"""Fixtures of the server's tests."""

import pytest


@pytest.fixture(autouse=True)
def no_log_while_counting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Keep refusals counted, not logged, however long a test takes on a busy machine."""
    if request.path.stem != "test_refusals":
        monkeypatch.setattr("app.web.server.refusals.FIRST_S", 3600.0)
