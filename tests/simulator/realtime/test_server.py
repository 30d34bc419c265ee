"""The scripted Realtime server: conversations in the GA protocol."""

import asyncio
import base64
import json
import math
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.audio import silence, tone
from app.simulator.realtime import Options, RealtimeServer, Reply, Script, Turn
from tests.simulator.realtime.realtime_client import Client, PhoneSession, phone

AT_ONCE = Options(speed=math.inf)
SPEECH = tone((200, 300, 250), note_ms=200, level_dbfs=-20)


def audio_of(client: Client) -> bytes:
    deltas = client.of("response.output_audio.delta")
    return b"".join(base64.b64decode(delta["delta"]) for delta in deltas)


async def test_a_session_starts_with_pcm_which_is_noise_on_a_phone_line() -> None:
    async with RealtimeServer() as server, PhoneSession(server):
        session = await server.session()
        assert session.model == "gpt-realtime-2"
        assert session.config["audio"]["output"]["format"] == {"type": "audio/pcmu"}
        detection = session.config["audio"]["input"]["turn_detection"]
        assert detection["silence_duration_ms"] == 200
        assert detection["create_response"] is True


async def test_a_greeting_is_streamed_event_by_event() -> None:
    async with (
        RealtimeServer(["Hello, how can I help?"], options=AT_ONCE) as server,
        PhoneSession(server) as client,
    ):
        await client.send("response.create", response={"instructions": "Greet the caller."})
        done = await client.until("response.done")
        kinds = client.types()
        assert kinds[:6] == [
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
        ]
        assert kinds[-6:] == [
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        said = "".join(d["delta"] for d in client.of("response.output_audio_transcript.delta"))
        assert said == "Hello, how can I help?"
        assert done["response"]["output"][0]["content"] == [
            {"type": "output_audio", "transcript": said}
        ]
        (item,) = (await server.session()).items
        assert audio_of(client) == bytes(item.audio)
        assert item.audio_ms == len(said) * 60
        usage = done["response"]["usage"]
        assert usage["output_token_details"]["audio_tokens"] == round(item.audio_ms / 50)
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_given_audio_is_sent_unchanged_in_deltas_of_delta_ms() -> None:
    reply = Reply("Two words", audio=SPEECH, delta_ms=250, speed=math.inf)
    async with RealtimeServer([reply]) as server, PhoneSession(server) as client:
        await client.send("response.create")
        await client.until("response.done")
        sizes = [
            len(base64.b64decode(d["delta"])) for d in client.of("response.output_audio.delta")
        ]
        assert sizes == [2000, 2000, 800]
        assert audio_of(client) == SPEECH


async def test_audio_is_sent_faster_than_real_time_but_not_at_once() -> None:
    reply = Reply("Hm", audio=silence(1000), speed=5)
    async with RealtimeServer([reply]) as server, PhoneSession(server) as client:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await client.send("response.create")
        await client.until("response.done")
        assert 0.19 < loop.time() - begun_s


async def test_a_pcm_session_gets_pcm() -> None:
    audio = {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}}
    reply = Reply("Hm", audio=SPEECH, speed=math.inf)
    async with RealtimeServer([reply]) as server, PhoneSession(server, audio=audio) as client:
        await client.send("response.create")
        await client.until("response.done")
        assert len(audio_of(client)) == pytest.approx(len(SPEECH) * 6, abs=16)


async def test_a_text_session_gets_text() -> None:
    async with (
        RealtimeServer(["Plain words only"], options=AT_ONCE) as server,
        PhoneSession(server, output_modalities=["text"]) as client,
    ):
        await client.send("response.create")
        done = await client.until("response.done")
        assert "response.output_text.done" in client.types()
        assert not audio_of(client)
        assert done["response"]["output"][0]["content"] == [
            {"type": "output_text", "text": "Plain words only"}
        ]


async def test_a_second_active_response_is_refused() -> None:
    async with (
        RealtimeServer([Reply("One", delay_ms=50, speed=math.inf), "Two"]) as server,
        PhoneSession(server) as client,
    ):
        await client.send("response.create")
        await client.until("rate_limits.updated")
        error = await client.refused("response.create")
        assert error["code"] == "conversation_already_has_active_response"
        await client.until("response.done")
        assert len(client.of("response.created")) == 1
        assert (await server.session()).errors_sent == [error]


async def test_an_out_of_band_response_adds_no_item_to_the_conversation() -> None:
    def brain(turn: Turn) -> Reply:
        return Reply("Aside" if not turn.in_conversation else "Aloud", delay_ms=20, speed=math.inf)

    async with RealtimeServer(brain) as server, PhoneSession(server) as client:
        await client.send("response.create")
        aside = {"conversation": "none", "output_modalities": ["text"], "metadata": {"for": "x"}}
        await client.send("response.create", response=aside)
        done = [(await client.until("response.done"))["response"] for _ in range(2)]
        by_metadata = {str(r["metadata"]): r for r in done}
        assert by_metadata["{'for': 'x'}"]["conversation_id"] is None
        assert by_metadata["None"]["conversation_id"] is not None
        assert [item.text for item in (await server.session()).items] == ["Aloud"]


