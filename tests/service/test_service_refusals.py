"""What strangers, proxies and wrong settings run into: a refusal, and one line that says why."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.simulator.realtime import Reply, Script
from app.simulator.twilio import signature
from app.web.token_rate_limit import MOST_FAILURES
from tests.service.api import api
from tests.service.raw_twilio import CALL_SID, call_form, raw_stream, refusal, request
from tests.service.world import API_TOKEN, AUTH_TOKEN, PUBLIC_URL, World, noise, world

HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=float("inf"))
ENDED = {"CallSid": CALL_SID, "CallStatus": "completed"}
OTHER_SID = "CA" + "8" * 32
UNSIGNED: dict[str, Any] = {"token": None}
FORGED: dict[str, Any] = {"token": "another account's"}
BEHIND = {"X-Forwarded-Host": "bridge.example.com", "X-Forwarded-Proto": "https"}


def why(w: World, message: str) -> dict[str, Any]:
    """The one line of this kind."""
    (line,) = w.log.of(message)
    return line


async def over(w: World) -> None:
    await request(w, "/call-status", ENDED)
    await w.settled()


# --- webhooks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "settings", "reason", "fix"),
    [
        (UNSIGNED, {}, "the signature is missing", "X-Twilio-Signature"),
        (
            FORGED,
            {},
            "the signature does not match the URL and the token",
            "TWILIO_AUTH_TOKEN",
        ),
        (FORGED, {}, "the signature does not match the URL and the token", "PUBLIC_URL"),
        (
            FORGED | {"headers": BEHIND},
            {"public_url": None, "trusted_proxies": "10.0.0.0/8"},
            "the signature does not match the URL and the token",
            "TRUSTED_PROXIES",
        ),
        (
            UNSIGNED | {"headers": {"Authorization": "Bearer wrong"}},
            {"twilio_auth_token": None, "twilio_account_sid": None},
            "there is no Twilio account, and the bearer token is missing or wrong",
            "API_TOKEN",
        ),
    ],
)
async def test_a_refused_webhook_is_a_line_that_says_why_and_what_mends_it(
    asked: dict[str, Any], settings: dict[str, Any], reason: str, fix: str
) -> None:
    async with world(Script(), **settings) as w:
        assert (await request(w, **asked)).status == 403
        line = why(w, "webhook without a valid signature refused")
        assert line["reason"] == reason and fix in line["fix"]
        assert (line["path"], line["peer"]) == ("/incoming-call", "127.0.0.1")
        if w.settings.public_url and w.settings.twilio_auth_token:
            assert line["url_checked"] == f"{PUBLIC_URL}/incoming-call"
        assert AUTH_TOKEN not in str(line) and API_TOKEN not in str(line)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/transfers/{CALL_SID}/first/ended"),
        ("POST", "/transfers/CA1/1/nonsense"),
        ("GET", "/stream-ended"),
        ("PUT", "/incoming-call"),
        ("POST", "/call-status/more"),
        ("POST", "/outgoing-call"),
    ],
)
async def test_who_is_not_twilio_learns_of_no_path(method: str, path: str) -> None:
    async with world(Script()) as w:
        for asked in (UNSIGNED, FORGED):
            assert (await request(w, path, method=method, **asked)).status == 403
        assert (await request(w, path, method=method)).status in (404, 405, 422)


async def test_who_has_no_token_learns_of_no_path_of_the_apis() -> None:
    async with world(Script()) as w:
        for method, path in (
            ("DELETE", "/calls"),
            ("GET", "/calls?limit=many"),
            ("POST", f"/calls/{CALL_SID}/sing"),
            ("PUT", f"/calls/{CALL_SID}"),
            ("GET", "/openapi.json/more"),
            ("GET", "/stream-audio"),
        ):
            for token in (None, "wrong"):
                assert (await api(w, method, path, token=token)).status == 401, path
            assert (await api(w, method, path)).status in (404, 405, 422), path


async def test_a_wrong_path_is_a_line_that_names_the_right_one() -> None:
    async with world(Script()) as w:
        assert (await request(w, "/incoming_call")).status == 404
        line = why(w, "request for a path that does not exist")
        assert (line["path"], line["near"]) == ("/incoming_call", "/incoming-call")
        assert line["method"] == "POST" and line["peer"] == "127.0.0.1"


# --- a slash at the end ---------------------------------------------------------------------------


async def test_a_slash_at_the_end_is_what_twilio_signed_and_no_other_path() -> None:
    async with world(Script(HELLO)) as w:
        answer = await request(w, "/incoming-call/")
        assert answer.status == 200
        stripped = await request(w, "/incoming-call/", url=f"{PUBLIC_URL}/incoming-call")
        assert stripped.status == 403
        async with raw_stream(w, f"{answer.stream_url}/") as stream:
            await stream.start()
            assert (await stream.receive())["event"] in ("mark", "media")
            assert (await request(w, "/call-status/", ENDED)).status == 204
        await w.settled()
        record = await api(w, "GET", f"/calls/{CALL_SID}/")
        assert (record.status, record.body["status"]) == (200, "completed")
        assert (await api(w, "GET", "/calls/")).status == 200
        assert (await api(w, "POST", f"/calls/{CALL_SID}/hangup/")).status == 409


# --- media sockets --------------------------------------------------------------------------------


async def test_each_refused_handshake_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(Script(HELLO, HELLO)) as w:
        url = (await request(w)).stream_url
        ticket = url.rpartition("/")[2]
        told: list[tuple[str, str]] = []
        monkeypatch.setattr(w.switchboard.streams, "handshake_refused", lambda *it: told.append(it))
        base = url.removesuffix(ticket)

        await refusal(w, url, signed="")
        await refusal(w, url, signed=signature("another", url))
        await refusal(w, f"{base}guess")
        async with raw_stream(w, url) as stream:
            await stream.start()
            await stream.receive()
            await refusal(w, url)
        await w.settled()
        monkeypatch.setattr("app.bridge.tickets.TICKET_S", -1.0)
        expired = (await request(w, form=call_form(OTHER_SID))).stream_url
        await refusal(w, expired)
        await request(w, "/call-status", ENDED | {"CallSid": OTHER_SID})
        await w.settled()

        lines = w.log.of("media socket refused")
        reasons = [
            "the signature is missing",
            "the signature does not match the URL and the token",
            "the ticket is unknown",
            "the ticket was used already",
            "the ticket is expired",
        ]
        assert [line["reason"] for line in lines] == reasons
        assert [cause.partition(";")[0] for _, cause in told] == reasons
        assert "TWILIO_STREAM_SIGNATURE" in told[0][1], "the record names what mends it as well"
        assert told[0][0] == told[1][0] == told[3][0] == ticket
        assert "TWILIO_STREAM_SIGNATURE" in lines[0]["fix"]
        assert "PUBLIC_URL" in lines[1]["fix"]
        assert lines[1]["url_checked"].startswith("wss://bridge.example.com/media-stream/")


async def test_a_start_of_another_call_says_so() -> None:
    async with world(Script(HELLO)) as w:
        async with raw_stream(w, (await request(w)).stream_url) as stream:
            await stream.start(OTHER_SID)
            assert await stream.close_code() == 1008
        line = why(w, "media socket without a good start closed")
        assert line["reason"] == "the start names another call, or one that is over"
        assert not w.log.of("call decision")
        await over(w)


@pytest.mark.parametrize(("signed", "status"), [(True, 426), (False, 403)])
async def test_a_stream_url_without_upgrade_says_what_the_proxy_lacks(
    signed: bool, status: int
) -> None:
    async with world(Script(HELLO)) as w:
        url = (await request(w)).stream_url
        headers = {"X-Twilio-Signature": signature(AUTH_TOKEN, url)} if signed else {}
        path = urlsplit(url).path
        async with w.http.get(f"{w.url}{path}", headers=headers) as answer:
            assert answer.status == status
        line = why(w, "media socket refused")
        assert line["reason"] == "the request is not a WebSocket handshake"
        assert "Upgrade" in line["fix"]
        await over(w)


# --- clients that go away -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        "POST /incoming-call",
        "POST /call-status",
        "POST /transfers/CA1/1/ended",
        "POST /outgoing-call/token",
        "PUT /incoming-call",
        "POST /calls",
        f"POST /calls/{CALL_SID}/say",
        "POST /stream-audio",
        "GET /nowhere",
    ],
)
async def test_a_client_that_goes_away_amid_its_request_is_no_error(head: str) -> None:
    async with world(Script()) as w:
        port = urlsplit(w.url).port
        for body in (b"", b"CallSid=CA"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"{head} HTTP/1.1\r\nHost: bridge\r\nAuthorization: Bearer {API_TOKEN}\r\n"
                "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await w.status_of("/healthz")  # the service has read the others by then
        while w.server.server_state.tasks:
            await asyncio.wait(w.server.server_state.tasks)
        assert len(w.log.records) <= 2  # `world` looks for tracebacks


# --- the token ------------------------------------------------------------------------------------


async def test_guesses_are_braked_and_the_right_token_never_is() -> None:
    async with world(Script(HELLO)) as w:
        told = [(await api(w, "GET", "/calls", token=f"guess {n}")) for n in range(MOST_FAILURES)]
        assert {each.status for each in told} == {401}
        braked = await api(w, "GET", "/calls", token="one more")
        assert braked.status == 429 and "wrong tokens" in braked.detail
        assert 0 < int(braked.headers["Retry-After"]) <= 60
        assert (await api(w, "GET", "/calls")).status == 200
        assert (await api(w, "GET", "/calls", token=None)).status == 401  # that is no guess
        assert (await api(w, "POST", "/stream-audio", {"Token": "guess"}, token=None)).status == 429
        assert (await request(w)).status == 200  # Twilio is not held up
        await over(w)


async def test_guesses_at_a_webhook_without_an_account_are_braked() -> None:
    async with world(Script(), twilio_auth_token=None, twilio_account_sid=None) as w:
        guess = {"Authorization": "Bearer guess"}
        for _ in range(MOST_FAILURES):
            assert (await request(w, token=None, headers=guess)).status == 403
        assert (await request(w, token=None, headers=guess)).status == 429
        right = {"Authorization": f"Bearer {API_TOKEN}"}
        assert (await request(w, "/call-status", ENDED, token=None, headers=right)).status == 204


# --- another call ---------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["ended", "left", "fetched", "whisper", "pressed", "status"])
async def test_a_transfers_question_is_about_its_own_call(question: str) -> None:
    """Two callers are live: what is signed for the one opens nothing of the other's."""
    async with world(Script(HELLO, HELLO)) as w:
        for call_sid in (CALL_SID, OTHER_SID):
            assert (await request(w, form=call_form(call_sid))).status == 200
        path = f"/transfers/{CALL_SID}/0/{question}"
        form = call_form(OTHER_SID, DialCallStatus="no-answer", Digits="1")
        assert (await request(w, path, form)).status == 403
        child = {"CallSid": "CA" + "9" * 32, "ParentCallSid": OTHER_SID}
        assert (await request(w, path, form | child)).status == 403
        lines = w.log.of("webhook that names another call refused")
        assert {line["reason"] for line in lines} == {"CallSid is of another call"}
        assert len(lines) == 2
        for call_sid in (CALL_SID, OTHER_SID):
            await request(w, "/call-status", ENDED | {"CallSid": call_sid})
        await w.settled()


