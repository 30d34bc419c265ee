"""Who may not order calls about, and which are not placed: refused, logged once, no effect."""

import asyncio
from itertools import product
from typing import Any

import pytest

from app.simulator.realtime import Reply, Script
from app.simulator.twilio import Callee
from tests.service.api import ANN, OURS, Told, api, place
from tests.service.raw_twilio import call_form, request
from tests.service.world import API_TOKEN, World, noise, world

HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=float("inf"))
SID = "CA" + "9" * 32
TRANSFERS = ("whisper", "pressed", "ended", "left", "status")
API = [
    ("POST", "/calls"),
    ("GET", "/calls"),
    ("GET", f"/calls/{SID}"),
    ("POST", f"/calls/{SID}/transfer"),
    ("POST", f"/calls/{SID}/say"),
    ("POST", f"/calls/{SID}/hangup"),
    ("GET", "/openapi.json"),
]
TOKENS = (None, "", "wrong", API_TOKEN + "x", API_TOKEN[:-1])
NOT_CALLED = [
    ("+493012345678", 403, "OUTBOUND_PREFIXES"),
    ("+19005550123", 403, "premium-rate"),
    ("+1911", 403, "check the digits"),
    (OURS, 403, "itself"),
    ("4155550123", 422, "E.164"),
    ("+1 415 555 0123", 422, "E.164"),
    ("sip:ann@example.com", 422, "E.164"),
    ("", 422, "E.164"),
    ("\0", 422, "E.164"),
]
UNREADABLE = [
    (b"", "body: missing"),
    (b"{", "body: expected JSON; "),
    (b"to=%2B14155550123", "body: expected JSON; "),
    (b"[]", "body: "),
    (b'"+14155550123"', "body: "),
    (b"null", "body: "),
    (b"\xff\xfe", "body: expected"),
    (b"[" * 200_000, "body: expected"),
    (b"{}", "body.to: missing"),
    (b'{"to": 14155550123}', "body.to: "),
    (b'{"to": null}', "body.to: "),
    (b'{"to": "+14155550123", "from": "+14155550100"}', "body.from: unknown"),
    (b'{"to": "+14155550123", "\\ud83d": 1}', "body"),
    (b'{"to": "+14155550123", "context": "\\ud83d"}', "body"),
    (b'{"to": "+14155550123", "greeting": "' + b"x" * 2001 + b'"}', "body.greeting: "),
    (b'{"to": "+14155550123", "greeting": 1' + b"0" * 5000 + b"}", "body"),
]


def calling(**more: Any) -> Any:
    return world(Script(direct=HELLO), **{"twilio_phone_number": OURS, **more})


def refused(
    w: World, told: Told, status: int, fix: str, *, dialled: int = 0, times: int = 1
) -> None:
    """No call was placed, and the log says why, so many times."""
    assert told.status == status and fix in told.detail, told.body
    assert len(w.line.rest_requests) == dialled
    assert len(w.log.of("outbound call refused")) == times


# --- numbers that are not called ------------------------------------------------------------------


async def test_a_number_that_is_not_to_be_called_is_not() -> None:
    async with calling() as w:
        for number, (to, status, fix) in enumerate(NOT_CALLED, 1):
            refused(w, await place(w, to), status, fix, times=number)
        assert await w.store.list_calls() == []


@pytest.mark.parametrize(
    ("settings", "status", "fix"),
    [
        ({"outbound_max_calls": 0}, 403, "OUTBOUND_MAX_CALLS"),
        ({"twilio_phone_number": None}, 409, "TWILIO_PHONE_NUMBER"),
        ({"twilio_account_sid": None, "twilio_auth_token": None}, 409, "TWILIO_ACCOUNT_SID"),
        ({"outbound_prefixes": "+44"}, 403, "only +44"),
    ],
)
async def test_a_service_that_may_not_or_cannot_call_says_why(
    settings: dict[str, Any], status: int, fix: str
) -> None:
    async with calling(**settings) as w:
        refused(w, await place(w), status, fix)


async def test_a_service_that_drains_places_no_calls() -> None:
    async with calling() as w:
        w.switchboard.draining = True
        refused(w, await place(w), 503, "shutting down")


async def test_live_calls_take_the_room_of_those_that_we_would_place() -> None:
    async with calling(max_calls=1) as w:
        await w.connected()
        refused(w, await place(w), 429, "MAX_CALLS")


async def test_only_so_many_of_our_calls_are_under_way_at_once() -> None:
    async with calling(outbound_max_calls=1) as w:
        w.line.callees[ANN] = Callee("no-answer")
        assert (await place(w)).status == 201
        refused(w, await place(w, "+14155550124"), 429, "OUTBOUND_MAX_CALLS", dialled=1)


