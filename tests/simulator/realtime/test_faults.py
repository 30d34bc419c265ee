"""Faults of the scripted Realtime server."""

import asyncio
import math
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.audio import silence, tone
from app.simulator.realtime import (
    Fault,
    Options,
    RealtimeServer,
    Reply,
    Script,
    Session,
    Transcript,
    TranscriptionFailed,
    Turn,
    refusing,
)
from tests.simulator.realtime.realtime_client import Client, PhoneSession, phone

SPEECH = tone((200, 300, 250), note_ms=200, level_dbfs=-20)
BEARER = {"Authorization": "Bearer sk-test"}


def url(server: RealtimeServer, path: str = "/realtime?model=gpt-realtime-2") -> str:
    return server.base_url.replace("http:", "ws:") + path


async def status_of(server: RealtimeServer, headers: dict[str, str], **path: str) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(url(server, **path), additional_headers=headers)
    return refusal.value.response.status_code


async def test_a_handshake_without_the_right_key_is_refused() -> None:
    async with RealtimeServer(options=Options(api_key="sk-right")) as server:
        assert await status_of(server, {}) == 401
        assert await status_of(server, {"Authorization": "Basic abc"}) == 401
        assert await status_of(server, BEARER) == 401
        right = {"Authorization": "Bearer sk-right"}
        assert await status_of(server, right, path="/realtime") == 400
        assert await status_of(server, right, path="/chat?model=x") == 404
        async with connect(url(server), additional_headers=right):
            pass
        assert [handshake.status for handshake in server.handshakes] == [
            401,
            401,
            401,
            400,
            404,
            101,
        ]
        assert len(server.sessions) == 1


async def test_a_server_like_azures_demands_api_key_and_api_version_and_refuses_bearer() -> None:
    options = Options(api_key="right", api_version="preview")
    async with RealtimeServer(options=options) as server:
        key, door = {"api-key": "right"}, "/realtime?api-version=preview"
        assert await status_of(server, key, path="/realtime?model=x") == 404
        assert await status_of(server, key, path="/realtime?api-version=old&model=x") == 404
        assert await status_of(server, {}, path=f"{door}&model=x") == 401
        assert await status_of(server, {"api-key": "wrong"}, path=f"{door}&model=x") == 401
        bearer = {"Authorization": "Bearer right"}
        assert await status_of(server, bearer, path=f"{door}&model=x") == 401
        assert await status_of(server, {**key, **bearer}, path=f"{door}&model=x") == 401
        assert await status_of(server, key, path=door) == 400
        for query in ("model=x", "deployment=x", "deployment=x&model=y"):
            address = url(server, path=f"{door}&{query}")
            async with connect(address, additional_headers=key):
                pass
        assert [session.model for session in server.sessions] == ["x", "x", "x"]


async def test_the_beta_header_is_refused() -> None:
    async with RealtimeServer() as server:
        headers = {**BEARER, "OpenAI-Beta": "realtime=v1"}
        async with connect(url(server), additional_headers=headers) as socket:
            client = Client(socket)
            error = await client.next()
            assert error["error"]["code"] == "beta_api_shape_disabled"
            with pytest.raises(ConnectionClosed) as closed:
                await client.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4000


async def test_a_handshake_can_be_refused_and_the_next_one_accepted() -> None:
    async with RealtimeServer() as server:
        server.faults.extend([Fault(refuse_status=503), Fault(refuse_status=429)])
        assert await status_of(server, BEARER) == 503
        assert await status_of(server, BEARER) == 429
        async with PhoneSession(server):
            assert len(server.open_sessions) == 1
        await server.sessions[0].closed.wait()
        assert not server.open_sessions


async def test_a_hanging_server_answers_once_it_resumes() -> None:
    async with RealtimeServer() as server, PhoneSession(server):
        server.hang()
        waiting = asyncio.ensure_future(connect(url(server), additional_headers=BEARER))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.1)
        assert len(server.handshakes) == 1
        await server.resume()
        await (await waiting).close()
        assert len(server.handshakes) == 2


async def test_a_mute_server_opens_and_sends_nothing() -> None:
    async with RealtimeServer() as server:
        server.faults.append(Fault(mute=True))
        async with connect(url(server), additional_headers=BEARER) as socket:
            await Client(socket).send("response.create")
            session = await server.session()
            await session.received("response.create")
            await socket.close()
            await session.closed.wait()
            assert session.close_code == 1000
            assert [message async for message in socket] == []


async def test_a_session_can_fall_silent_in_the_middle() -> None:
    long = Reply("A long story", audio=silence(60_000))
    async with RealtimeServer([long]) as server, PhoneSession(server) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        session = await server.session()
        session.mute()
        await client.send("input_audio_buffer.clear")
        await session.received("input_audio_buffer.clear")
        await client.socket.close()
        left = [message async for message in client.socket]
        assert not any("buffer.cleared" in str(message) for message in left)