async def test_cancelling_closes_the_open_item_as_incomplete() -> None:
    async with (
        RealtimeServer([Reply("A long story", audio=silence(60_000))]) as server,
        PhoneSession(server) as client,
    ):
        await client.send("response.create")
        delta = await client.until("response.output_audio.delta")
        await client.send("response.cancel", response_id=delta["response_id"])
        response = (await client.until("response.done"))["response"]
        assert response["status"] == "cancelled"
        assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert response["output"][0]["status"] == "incomplete"
        assert "conversation.item.done" in client.types()
        assert audio_of(client) == bytes((await server.session()).items[0].audio)
        error = await client.refused("response.cancel")
        assert error["code"] == "response_cancel_not_active"
        assert error["message"].startswith("Cancellation failed")


async def test_a_browser_sends_its_key_as_a_subprotocol() -> None:
    async with RealtimeServer(options=Options(api_key="sk-test")) as server:
        url = server.base_url.replace("http:", "ws:") + "/realtime?model=gpt-realtime-2"
        offered = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.sk-test")]
        async with connect(url, subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime"
            assert json.loads(await socket.recv())["type"] == "session.created"
        with pytest.raises(InvalidStatus):
            await connect(url, subprotocols=offered[:1])


async def test_the_caller_speaks_and_is_answered() -> None:
    script = Script("Sure.", heard=["I want a table"])
    async with RealtimeServer(script, options=AT_ONCE) as server, PhoneSession(server) as client:
        await client.append(silence(400) + SPEECH + silence(300))
        await client.until("response.done")
        completed = "conversation.item.input_audio_transcription.completed"
        assert client.types()[:6] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
        started, stopped = client.seen[0], client.seen[1]
        assert started["audio_start_ms"] == 100  # at 400 ms, padded by 300
        assert 1180 <= stopped["audio_end_ms"] <= 1240  # at 1000 ms, after 200 of silence
        (transcript,) = client.of(completed)
        assert transcript["item_id"] == started["item_id"] == stopped["item_id"]
        assert transcript["transcript"] == "I want a table"
        session = await server.session()
        assert script.turns[0].kind == "reply"
        assert script.turns[0].transcript == "I want a table"
        caller, agent = session.items
        assert SPEECH in bytes(caller.audio)
        assert client.of("conversation.item.added")[1]["previous_item_id"] == caller.id
        assert (caller.role, agent.role) == ("user", "assistant")
        assert session.heard == silence(400) + SPEECH + silence(300)


async def test_barge_in_cancels_the_response() -> None:
    script = Script(Reply("A long story", audio=silence(60_000)), "Yes?", heard=["Stop"])
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        await client.append(SPEECH)
        await client.until("input_audio_buffer.speech_started")
        client.seen.clear()
        response = (await client.until("response.done"))["response"]
        assert client.types() == [
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        assert response["status_details"]["reason"] == "turn_detected"
        assert response["usage"]["output_tokens"] > 0
        await client.append(silence(300))
        await client.until("response.created")
        assert "response.output_audio.delta" not in client.types()


async def test_without_interrupt_response_the_response_to_speech_may_be_refused() -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 200, "interrupt_response": False}
    async with (
        RealtimeServer([Reply("A long story", audio=silence(60_000))]) as server,
        PhoneSession(server, **phone(turn_detection=detection)) as client,
    ):
        await client.send("response.create")
        await client.append(SPEECH + silence(300))
        error = (await client.until("error"))["error"]
        assert error["code"] == "conversation_already_has_active_response"
        assert error["event_id"] is None
        assert (await server.session()).active is not None


async def test_without_turn_detection_the_client_commits_and_creates_responses() -> None:
    script = Script("Sure.", heard=["Hello"])
    async with (
        RealtimeServer(script, options=AT_ONCE) as server,
        PhoneSession(server, **phone(turn_detection=None)) as client,
    ):
        error = await client.refused("input_audio_buffer.commit")
        assert error["code"] == "input_audio_buffer_commit_empty"
        await client.append(SPEECH)
        await client.send("input_audio_buffer.clear")
        assert (await client.next())["type"] == "input_audio_buffer.cleared"
        await client.append(SPEECH)
        await client.send("input_audio_buffer.commit")
        await client.send("response.create")
        await client.until("response.done")
        assert "input_audio_buffer.speech_started" not in client.types()
        assert bytes((await server.session()).items[0].audio) == SPEECH
        assert script.turns[0].transcript == "Hello"


async def test_a_test_can_start_and_stop_speech_by_hand() -> None:
    script = Script("Of course.")
    async with RealtimeServer(script, options=AT_ONCE) as server, PhoneSession(server) as client:
        session = await server.session()
        await client.append(silence(1000))
        await session.received("input_audio_buffer.append")
        session.start_speech()
        await client.append(silence(1000))
        await session.received("input_audio_buffer.append", 2)
        session.stop_speech("Is it open?")
        await client.until("response.done")
        assert client.of("input_audio_buffer.speech_started")[0]["audio_start_ms"] == 700
        assert client.of("input_audio_buffer.speech_stopped")[0]["audio_end_ms"] == 2000
        assert script.turns[0].transcript == "Is it open?"


async def test_a_function_call_is_sent_before_response_done_and_its_output_reaches_the_brain() -> (
    None
):
    script = Script(
        Reply("One moment.", tool_calls=[("book_table", {"guests": 2})]),
        Reply("Booked."),
        heard=[],
    )
    async with RealtimeServer(script, options=AT_ONCE) as server, PhoneSession(server) as client:
        await client.send("response.create")
        done = await client.until("response.done")
        (arguments,) = client.of("response.function_call_arguments.done")
        assert arguments["arguments"] == '{"guests": 2}'
        deltas = client.of("response.function_call_arguments.delta")
        assert "".join(delta["delta"] for delta in deltas) == arguments["arguments"]
        call = client.of("response.output_item.done")[1]["item"]
        assert (call["type"], call["status"], call["name"]) == (
            "function_call",
            "completed",
            "book_table",
        )
        assert done["response"]["output"][1] == call
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "table 4"}
        await client.send("conversation.item.create", item=output)
        await client.send("response.create")
        await client.until("response.done")
        (answer,) = script.turns[1].tool_outputs
        assert (answer.name, answer.output) == ("book_table", "table 4")
        assert not script.unused
        error = await client.refused(
            "conversation.item.create", item={**output, "call_id": "call_nobody"}
        )
        assert error["code"] == "invalid_tool_call_id"


