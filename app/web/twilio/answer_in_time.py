"""Every webhook of Twilio's is answered in time: well, or else with the next best.

Twilio waits 15 seconds for an answer, and then ends the call. A database that is locked, or a fault
of ours, must not cost a caller that.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response

from app.bridge.deadlines import within
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.transfers import Transfers
from app.records.store import StoreUnavailable
from app.web.twilio.request import base_of, form_of, rendered, twiml
from app.wires.twilio.twiml import one_moment

logger = logging.getLogger(__name__)

ANSWER_S = 2.5  # so that the next best, which takes no more than a moment, comes within 3
NEXT_BEST_S = 2.0
MOST_TIMES = 2  # that Twilio is asked to come again, before the caller is helped without the agent

Form = Mapping[str, str]
Handler = Callable[[Request, Form], Coroutine[Any, Any, Response]]


def answered(next_best: Handler) -> Callable[[Handler], Callable[[Request], Awaitable[Response]]]:
    """Makes a route of a webhook's handler, which gets the form once that is known to be Twilio's.
    `next_best`: answers in its place when it fails or takes too long."""

    def decorate(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            form = await form_of(request)
            try:
                return await within(ANSWER_S, handler(request, form))
            except HTTPException:
                raise
            except Exception as error:  # the boundary of a webhook: the call goes on
                _log(request, form, error)
            try:
                return await within(NEXT_BEST_S, next_best(request, form))
            except HTTPException:
                raise
            except Exception as error:
                _log(request, form, error)
            return rendered("unavailable")

        answer.__name__, answer.__doc__ = handler.__name__, handler.__doc__
        return answer

    return decorate


def _log(request: Request, form: Form, error: Exception) -> None:
    extra = {"path": request.url.path, "call_sid": form.get("CallSid", "")}
    if isinstance(error, (StoreUnavailable, TimeoutError)):
        extra["cause"] = str(error)
        logger.warning("webhook answered with the next best", extra=extra)
    else:
        logger.error("webhook failed", exc_info=error, extra=extra)


async def nothing_to_say(request: Request, form: Form) -> Response:
    """For what Twilio only tells."""
    return Response(status_code=204)


async def once_more(request: Request, form: Form) -> Response:
    """Twilio is to come again in a moment, and the caller is asked to wait; in the end they are
    helped without the agent."""
    services: Services = request.app.state.services
    times = request.query_params.get("again", "0")
    if times not in map(str, range(MOST_TIMES)):
        return await apology(request, form)
    base_url = base_of(request)
    prefix, path = urlsplit(base_url).path, request.url.path
    path = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
    url = f"{base_url}{path}?again={int(times) + 1}"
    return rendered("once-more", **one_moment(services.agent.agent.language), url=url)


async def apology(request: Request, form: Form) -> Response:
    """The agent cannot go on: a human, or an apology and the end."""
    switchboard: Switchboard = request.app.state.switchboard
    transfers: Transfers = request.app.state.transfers
    call_sid = form.get("CallSid", "")
    leg = switchboard.leg(call_sid)
    if leg is not None and not leg.needs_fallback:
        leg.give_up("error", "the service failed at a question of Twilio's")
    if rescue := await transfers.fallback(call_sid):
        return twiml(rescue)
    reason = "the agent could not go on, and there is no human to hand the caller to"
    switchboard.note_decision(call_sid, "call ended with an apology", reason)
    switchboard.twiml_ended(call_sid)
    return rendered("unavailable")
