"""/openapi.json: it describes every route, and the API answers as described."""

import asyncio
import sys
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi.openapi.models import OpenAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.simulator.realtime import RealtimeServer
from app.simulator.twilio import Call, Callee
from tests.conftest import FUZZ
from tests.service.api import OURS, api
from tests.service.transfer_world import (
    ANSWER,
    DESK,
    HELLO,
    SALES,
    Agent,
    callers,
    desk,
    size,
    transfer_reply,
    transfer_world,
)
from tests.service.world import AGENT, API_TOKEN, World, world

ONE = desk(name="desk", number=DESK)
TWO = desk(f'name = "desk"\nnumber = "{DESK}"', f'name = "sales"\nnumber = "{SALES}"')
PROBLEM = "application/problem+json"
# The statuses of each route, besides 401, 429 and 503 of all routes that need the token.
SOFTPHONE = "/softphone/calls/{call_sid}"
ROUTES = {
    ("get", "/calls"): {200, 404, 422},
    ("post", "/calls"): {201, 403, 409, 413, 422, 502, 504},
    ("get", "/calls/{call_sid}"): {200, 404, 422},
    ("get", "/calls/{call_sid}/report"): {200, 404, 422},
    ("get", "/calls/{call_sid}/page"): {200, 404, 422},
    ("get", "/statistics"): {200, 422},
    ("get", "/agent"): {200},
    ("get", "/calls/{call_sid}/recording"): {200, 206, 404, 416, 422},
    ("post", "/calls/{call_sid}/transfer"): {202, 404, 409, 413, 422, 504},
    ("post", "/calls/{call_sid}/say"): {202, 404, 409, 413, 422, 504},
    ("post", "/calls/{call_sid}/hangup"): {202, 404, 409, 413, 422, 502, 504},
    ("post", "/softphone/calls"): {201, 403, 422},
    ("post", f"{SOFTPHONE}/next"): {200, 403, 404, 422},
    ("get", f"{SOFTPHONE}/transfers/{{number}}"): {200, 403, 404, 422},
    ("post", f"{SOFTPHONE}/transfers/{{number}}/answer"): {200, 403, 404, 422},
    ("post", f"{SOFTPHONE}/transfers/{{number}}/ended"): {200, 403, 404, 413, 422},
}
#: What is no JSON, by the end of its path.
OTHER_TYPES = {"recording": "audio/wav", "page": "text/html"}


async def described(w: World) -> dict[str, Any]:
    told = await api(w, "GET", "/openapi.json")
    assert told.status == 200 and told.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = told.body
    return found


# --- the description ------------------------------------------------------------------------------


async def test_every_route_is_described_with_its_problems() -> None:
    async with world(RealtimeServer(Agent().brain), agent=TWO) as w:
        document = await described(w)

    assert document["openapi"].startswith("3.1.")
    OpenAPI.model_validate(document)
    paths = document["paths"]
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for (method, path), statuses in ROUTES.items():
        operation = paths[path][method]
        answers = {int(status): answer for status, answer in operation["responses"].items()}
        assert answers.keys() == statuses | {401, 429, 503}, path
        assert operation["security"] == [{"HTTPBearer": []}]
        assert operation["summary"] and operation["description"]
        for status, answer in answers.items():
            good = OTHER_TYPES.get(path.rpartition("/")[2], "application/json")
            assert answer["content"].keys() == {PROBLEM if status >= 400 else good}
    told = {(method, path) for path, operations in paths.items() for method in operations}
    others = {("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics")}
    assert told - ROUTES.keys() == others


async def test_every_schema_is_valid_and_its_examples_match() -> None:
    async with world(RealtimeServer(Agent().brain), agent=TWO) as w:
        document = await described(w)

    examples = 0
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        for field, value in schema.get("properties", {}).items():
            whole = {**value, "components": document["components"]}
            for example in value.get("examples", []):
                jsonschema_rs.validate(whole, example)
                examples += 1
            assert "default" not in value or jsonschema_rs.is_valid(whole, value["default"]), (
                f"{name}.{field}"
            )
    assert examples >= 2


async def test_the_description_needs_the_token() -> None:
    async with world(RealtimeServer(Agent().brain)) as w:
        for token in (None, "", "wrong"):
            assert (await api(w, "GET", "/openapi.json", token=token)).status == 401
        for path in ("/docs", "/redoc"):
            assert (await api(w, "GET", path)).status == 404


@pytest.mark.parametrize(
    ("file", "names", "needed"),
    [(AGENT, None, False), (ONE, ["", "desk"], False), (TWO, ["desk", "sales"], True)],
)
async def test_it_lists_the_transfer_destinations(
    file: str, names: list[str] | None, needed: bool
) -> None:
    async with world(RealtimeServer(Agent().brain), agent=file) as w:
        order = (await described(w))["components"]["schemas"]["TransferOrder"]

    assert order["properties"]["destination"].get("enum") == names
    assert ("destination" in order.get("required", [])) is needed


# --- responses ------------------------------------------------------------------------------------