async def test_a_failed_response_has_no_usage_and_no_error_event() -> None:
    reply = Reply(status="failed", error_code="rate_limit_exceeded")
    async with RealtimeServer([reply]) as server, PhoneSession(server) as client:
        await client.send("response.create")
        response = (await client.until("response.done"))["response"]
        assert response["status"] == "failed"
        assert response["usage"] is None
        assert response["status_details"]["error"]["code"] == "rate_limit_exceeded"
        assert not client.of("error")


async def test_an_incomplete_response_cuts_its_function_call() -> None:
    reply = Reply(tool_calls=[("book_table", {"guests": 12})], status="incomplete")
    async with RealtimeServer([reply]) as server, PhoneSession(server) as client:
        await client.send("response.create")
        response = (await client.until("response.done"))["response"]
        assert response["status_details"]["reason"] == "max_output_tokens"
        assert response["output"][0]["status"] == "incomplete"
        assert response["output"][0]["arguments"] == '{"guest'


async def test_transcripts_may_arrive_after_the_response() -> None:
    options = Options(speed=math.inf, transcript_after_response=True)
    script = Script(Reply("Sure.", delay_ms=60), heard=["Late words"])
    async with RealtimeServer(script, options=options) as server, PhoneSession(server) as client:
        await client.append(SPEECH + silence(300))
        await client.until("response.done")
        transcription = "conversation.item.input_audio_transcription"
        assert not client.of(f"{transcription}.completed")
        completed = await client.until(f"{transcription}.completed")
        assert completed["transcript"] == "Late words"
        assert script.turns[0].transcript == "Late words"
        deltas = client.of(f"{transcription}.delta")
        assert "".join(delta["delta"] for delta in deltas) == "Late words"


async def test_the_official_client_holds_a_conversation() -> None:
    script = Script("Good morning.", Reply("Bye.", tool_calls=[("end_call", {"reason": "done"})]))
    async with RealtimeServer(script, options=AT_ONCE) as server:
        api = AsyncOpenAI(api_key="sk-test", base_url=server.base_url)
        async with api, api.realtime.connect(model="gpt-realtime-2") as connection:
            assert (await connection.recv()).type == "session.created"
            await connection.session.update(
                session={
                    "type": "realtime",
                    "audio": {
                        "input": {"format": {"type": "audio/pcmu"}},
                        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
                    },
                }
            )
            text: Any = {"type": "input_text", "text": "Hello?"}
            message: Any = {"type": "message", "role": "user", "content": [text]}
            await connection.conversation.item.create(item=message)
            await connection.response.create()
            audio, transcript, names = b"", "", []
            async for event in connection:
                if event.type == "response.output_audio.delta":
                    audio += base64.b64decode(event.delta)
                elif event.type == "response.output_audio_transcript.delta":
                    transcript += event.delta
                elif event.type == "response.function_call_arguments.done":
                    names.append(event.name)
                elif event.type == "response.done" and not names:
                    if transcript != "Good morning.":
                        break
                    await connection.response.create()
                elif event.type == "response.done":
                    break
                assert event.type != "error", event
        session = await server.session()
        assert (transcript, names) == ("Good morning.Bye.", ["end_call"])
        assert audio == b"".join(bytes(item.audio) for item in session.items)
        assert script.turns[0].transcript == "Hello?"
