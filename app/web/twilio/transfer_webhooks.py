"""What Twilio asks while a caller is handed to a human: of the human, and of the caller."""

from dataclasses import replace

from fastapi import APIRouter, HTTPException, Request, Response

from app.bridge.services import Services
from app.bridge.transfers import pending
from app.bridge.transfers.transfers import Transfers
from app.web.twilio.answer_in_time import Form, answered, nothing_to_say, once_more
from app.web.twilio.call_webhooks import call_info
from app.web.twilio.request import base_of, rendered, twiml
from app.web.twilio.signed_route import SignedRoute
from app.wires.twilio.dial_ended import DialEnded

router = APIRouter(
    prefix="/transfers/{call_sid}/{number}", include_in_schema=False, route_class=SignedRoute
)


def _attempt(request: Request) -> tuple[str, int]:
    """Which attempt is asked about: the call's SID, and its number. Raises HTTPException 404."""
    call_sid, number = request.path_params["call_sid"], request.path_params["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise HTTPException(404, "there is no such transfer")
    return call_sid, int(number)


async def whisper_no_summary(request: Request, form: Form) -> Response:
    """A human picked up, and what the caller wants cannot be read."""
    services: Services = request.app.state.services
    language = services.agent.agent.language
    return twiml(pending.whisper(*_attempt(request), base_of(request), "", language))


@router.post("/whisper")
@answered(next_best=whisper_no_summary)
async def whisper(request: Request, form: Form) -> Response:
    """A human picked up."""
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.whisper(*_attempt(request), base_of(request)))


async def take_their_word(request: Request, form: Form) -> Response:
    """The human pressed a key about a transfer that cannot be looked up: 1 takes the call. Who is
    rung beside the caller's dial is on a call of their own."""
    if form.get("Digits") != "1":
        return rendered("goodbye")
    call_sid, _ = _attempt(request)
    return twiml(pending.accepted(call_sid, warm=form.get("Direction", "") == "outbound-api"))


@router.post("/pressed")
@answered(next_best=take_their_word)
async def pressed(request: Request, form: Form) -> Response:
    """The human pressed a key."""
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.pressed(*_attempt(request), form.get("Digits", "")))


async def caller_back(request: Request, form: Form) -> Response:
    """What became of a transfer cannot be found out: the caller goes back to an agent, unless they
    talked with a human."""
    transfers: Transfers = request.app.state.transfers
    call_sid, _ = _attempt(request)
    call, end = replace(call_info(form), call_sid=call_sid), DialEnded.of(form)
    if transfers.is_pending(call_sid) and not (end.bridged or end.caller_gone):
        return await once_more(request, form)
    return twiml(await transfers.resume_without_record(call, base_of(request), end))


async def _asked(question: str, request: Request, form: Form) -> Response:
    transfers: Transfers = request.app.state.transfers
    call_sid, number = _attempt(request)
    call, end = replace(call_info(form), call_sid=call_sid), DialEnded.of(form)
    return twiml(await transfers.next_twiml(question, call, number, base_of(request), end))


@router.post("/ended")
@answered(next_best=caller_back)
async def ended(request: Request, form: Form) -> Response:
    """The caller's dial is over: what now?"""
    return await _asked("ended", request, form)


@router.post("/left")
@answered(next_best=caller_back)
async def left(request: Request, form: Form) -> Response:
    """The caller's time in the waiting room is over: what now?"""
    return await _asked("left", request, form)


@router.post("/fetched")
@answered(next_best=caller_back)
async def fetched(request: Request, form: Form) -> Response:
    """The caller was got out of the waiting room: what now?"""
    return await _asked("fetched", request, form)


@router.post("/status")
@answered(next_best=nothing_to_say)
async def status(request: Request, form: Form) -> Response:
    """How the call to a human stands who is briefed on it."""
    transfers: Transfers = request.app.state.transfers
    await transfers.callee_status(*_attempt(request), form.get("CallStatus", ""))
    return Response(status_code=204)
