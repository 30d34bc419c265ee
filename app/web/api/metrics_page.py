"""`GET /metrics`: the metrics of all calls, behind API_TOKEN or METRICS_TOKEN."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials

from app.web.api_token import TokenRoute, bearer, check_token
from app.web.app_state import State, state_of
from app.web.metrics import CONTENT_TYPE
from app.web.problems import documented


def check_metrics_token(request: Request) -> None:
    """Demand API_TOKEN or METRICS_TOKEN. Raises HTTPException 401, or 429 as `check_token`."""
    check_token(request, state_of(request.app).metrics_token)


async def require_metrics_token(
    request: Request,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """A route's dependency, see `require_token`."""
    check_metrics_token(request)


class MetricsRoute(TokenRoute):
    """A route for which METRICS_TOKEN is good too."""

    def check(self, request: Request) -> None:
        check_metrics_token(request)


router = APIRouter(
    tags=["metrics"],
    route_class=MetricsRoute,
    dependencies=[Depends(require_metrics_token)],
    responses=documented(401, 429),
)


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
async def metrics(state: State) -> Response:
    """Counts and times of all calls of this process, in Prometheus' text format."""
    return Response(state.metrics.page(), media_type=CONTENT_TYPE)