async def test_the_answer_to_an_update_can_be_late() -> None:
    async with RealtimeServer(["Hi"], options=Options(speed=math.inf)) as server:
        server.fault = Fault(update_delay_ms=150)
        async with connect(url(server), additional_headers=BEARER) as socket:
            client = Client(socket)
            await client.send("session.update", session={"type": "realtime", "instructions": "x"})
            await client.send("response.create")
            await client.until("session.updated")
            kinds = client.types()
            assert kinds[0] == "session.created"
            assert kinds.index("response.done") < kinds.index("session.updated")


async def test_the_socket_drops_on_an_event() -> None:
    def drop(session: Session, event: dict[str, Any]) -> bool:
        session.drop()
        return True

    async with RealtimeServer() as server:
        server.faults.append(Fault(on={"response.create": drop}))
        async with PhoneSession(server) as client:
            await client.send("response.create")
            with pytest.raises(ConnectionClosed) as closed:
                await client.next()
            assert closed.value.rcvd is None  # no close frame
            session = await server.session()
            await session.closed.wait()
            assert session.close_code is None


async def test_a_session_closes_with_any_code_while_it_speaks() -> None:
    long = Reply("A long story", audio=silence(60_000))
    async with RealtimeServer([long]) as server, PhoneSession(server) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        (await server.session()).close(1011, "internal error")
        with pytest.raises(ConnectionClosed) as closed:
            await client.until("response.done")
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "internal error")


async def test_an_event_can_be_answered_with_an_error_instead() -> None:
    def refuse(session: Session, event: dict[str, Any]) -> bool:
        session.send_error("inference_rate_limit_exceeded", "Slow down.", event.get("event_id"))
        return True

    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        session.intercept("response.create", refuse)
        error = await client.refused("response.create")
        assert error["code"] == "inference_rate_limit_exceeded"
        assert session.errors_sent == [error]
        session.send_error("insufficient_quota", "No money left.")
        assert (await client.next())["error"]["event_id"] is None


async def test_raw_frames_are_sent_unchanged() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        session.send_raw("{not json")
        session.send_raw(b"\x00\x01")
        assert await client.socket.recv() == "{not json"
        assert await client.socket.recv() == b"\x00\x01"


async def test_a_session_expires() -> None:
    async with RealtimeServer(options=Options(life_s=0.05)) as server:
        async with connect(url(server), additional_headers=BEARER) as socket:
            client = Client(socket)
            assert (await client.until("error"))["error"]["code"] == "session_expired"
            with pytest.raises(ConnectionClosed) as closed:
                await client.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            assert "maximum duration" in closed.value.rcvd.reason


async def test_a_session_may_say_that_it_expires_sooner_than_it_does() -> None:
    options = Options(life_s=3600, says_life_s=0.25)
    async with RealtimeServer(options=options) as server:
        before_s = time.time()
        async with connect(url(server), additional_headers=BEARER) as socket:
            created = await Client(socket).until("session.created")
            assert 0.25 <= created["session"]["expires_at"] - before_s < 60


