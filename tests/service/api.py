"""A client of the HTTP API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.service.world import API_TOKEN, World

OURS, ANN = "+14155550100", "+14155550123"


@dataclass(frozen=True, slots=True)
class Told:
    """The service's response."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def detail(self) -> str:
        """The detail of a problem, after checks of its other fields."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.body.keys() == {"type", "title", "status", "detail"}
        assert (self.body["type"], self.body["status"]) == ("about:blank", self.status)
        assert self.body["title"] and self.body["detail"]
        detail: str = self.body["detail"]
        return detail


async def api(
    w: World,
    method: str,
    path: str,
    body: Any = None,
    *,
    raw: bytes | None = None,
    token: str | None = API_TOKEN,
) -> Told:
    """Send a request. `body`: sent as JSON. `raw`: sent unchanged, with the type of JSON."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    async with w.http.request(method, f"{w.url}{path}", data=data, headers=headers) as answer:
        return Told(answer.status, answer.headers, await answer.json(content_type=None))


async def place(w: World, to: str = ANN, **more: str) -> Told:
    """Place an outbound call."""
    return await api(w, "POST", "/calls", {"to": to, **more})
