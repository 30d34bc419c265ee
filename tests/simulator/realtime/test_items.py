"""Items at the scripted Realtime server: order, truncation, deletion, history."""

import base64
import math
from typing import Any

from app.audio import silence
from app.simulator.realtime import Options, RealtimeServer, Reply
from tests.simulator.realtime.realtime_client import Client, PhoneSession

AT_ONCE = Options(speed=math.inf)


def message(role: str, text: str, **fields: Any) -> dict[str, Any]:
    part = "output_text" if role == "assistant" else "input_text"
    return {
        "type": "message",
        "role": role,
        "content": [{"type": part, "text": text}],
        **fields,
    }


async def say(client: Client) -> str:
    """Let the model answer; returns the id of its item."""
    await client.send("response.create")
    done = await client.until("response.done")
    return str(done["response"]["output"][0]["id"])


async def test_items_are_inserted_after_the_previous_item_id() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        for text, place in (("b", {}), ("c", {}), ("a", {"previous_item_id": "root"})):
            await client.send(
                "conversation.item.create", item=message("user", text, id=f"id_{text}"), **place
            )
        await client.send(
            "conversation.item.create",
            item=message("assistant", "b2", id="id_b2"),
            previous_item_id="id_b",
        )
        while len(client.of("conversation.item.done")) < 4:
            await client.next()
        before = [event["previous_item_id"] for event in client.of("conversation.item.added")]
        assert before == [None, "id_b", None, "id_b"]
        session = await server.session()
        assert [item.text for item in session.conversation] == ["a", "b", "b2", "c"]
        error = await client.refused(
            "conversation.item.create", item=message("user", "x"), previous_item_id="unknown"
        )
        assert error["param"] == "previous_item_id"
        error = await client.refused(
            "conversation.item.create", item=message("user", "x", id="id_a")
        )
        assert error["param"] == "item.id"


async def test_truncation_is_accepted_up_to_what_was_generated() -> None:
    reply = Reply("A line", audio=silence(1000))
    async with (
        RealtimeServer([reply], options=AT_ONCE) as server,
        PhoneSession(server) as client,
    ):
        item_id = await say(client)
        place = {"item_id": item_id, "content_index": 0}
        error = await client.refused("conversation.item.truncate", **place, audio_end_ms=1001)
        assert error["message"] == "Audio content of 1000ms is already shorter than 1001ms"
        for cut_ms in (1000, 400):
            await client.send("conversation.item.truncate", **place, audio_end_ms=cut_ms)
            answer = await client.next()
            assert (answer["type"], answer["audio_end_ms"]) == (
                "conversation.item.truncated",
                cut_ms,
            )
        error = await client.refused("conversation.item.truncate", **place, audio_end_ms=401)
        assert error["message"] == "Audio content of 400ms is already shorter than 401ms"
        (item,) = (await server.session()).items
        assert [cut.audio_end_ms for cut in item.truncations] == [1000, 400]
        assert item.truncations[0].at_s <= item.truncations[1].at_s
        assert item.audio_ms == 1000
        await client.send("conversation.item.retrieve", item_id=item_id)
        (part,) = (await client.next())["item"]["content"]
        assert "transcript" not in part
        assert base64.b64decode(part["audio"]) == silence(400)


async def test_only_model_audio_can_be_truncated() -> None:
    async with (
        RealtimeServer([Reply("Thinking", audio=b"")], options=AT_ONCE) as server,
        PhoneSession(server) as client,
    ):
        silent_id = await say(client)
        await client.send("conversation.item.create", item=message("user", "Hi", id="id_hi"))
        await client.until("conversation.item.done")
        for item_id in (silent_id, "id_hi"):
            error = await client.refused(
                "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0
            )
            assert error["code"] == "unsupported_content_type"
            assert error["message"].startswith("Only model output audio messages can be truncated")
        error = await client.refused(
            "conversation.item.truncate", item_id="unknown", content_index=0, audio_end_ms=0
        )
        assert error["code"] == "item_truncate_invalid_item_id"


async def test_another_content_part_cannot_be_truncated() -> None:
    async with (
        RealtimeServer(["A line"], options=AT_ONCE) as server,
        PhoneSession(server) as client,
    ):
        item_id = await say(client)
        error = await client.refused(
            "conversation.item.truncate", item_id=item_id, content_index=1, audio_end_ms=10
        )
        assert error["param"] == "content_index"


async def test_a_deleted_item_leaves_the_conversation_and_stays_readable() -> None:
    async with (
        RealtimeServer(["One", "Two"], options=AT_ONCE) as server,
        PhoneSession(server) as client,
    ):
        first, second = await say(client), await say(client)
        await client.send("conversation.item.delete", item_id=first)
        assert (await client.next())["item_id"] == first
        session = await server.session()
        assert [item.id for item in session.conversation] == [second]
        assert [item.id for item in session.items] == [first, second]
        assert session.items[0].deleted_at_s is not None
        error = await client.refused("conversation.item.delete", item_id=first)
        assert error["code"] == "item_delete_invalid_item_id"
        error = await client.refused("conversation.item.retrieve", item_id=first)
        assert error["code"] == "item_retrieve_invalid_item_id"


async def test_the_made_up_audio_of_each_item_is_unique() -> None:
    async with (
        RealtimeServer(["Same words", "Same words"], options=AT_ONCE) as server,
        PhoneSession(server) as client,
    ):
        await say(client)
        await say(client)
        one, two = (await server.session()).items
        assert len(one.audio) == len(two.audio) > 0
        assert one.audio != two.audio