async def test_silence_after_an_answer_triggers_the_idle_timeout() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    script = Script(Reply("Anything else?", audio=silence(40)), "Are you there?")
    async with (
        RealtimeServer(script, options=Options(speed=math.inf)) as server,
        PhoneSession(server, **phone(turn_detection=detection)) as client,
    ):
        config = (await server.session()).config
        config["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = 60  # no test waits 5 s
        await client.send("response.create")
        await client.until("response.done")
        timeout = await client.until("input_audio_buffer.timeout_triggered")
        committed = await client.until("input_audio_buffer.committed")
        assert committed["item_id"] == timeout["item_id"]
        await client.until("response.done")
        assert script.turns[1].transcript == ""


async def test_a_failed_transcription_fails_alone() -> None:
    def deaf(ulaw: bytes) -> str:
        raise TranscriptionFailed

    async with (
        RealtimeServer(["Pardon?"], transcribe=deaf) as server,
        PhoneSession(server) as client,
    ):
        await client.append(SPEECH + silence(300))
        await client.until("conversation.item.input_audio_transcription.failed")
        assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_transcript_may_come_later_than_the_answer_fail_or_never_come() -> None:
    fates = [Transcript("Wait.", 30), Transcript("", math.inf), Transcript("", failed=True)]
    heard: list[str] = []

    def brain(turn: Turn) -> Reply:
        heard.append(turn.transcript)
        return Reply("Yes?", audio=b"")

    async with (
        RealtimeServer(brain, transcribe=lambda _ulaw: fates.pop(0)) as server,
        PhoneSession(server) as client,
    ):
        for _ in range(3):
            await client.append(SPEECH + silence(300))
            await client.until("response.done")
        event = "conversation.item.input_audio_transcription"
        session = await server.session()
        await session.until(
            lambda it: bool(it.sent_at_s(f"{event}.completed") and it.sent_at_s(f"{event}.failed"))
        )
        (late_s,) = session.sent_at_s(f"{event}.completed")
        committed_s, *_ = session.sent_at_s("input_audio_buffer.committed")
    assert late_s - committed_s >= 0.03
    assert heard == ["Wait.", "", ""]
    assert len(session.sent_at_s(f"{event}.failed")) == 1


async def test_transcription_and_brain_may_be_slow() -> None:
    async def transcribe(ulaw: bytes) -> str:
        await asyncio.sleep(0)
        return f"{len(ulaw)} bytes"

    async def brain(turn: Turn) -> Reply:
        await asyncio.sleep(0)
        return Reply(f"You said {turn.transcript}", audio=b"")

    async with RealtimeServer(brain, transcribe=transcribe) as server:
        async with PhoneSession(server) as client:
            await client.append(SPEECH + silence(300))
            await client.until("response.done")
        caller, agent = (await server.session()).items
        assert agent.text == f"You said {len(caller.audio)} bytes"


async def test_a_script_that_runs_out_surfaces_when_the_server_closes() -> None:
    with pytest.raises(AssertionError, match="no reply left"):
        async with RealtimeServer(Script()) as server, PhoneSession(server) as client:
            await client.send("response.create")
            response = (await client.until("response.done"))["response"]
            assert response["status"] == "failed"


async def test_a_client_that_does_not_read_stops_the_model() -> None:
    long = Reply("A long story", audio=silence(1_000_000), speed=math.inf)
    async with RealtimeServer([long]) as server, PhoneSession(server) as client:
        await client.send("response.create")
        session = await server.session()
        await session.until(lambda session: session.blocked)
        stopped_ms = session.items[0].audio_ms
        for _ in range(100):  # turns of the loop, not time: one delta each, if it went on
            await asyncio.sleep(0)
        assert session.items[0].audio_ms <= stopped_ms + 100 < 1_000_000
        await client.until("response.done")
        assert session.items[0].audio_ms == 1_000_000


async def test_a_plain_http_request_opens_no_session() -> None:
    async with RealtimeServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        request = "GET /v1/realtime?model=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n"
        writer.write(request.encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 4")
        writer.close()
        await writer.wait_closed()
        assert not server.sessions


async def test_waiting_for_a_session_that_closed_ends() -> None:
    async with RealtimeServer() as server:
        async with PhoneSession(server):
            session = await server.session()
        with pytest.raises(ConnectionError, match="closed before"):
            await session.received("response.create")


async def test_sixty_sessions_run_at_once() -> None:
    async with RealtimeServer(
        lambda turn: Reply("Hello there", speed=math.inf), transcribe=lambda ulaw: "Hi"
    ) as server:

        async def call() -> bytes:
            async with PhoneSession(server) as client:
                await client.append(SPEECH + silence(300))
                done = await client.until("response.done")
                return str(done["response"]["output"][0]["id"]).encode()

        answers = await asyncio.gather(*(call() for _ in range(60)))
        assert len(set(answers)) == 60
        assert len(server.sessions) == 60


async def test_a_server_that_does_not_remember_keeps_no_events_and_no_audio() -> None:
    options = Options(speed=math.inf, remembers=False)
    async with RealtimeServer(lambda _turn: Reply("Hello."), options=options) as server:
        for _ in range(3):
            async with PhoneSession(server) as client:
                (session,) = server.sessions
                await client.send("input_audio_buffer.append", audio="/w==")
                await client.send("response.create")
                await client.until("response.done")
                assert session.heard == b"" and session.client_events == []
            await session.closed.wait()
        assert server.handshakes == []


@pytest.mark.parametrize("names", ["param", "message", "nothing"])
@pytest.mark.parametrize("repeats_id", [True, False])
async def test_a_server_may_refuse_a_setting(names: Any, repeats_id: bool) -> None:
    path = "audio.input.transcription.keywords"
    refuse = refusing(path, names=names, repeats_id=repeats_id)
    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        session.intercept("session.update", refuse)
        heard = {"transcription": {"model": "gpt-transcribe", "keywords": ["Rome"]}}
        change = {"type": "realtime", "audio": {"input": heard}}
        await client.send("session.update", event_id="mine", session=change)
        error = (await client.next())["error"]
        assert error["event_id"] == ("mine" if repeats_id else None)
        assert error["param"] == (f"session.{path}" if names == "param" else None)
        assert (path in error["message"]) == (names == "message")
        assert session.config["audio"]["input"]["transcription"]["language"] == "en"
        del heard["transcription"]["keywords"]
        await client.send("session.update", session=change)
        assert (await client.next())["type"] == "session.updated"


async def test_a_server_may_refuse_a_setting_that_it_took() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        session = await server.session()
        session.intercept("session.update", refusing("truncation", late=True))
        change = {"type": "realtime", "truncation": "disabled"}
        await client.send("session.update", event_id="mine", session=change)
        assert (await client.next())["type"] == "session.updated"
        assert (await client.next())["error"]["param"] == "session.truncation"
        assert session.config["truncation"] == "disabled"
