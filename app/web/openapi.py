"""The HTTP API described by itself, for whoever holds the token."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from app.web.security import require_token

router = APIRouter(include_in_schema=False, dependencies=[Depends(require_token)])


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """OpenAPI 3.1."""
    described: dict[str, Any] = request.app.openapi()
    return described
