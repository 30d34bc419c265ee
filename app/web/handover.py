"""What Twilio asks while a caller is handed to a human: of the human, and of the caller."""

from fastapi import APIRouter, Request, Response

from app.telephony.dial_ended import DialEnded
from app.transfers import Transfers
from app.web.signed import SignedRoute
from app.web.webhooks import base_of, form_of, twiml

router = APIRouter(
    prefix="/transfers/{call_sid}/{number}", include_in_schema=False, route_class=SignedRoute
)


@router.post("/whisper")
async def whisper(request: Request, call_sid: str, number: int) -> Response:
    """A human picked up."""
    await form_of(request)
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.whisper(call_sid, number, base_of(request)))


@router.post("/pressed")
async def pressed(request: Request, call_sid: str, number: int) -> Response:
    """The human pressed a key."""
    form = await form_of(request)
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.pressed(call_sid, number, form.get("Digits", "")))


@router.post("/ended")
async def ended(request: Request, call_sid: str, number: int) -> Response:
    """The caller's dial is over: what now?"""
    end = DialEnded.of(await form_of(request))
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.asked("ended", call_sid, number, base_of(request), end))


@router.post("/left")
async def left(request: Request, call_sid: str, number: int) -> Response:
    """The caller's time in the waiting room is over: what now?"""
    end = DialEnded.of(await form_of(request))
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.asked("left", call_sid, number, base_of(request), end))


@router.post("/fetched")
async def fetched(request: Request, call_sid: str, number: int) -> Response:
    """The caller was got out of the waiting room: what now?"""
    end = DialEnded.of(await form_of(request))
    transfers: Transfers = request.app.state.transfers
    return twiml(await transfers.asked("fetched", call_sid, number, base_of(request), end))


@router.post("/status")
async def status(request: Request, call_sid: str, number: int) -> Response:
    """How the call to a human stands who is briefed on it."""
    form = await form_of(request)
    transfers: Transfers = request.app.state.transfers
    await transfers.callee_status(call_sid, number, form.get("CallStatus", ""))
    return Response(status_code=204)