# --- long over ------------------------------------------------------------------------------------

FORMS = [
    ("/incoming-call", {}),
    ("/stream-ended", {"CallStatus": "in-progress"}),
    ("/call-status", {"CallStatus": "busy", "AnsweredBy": "fax"}),
    ("/call-status", {"CallStatus": "completed", "AnsweredBy": "human"}),
    ("/outgoing-call/token", {"Direction": "outbound-api"}),
    ("/answering-machine/token", {"AnsweredBy": "machine_end_beep"}),
    (f"/transfers/{CALL_SID}/0/ended", {"DialCallStatus": "no-answer"}),
    (f"/transfers/{CALL_SID}/0/left", {"DialCallStatus": "completed"}),
    (f"/transfers/{CALL_SID}/0/fetched", {}),
    (f"/transfers/{CALL_SID}/0/whisper", {"CallSid": "CA9", "ParentCallSid": CALL_SID}),
    (
        f"/transfers/{CALL_SID}/0/pressed",
        {"CallSid": "CA9", "ParentCallSid": CALL_SID, "Digits": "1"},
    ),
    (f"/transfers/{CALL_SID}/0/status", {"CallSid": "CA9", "CallStatus": "completed"}),
]


@pytest.mark.parametrize(("path", "changes"), FORMS, ids=[path for path, _ in FORMS])
async def test_a_recorded_webhook_opens_nothing_and_changes_nothing(
    path: str, changes: dict[str, str]
) -> None:
    """It is signed, and the call that it is about ended more than a minute ago."""
    async with world(Script()) as w:
        now = datetime.now(UTC)
        w.store.save_call(
            CALL_SID,
            status="completed",
            direction="outbound-api" if "outgoing" in path else "inbound",
            started_at=now - timedelta(seconds=200),
            ended_at=now - timedelta(seconds=61),
            ended_by="caller",
            answered_by=None,
            transfers=[{"destination": "desk", "outcome": "ringing", "warm": False, "reason": ""}],
        )
        await w.store.flush()
        before = await w.record(CALL_SID)

        answer = await request(w, path, call_form(**changes))

        assert answer.status in (200, 204) and "<Stream" not in answer.body
        assert not w.model.handshakes and w.switchboard.live_calls == 0
        assert await w.record(CALL_SID) == before
        assert [row.call_sid for row in await w.store.list_calls()] == [CALL_SID]
        assert why(w, "webhook about a call that is long over")["call_sid"] == CALL_SID


async def test_a_call_is_answered_though_the_store_does_not_say_whether_it_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(Script(HELLO)) as w:

        async def hangs(_call_sid: str) -> None:
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(w.store, "get_call", hangs)
            assert (await request(w)).status == 200
        await over(w)