async def test_records_of_every_kind_of_call_match_their_schemas() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = Callee(presses="1", talks_ms=30)
        (past,) = await callers(w, agent)
        agent.transfer = {past.request: transfer_reply()}
        await past.transferred()
        await past.ended()
        (live,) = await callers(w, agent)
        await live.greeted()
        live.says("Are you open on Sunday?")
        await live.call.wait_heard(size(HELLO, ANSWER))
        await w.store.flush()
        components = (await described(w))["components"]

        def check(name: str, value: Any) -> None:
            schema = {"$ref": f"#/components/schemas/{name}", "components": components}
            jsonschema_rs.validate(schema, value, validate_formats=True)

        page = (await api(w, "GET", "/calls")).body
        check("CallPage", page)
        told = {each["call_sid"]: each["status"] for each in page["calls"]}
        assert told == {past.call.call_sid: "completed", live.call.call_sid: "in-progress"}
        first = (await api(w, "GET", "/calls?limit=1")).body
        assert [each["call_sid"] for each in first["calls"]] == [live.call.call_sid]
        rest = (await api(w, "GET", f"/calls?limit=1&before={first['next']}")).body
        assert (rest["calls"][0]["call_sid"], rest["next"]) == (past.call.call_sid, None)
        assert (await api(w, "GET", "/calls?status=completed")).body == rest

        records = {call_sid: (await api(w, "GET", f"/calls/{call_sid}")).body for call_sid in told}
        for record in records.values():
            check("Call", record)
            assert record["transcript"]
        assert records[past.call.call_sid]["events"]
        (transfer,) = records[past.call.call_sid]["transfers"]
        assert (transfer["destination"], transfer["outcome"]) == ("desk", "completed")
        assert records[live.call.call_sid]["transfers"] == []


# --- schemathesis ---------------------------------------------------------------------------------


class Settled:
    """The service, whose answers wait until what was ordered is done: so a request meets the same
    calls in every run, and the next one that schemathesis makes of its answer is the same too.

    `requests`: what was asked of it, and its statuses.
    """

    def __init__(self, w: World, service: ASGIApp) -> None:
        self.requests: list[tuple[str, str, str, bytes, int]] = []
        self._w = w
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(("/calls", "/healthz", "/readyz")):
            await self._service(scope, receive, send)
            return
        sent, status = bytearray(), 0

        async def read() -> Message:
            message = await receive()
            sent.extend(message.get("body", b""))
            return message

        async def write(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status == 202:
                _, _, call_sid, order = path.split("/")
                if call_sid in self._w.line.calls:  # else it is a softphone's
                    await self._is_done(self._w.line.calls[call_sid], order)
            await send(message)

        await self._service(scope, read, write)
        query = scope["query_string"].decode()
        self.requests.append((scope["method"], path, query, bytes(sent), status))

    async def _is_done(self, call: Call, order: str) -> None:
        if order == "transfer":
            await call.wait_for(lambda: bool(call.dialed))
        elif order == "hangup":
            await over(self._w, call)
        await self._w.store.flush()


async def over(w: World, call: Call) -> None:
    """Wait until the service knows that a call has ended."""
    await call.wait_ended()
    known = asyncio.Event()
    w.switchboard.on_call_ended.append(lambda sid: known.set() if sid == call.call_sid else None)
    if w.switchboard.is_live(call.call_sid):
        await known.wait()


@pytest.mark.fuzz
@pytest.mark.timeout(3600 if FUZZ else 240)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Every phase and check, over a socket, among calls of every kind: past, live, handed over.
    What it sends is the same in every run: all that its requests are made of is in the schema and
    in earlier answers, and those hold no random SID."""
    agent = Agent()
    sids = {direction: count(1) for direction in ("inbound", "outbound-api", "outbound-dial")}
    async with world(
        RealtimeServer(agent.brain),
        agent=f"{TWO}[limits]\nidle_seconds = 0\n",
        twilio_phone_number=OURS,
        outbound_repeat_seconds=3600,  # longer than the run
        line={
            "gather_scale": 0.02,
            "ring_scale": 60,
            "call_sids": lambda direction: f"CA{len(direction):016x}{next(sids[direction]):016x}",
        },
        fails=True,
    ) as w:
        past, live, handed = await callers(w, agent, 3)
        await past.greeted()
        past.call.hang_up()
        await over(w, past.call)
        await live.greeted()
        w.line.callee = Callee(presses="1")
        agent.transfer = {handed.request: transfer_reply(destination="desk")}
        await handed.transferred()
        await handed.call.wait_for(lambda: handed.call.dialed[0].bridged_ms is not None)
        w.line.callee = Callee("no-answer")  # keeps ringing
        await w.store.flush()
        w.server.config.loaded_app = settled = Settled(w, w.server.config.loaded_app)

        status, report = await run(w, tmp_path)
        assert status == 0, report
        assert "Tested: 19" in report and "Stateful" in report
        # What it sends in order to see what the server takes, and uvicorn's word for it.
        assert {line.splitlines()[0] for line in w.log.failures()} <= {
            "Invalid HTTP request received."
        }
        assert any(request.path.endswith("/Calls.json") for request in w.line.rest_requests)
        assert {202, 409} <= {status for *_, status in settled.requests}


async def run(w: World, folder: Path) -> tuple[int, str]:
    """Run the schemathesis command; returns its exit status and output."""
    how = ["--max-examples", "300"] if FUZZ else ["--max-examples", "8"]
    if not FUZZ:
        how += ["--generation-deterministic", "--suppress-health-check", "too_slow"]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{w.url}/openapi.json",
        "--header", f"Authorization: Bearer {API_TOKEN}",
        "--checks", "all", *how,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return await process.wait(), output.decode()
