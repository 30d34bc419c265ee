"""A deadline and a fallback for every webhook of Twilio's.

Twilio waits 15 seconds for an answer, then ends the call. A locked database, or an exception in a
handler, must not cost the caller the call.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from fastapi import HTTPException, Request, Response

from app.bridge.deadlines import within
from app.records.store import StoreUnavailable
from app.web.app_state import AppState, State
from app.web.twilio.request import base_of, form_of, rendered, twiml
from app.wires.twilio.twiml import one_moment

logger = logging.getLogger(__name__)

ANSWER_S = 2.5  # the fallback usually takes a moment, so that Twilio gets it within 3
FALLBACK_S = 2.0
MOST_REPEATS = 2  # of one request by `ask_again`; after that, `apology`

Form = Mapping[str, str]
Handler = Callable[[Request, Form, AppState], Coroutine[Any, Any, Response]]
Answer = Callable[[Request, State], Awaitable[Response]]


def webhook(fallback: Handler) -> Callable[[Handler], Answer]:
    """Make a route from a webhook's handler, with a deadline of `ANSWER_S`.

    The handler gets the form after its signature was checked. `fallback`: answers in its place if
    it raises or takes too long; if that fails too within `FALLBACK_S`, the caller hears an apology.
    """

    def decorate(handler: Handler) -> Answer:
        async def answer(request: Request, state: State) -> Response:
            form = await form_of(request)
            try:
                return await within(ANSWER_S, handler(request, form, state))
            except HTTPException:
                raise
            except Exception as error:  # the boundary of a webhook: the call goes on
                _log(request, form, error)
            try:
                return await within(FALLBACK_S, fallback(request, form, state))
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
        logger.warning("webhook answered with its fallback", extra=extra)
    else:
        logger.error("webhook failed", exc_info=error, extra=extra)


async def acknowledge(request: Request, form: Form, state: AppState) -> Response:
    """The fallback for callbacks that expect no TwiML: 204."""
    return Response(status_code=204)


async def ask_again(request: Request, form: Form, state: AppState) -> Response:
    """The fallback that asks the caller to wait, and redirects Twilio to the same URL.

    After `MOST_REPEATS` redirects it gives up with `apology`.
    """
    times = request.query_params.get("again", "0")
    if times not in map(str, range(MOST_REPEATS)):
        return await apology(request, form, state)
    url = f"{base_of(request)}{request.url.path}?again={int(times) + 1}"
    return rendered("once-more", **one_moment(state.services.agent.agent.language), url=url)


async def apology(request: Request, form: Form, state: AppState) -> Response:
    """The agent cannot go on: transfer the caller to a human, else apologize and end the call."""
    switchboard, call_sid = state.switchboard, form.get("CallSid", "")
    leg = switchboard.leg(call_sid)
    if leg is not None and not leg.needs_fallback:
        leg.give_up("error", "the service failed to answer a webhook")
    if transferred := await state.transfers.fallback(call_sid):
        return twiml(transferred)
    reason = "the agent could not go on, and there is no human to transfer the caller to"
    switchboard.note_decision(call_sid, "call ended with an apology", reason)
    switchboard.twiml_ended(call_sid)
    return rendered("unavailable")
