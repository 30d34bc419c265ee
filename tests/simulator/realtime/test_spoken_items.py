"""Speech in items that a client creates is recognized like speech in the input buffer."""

import base64
from typing import Any

from app.audio import resample_pcm16, ulaw_decode
from app.simulator.realtime import RealtimeServer, Script, TranscriptionFailed
from tests.simulator.realtime.realtime_client import PhoneSession, phone

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
ULAW = bytes(range(256)) * 10


def spoken(*parts: bytes | str, **more: Any) -> dict[str, Any]:
    content = [
        {"type": "input_text", "text": part}
        if isinstance(part, str)
        else {"type": "input_audio", "audio": base64.b64encode(part).decode(), **more}
        for part in parts
    ]
    return {"type": "message", "role": "user", "content": content}


async def test_speech_in_an_item_is_what_the_caller_said() -> None:
    script = Script("Sure.", heard=["a table for two"])
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await client.send("conversation.item.create", item=spoken(ULAW, transcript="not shown"))
        await client.send("response.create")
        await client.until("response.done")
        (item, _) = (await server.session()).items
        assert bytes(item.audio) == ULAW
        (done,) = client.of(COMPLETED)
        assert (done["item_id"], done["content_index"]) == (item.id, 0)
        assert done["transcript"] == "a table for two"
    assert script.turns[0].transcript == "a table for two"


async def test_text_and_speech_of_an_item_are_read_in_order() -> None:
    script = Script("Sure.", heard=["for two", "on Monday"])
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await client.send("conversation.item.create", item=spoken("A table", ULAW, ULAW))
        await client.send("response.create")
        await client.until("response.done")
        assert [each["content_index"] for each in client.of(COMPLETED)] == [1, 2]
    assert script.turns[0].transcript == "A table for two on Monday"


async def test_speech_in_the_input_of_a_response_is_recognized() -> None:
    script = Script("Sure.", heard=["a table for two"])
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await client.send("response.create", response={"input": [spoken(ULAW)]})
        await client.until("response.done")
        assert not client.of(COMPLETED)
    assert script.turns[0].transcript == "a table for two"


async def test_speech_is_in_the_input_format_of_the_session() -> None:
    heard = []

    def transcribe(ulaw: bytes) -> str:
        heard.append(ulaw)
        return "yes"

    pcm = resample_pcm16(ulaw_decode(ULAW), 8000, 24000)
    pcm_in = phone(format={"type": "audio/pcm", "rate": 24000})
    server = RealtimeServer(Script("Sure.").brain, transcribe=transcribe)
    async with server, PhoneSession(server, **pcm_in) as client:
        await client.send("conversation.item.create", item=spoken(pcm))
        await client.until(COMPLETED)
    assert abs(len(heard[0]) - len(ULAW)) <= 2


async def test_speech_that_is_not_understood_is_reported_as_failed() -> None:
    def transcribe(_ulaw: bytes) -> str:
        raise TranscriptionFailed

    server = RealtimeServer(Script("Pardon?").brain, transcribe=transcribe)
    async with server, PhoneSession(server) as client:
        await client.send("conversation.item.create", item=spoken(ULAW))
        assert (await client.until(FAILED))["content_index"] == 0


async def test_audio_that_is_not_base64_is_refused_with_its_part() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        item = spoken("A table", b"")
        item["content"][1]["audio"] = "@@@@"
        error = await client.refused("conversation.item.create", item=item)
        assert error["param"] == "item.content[1].audio"
