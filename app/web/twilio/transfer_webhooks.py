"""The webhooks of a transfer: for the call to the human, and for the caller who waits."""

from dataclasses import replace

from fastapi import APIRouter, HTTPException, Request, Response

from app.bridge.transfers import pending
from app.web.app_state import AppState
from app.web.twilio.call_webhooks import call_info
from app.web.twilio.request import base_of, rendered, twiml
from app.web.twilio.signed_route import SignedRoute
from app.web.twilio.webhook_deadline import Form, acknowledge, ask_again, webhook
from app.wires.twilio.dial_ended import DialEnded

router = APIRouter(
    prefix="/transfers/{call_sid}/{number}", include_in_schema=False, route_class=SignedRoute
)


def _attempt(request: Request) -> tuple[str, int]:
    """The attempt that a URL names: the caller's SID, and the attempt's number. Raises
    HTTPException 404."""
    call_sid, number = request.path_params["call_sid"], request.path_params["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise HTTPException(404, "there is no such transfer")
    return call_sid, int(number)


async def whisper_no_summary(request: Request, form: Form, state: AppState) -> Response:
    """The fallback for `whisper`: the same prompt, without the summary."""
    language = state.services.agent.agent.language
    return twiml(pending.whisper(*_attempt(request), base_of(request), "", language))


@router.post("/whisper")
@webhook(fallback=whisper_no_summary)
async def whisper(request: Request, form: Form, state: AppState) -> Response:
    """The human answered: TwiML with the summary, and the prompt to press 1."""
    return twiml(await state.transfers.whisper(*_attempt(request), base_of(request)))


async def accept_without_record(request: Request, form: Form, state: AppState) -> Response:
    """The fallback for `pressed`, if the transfer's record cannot be read: 1 accepts the call.

    A warm transfer's callee is on an outbound call of their own.
    """
    if form.get("Digits") != "1":
        return rendered("goodbye")
    call_sid, _ = _attempt(request)
    return twiml(pending.accepted(call_sid, warm=form.get("Direction", "") == "outbound-api"))


@router.post("/pressed")
@webhook(fallback=accept_without_record)
async def pressed(request: Request, form: Form, state: AppState) -> Response:
    """The human pressed a key."""
    return twiml(await state.transfers.pressed(*_attempt(request), form.get("Digits", "")))


async def caller_back(request: Request, form: Form, state: AppState) -> Response:
    """The fallback for the caller's requests, if the transfer's outcome cannot be read: resume with
    an agent, unless the caller was bridged to a human or hung up."""
    call_sid, number = _attempt(request)
    call, end = replace(call_info(form), call_sid=call_sid), DialEnded.of(form)
    if state.transfers.is_pending(call_sid) and not (end.bridged or end.caller_gone):
        return await ask_again(request, form, state)
    ended = number if request.url.path.endswith("/ended") else None
    return twiml(await state.transfers.resume_without_record(call, base_of(request), end, ended))


async def _asked(question: str, request: Request, form: Form, state: AppState) -> Response:
    call_sid, number = _attempt(request)
    call, end = replace(call_info(form), call_sid=call_sid), DialEnded.of(form)
    return twiml(await state.transfers.next_twiml(question, call, number, base_of(request), end))


@router.post("/ended")
@webhook(fallback=caller_back)
async def ended(request: Request, form: Form, state: AppState) -> Response:
    """`<Dial action>`: the caller's dial ended."""
    return await _asked("ended", request, form, state)


@router.post("/left")
@webhook(fallback=caller_back)
async def left(request: Request, form: Form, state: AppState) -> Response:
    """`<Dial action>`: the caller's dial of the waiting room, a conference, ended."""
    return await _asked("left", request, form, state)


@router.post("/fetched")
@webhook(fallback=caller_back)
async def fetched(request: Request, form: Form, state: AppState) -> Response:
    """The caller's call was redirected out of the waiting room."""
    return await _asked("fetched", request, form, state)


@router.post("/status")
@webhook(fallback=acknowledge)
async def status(request: Request, form: Form, state: AppState) -> Response:
    """The status of a warm transfer's call to the human changed."""
    status = form.get("CallStatus", "")
    await state.transfers.callee_status(*_attempt(request), status, base_of(request))
    return Response(status_code=204)
