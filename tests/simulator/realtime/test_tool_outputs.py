"""Outputs of tools, each of which the scripted Realtime server's model reads once."""

from typing import Any

from app.simulator.realtime import RealtimeServer, Reply, Script
from tests.simulator.realtime.realtime_client import Client, PhoneSession

CALL = {"type": "function_call", "name": "book_table", "arguments": "{}", "call_id": "call_1"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "table 4"}


def said(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


async def replay(client: Client, *items: dict[str, Any]) -> None:
    for item in items:
        await client.send("conversation.item.create", item=item)
        await client.until("conversation.item.done")


async def respond(client: Client) -> None:
    await client.send("response.create")
    await client.until("response.done")


def outputs_of(script: Script) -> list[list[str]]:
    return [[each.output for each in turn.tool_outputs] for turn in script.turns]


async def test_an_output_created_twice_is_answered_once() -> None:
    script = Script(Reply(tool_calls=[("book_table", {})]), "Booked.", "Anything else?")
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await respond(client)
        call = client.of("response.output_item.done")[0]["item"]
        output = {**OUTPUT, "call_id": call["call_id"]}
        await replay(client, output, output)
        await respond(client)
        await replay(client, output)
        await respond(client)
    assert outputs_of(script) == [[], ["table 4"], []]


async def test_a_replayed_conversation_is_not_answered_again() -> None:
    script = Script("You are welcome.")
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        history = [said("user", "A table, please."), CALL, OUTPUT, said("assistant", "Booked.")]
        await replay(client, *history, said("user", "Thank you."))
        await respond(client)
    assert outputs_of(script) == [[]]
    assert script.turns[0].transcript == "Thank you."


async def test_a_replayed_output_without_an_answer_is_answered() -> None:
    script = Script("Booked.", "You are welcome.")
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await replay(client, said("user", "A table, please."), CALL, OUTPUT)
        await respond(client)
        await replay(client, said("user", "Thank you."))
        await respond(client)
    assert outputs_of(script) == [["table 4"], []]


async def test_an_answer_that_the_client_wrote_again_leaves_a_live_output_to_be_answered() -> None:
    # after an interruption a client may replace the model's words by what was heard
    script = Script(Reply("One moment, please.", tool_calls=[("book_table", {})]), "Booked.")
    async with RealtimeServer(script) as server, PhoneSession(server) as client:
        await respond(client)
        spoken, call = (event["item"] for event in client.of("response.output_item.done"))
        await replay(client, {**OUTPUT, "call_id": call["call_id"]})
        await client.send("conversation.item.delete", item_id=spoken["id"])
        await replay(client, said("assistant", "One moment"))
        await respond(client)
    assert outputs_of(script) == [[], ["table 4"]]


async def test_a_forced_tool_that_the_session_does_not_have_is_refused() -> None:
    async with RealtimeServer() as server, PhoneSession(server) as client:
        choice = {"type": "function", "name": "fly"}
        error = await client.refused("response.create", response={"tool_choice": choice})
        assert (error["code"], error["param"]) == ("invalid_value", "response.tool_choice")
        assert "'fly'" in error["message"]
