"""The errors of the HTTP API as problem details (RFC 9457)."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from app.records.store import StoreUnavailable

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """An error. `detail` says what to do about it."""

    #: Always about:blank, so that `title` is the phrase of `status` (RFC 9457, 4.2.1).
    type: str = "about:blank"
    title: str
    status: int
    detail: str


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """Encode as JSON. `detail` may quote the request, with lone surrogates too."""
        return json.dumps(content, ensure_ascii=False).encode(errors="replace")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` for a route or router that answers these statuses with a problem."""
    content = {ProblemResponse.media_type: {"schema": Problem.model_json_schema()}}
    return {s: {"description": HTTPStatus(s).phrase, "content": content} for s in statuses}


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """A problem as a response. `detail` says what to do about it."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return ProblemResponse(body.model_dump(), status, headers)


#: Called for a request that matches no route. Raises HTTPException if the client may not know that.
AccessCheck = Callable[[Request], Awaitable[None]]


async def _allow(_request: Request) -> None:
    pass


def install(app: FastAPI, check_access: AccessCheck = _allow) -> None:
    """Make `app` answer every error with a problem."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        no_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        no_route = error.status_code == HTTPStatus.NOT_FOUND and "endpoint" not in request.scope
        if no_method or no_route:
            try:
                await check_access(request)
            except ClientDisconnect:
                return await client_disconnected(request)
            except HTTPException as denied:
                return problem(denied.status_code, str(denied.detail), denied.headers)
        if not no_method:
            return problem(error.status_code, str(error.detail), error.headers)
        allowed = ", ".join(_methods(app, request))
        detail = f"{request.method} does nothing here; this path takes {allowed}"
        return problem(error.status_code, detail, {"Allow": allowed})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> ProblemResponse:
        faults = "; ".join(map(_fault, error.errors()))
        extra = {"method": request.method, "path": request.url.path, "faults": faults}
        logger.warning("request that is wrong refused", extra=extra)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, faults)

    @app.exception_handler(StoreUnavailable)
    async def store_unavailable(_request: Request, error: StoreUnavailable) -> ProblemResponse:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _error: ClientDisconnect) -> Response:
        return await client_disconnected(request)

    @app.exception_handler(Exception)  # the server logs the exception after this answer
    async def failed(_request: Request, _error: Exception) -> ProblemResponse:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; its log says why")


async def client_disconnected(request: Request) -> Response:
    """The client disconnected during its request: no one reads the answer, and nothing is wrong."""
    extra = {"method": request.method, "path": request.url.path}
    logger.debug("client disconnected during its request", extra=extra)
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """The methods of a path; Starlette's own answer names only those of its first route."""
    return [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    ]


def _fault(error: Mapping[str, Any]) -> str:
    """One of Pydantic's validation errors as text."""
    if error["type"] == "json_invalid":
        return f"body: expected JSON; {error['ctx']['error']} at character {error['loc'][-1]}"
    place = ".".join(map(str, error["loc"]))
    match error["type"]:
        case "model_attributes_type" | "dict_type":
            message = "expected a JSON object, sent with Content-Type: application/json"
        case "missing":
            message = "missing"
        case "extra_forbidden":
            message = "unknown; /openapi.json lists the known ones"
        case _:
            message = error["msg"]
    return f"{place}: {message}"
