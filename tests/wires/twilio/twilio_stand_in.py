"""A stand-in for Twilio's REST API with responses that a test chooses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

ACCOUNT, TOKEN, CALL = "AC0123", "s3cret-t0ken", "CA4567"
CALLS_PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Twilio:
    """Answers requests with `answers` in order, and repeats the last one."""

    answers: list[Answer] = field(default_factory=list)
    #: Method, path with query, Authorization, and the last value of each form field.
    requests: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)
    #: All values of each form field, one dict per request.
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    #: When each request came, by the event loop's clock.
    times_s: list[float] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self.forms.append({name: list(map(str, form.getall(name))) for name in form})
        last = {name: values[-1] for name, values in self.forms[-1].items()}
        authorization = request.headers.get("Authorization", "")
        self.requests.append((request.method, request.path_qs, authorization, last))
        self.times_s.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def says(status: int, code: int | None = None, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        body = {"status": status, "message": "to +15550101"} | ({"code": code} if code else {})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return answer


def says_json(body: object, status: int = 200) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


def says_html(status: int) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>\ufffd", status=status)

    return answer


async def breaks_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


DONE = says(200)
PLACED = says_json({"sid": CALL, "status": "queued"}, 201)


@asynccontextmanager
async def twilio_that(*answers: Answer) -> AsyncIterator[Twilio]:
    """A stand-in on a loopback port, with these answers."""
    fake = Twilio(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("/"))
        yield fake