async def test_no_number_is_called_twice_in_a_row() -> None:
    async with calling() as w:
        w.line.callees[ANN] = Callee("busy")
        first, second = await asyncio.gather(place(w), place(w))
        again = await place(w)

        assert {first.status, second.status} == {201, 409}
        assert again.status == 409 and "OUTBOUND_REPEAT_SECONDS" in again.detail
        assert 0 < int(again.headers["Retry-After"]) <= 60
        assert len(w.line.rest_requests) == 1
        assert len(w.log.of("outbound call refused")) == 2


# --- who may ask ----------------------------------------------------------------------------------


async def test_the_token_comes_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.token_rate_limit.MOST_FAILURES", 1000)
    bodies = (None, b"{", b'{"to": "+1', b"\xff" * 400_000)
    async with calling() as w:
        asked = 0
        for (method, path), token, raw in product(API, TOKENS, bodies):
            if raw is None or method == "POST":
                told = await api(w, method, path, raw=raw, token=token)
                assert told.status == 401 and "API_TOKEN" in told.detail
                assert told.headers["WWW-Authenticate"] == "Bearer"
                asked += 1
        assert len(w.log.of("request without the API's token refused")) == asked
        assert not w.line.rest_requests


async def test_without_an_api_token_a_random_one_is_made() -> None:
    async with calling(api_token=None) as w:
        made = w.state.api_token
        assert len(made) >= 32 and made != API_TOKEN
        for wrong in (None, "", "None", API_TOKEN):
            assert (await api(w, "GET", "/calls", token=wrong)).status == 401
        assert (await api(w, "GET", "/calls", token=made)).status == 200


# --- what cannot be read --------------------------------------------------------------------------


async def test_an_order_that_cannot_be_read_is_refused() -> None:
    async with calling() as w:
        for number, (raw, detail) in enumerate(UNREADABLE, 1):
            told = await api(w, "POST", "/calls", raw=raw)
            assert told.status == 422 and told.detail.startswith(detail), told.body
            wrong = w.log.of("request that is wrong refused")
            assert len(wrong) + len(w.log.of("request that cannot be read refused")) == number
        assert not w.line.rest_requests


async def test_an_order_that_is_too_long_is_not_read() -> None:
    async with calling() as w:
        told = await api(w, "POST", "/calls", raw=b" " * 300_000)
        assert told.status == 413 and "bytes" in told.detail
        assert len(w.log.of("request that cannot be read refused")) == 1


async def test_a_method_that_a_path_does_not_take_is_answered_with_those_it_takes() -> None:
    async with calling() as w:
        told = await api(w, "DELETE", "/calls")
        assert (told.status, told.headers["Allow"]) == (405, "GET, POST")
        assert "GET, POST" in told.detail
        told = await api(w, "GET", f"/calls/{SID}/hangup")
        assert (told.status, told.headers["Allow"]) == (405, "POST")


# --- who says that they are Twilio ----------------------------------------------------------------


async def test_what_twilio_did_not_sign_changes_nothing() -> None:
    async with calling() as w:
        w.line.callees[ANN] = Callee("no-answer")
        call_sid = (await place(w)).body["call_sid"]
        ringing = await w.line.outbound()
        await ringing.wait_for(lambda: len(ringing.requests) == 2)  # Twilio said so
        caller = await w.connected()
        await caller.wait_quiet()
        order = w.line.rest_requests[0].form
        token = order["Url"].rpartition("/")[2]
        faults: list[dict[str, Any]] = [{"token": None}, {"token": "wrong"}, {"signed_form": {}}]
        wrong = 0
        for sid in (call_sid, caller.call_sid):
            form = call_form(
                sid, CallStatus="completed", AnsweredBy="fax", Digits="1", DialCallStatus="busy"
            )
            for path in (
                f"/outgoing-call/{token}",
                f"/answering-machine/{token}",
                "/call-status",
                "/stream-ended",
                *(f"/transfers/{sid}/1/{what}" for what in TRANSFERS),
            ):
                for fault in faults:
                    told = await request(w, path, form, **fault)
                    assert (told.status, told.content_type) == (403, "application/problem+json")
                    wrong += 1

        assert len(w.log.of("webhook without a valid signature refused")) == wrong
        await w.store.flush()
        rows = await w.store.list_calls()
        assert {row.call_sid: (row.status, row.answered_by) for row in rows} == {
            call_sid: ("ringing", None),
            caller.call_sid: ("in-progress", None),
        }
        assert len(w.model.sessions) == 1 and w.switchboard.is_live(caller.call_sid)
        assert len(w.line.rest_requests) == 1
