"""What clients of the board get, and when."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from app.web.live.board import Board, Card, Client, LiveTurn


class Shown:
    """A call with these words."""

    def __init__(self, call_sid: str, words: str = "") -> None:
        self.call_sid = call_sid
        self.words = words
        self.said: list[LiveTurn] = []

    def card(self) -> Card:
        return Card(
            self.call_sid, "inbound", "+1", "+2", "Ada", 0.0, "agent", "", self.words, "user"
        )

    def turns(self) -> Sequence[LiveTurn]:
        return self.said


def turn(position: int, heard: str) -> LiveTurn:
    return LiveTurn(position, f"item_{position}", "assistant", 0.0, heard, "", False, True, {})


def lines(batch: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in batch.splitlines()]


def batch_of(client: Client) -> list[dict[str, Any]]:
    return lines(client.batch())


def test_a_new_client_gets_every_live_call() -> None:
    board = Board()
    board.put("CA1", Shown("CA1"))
    board.put("CA2", Shown("CA2"))
    client = board.follow()
    (first,) = lines(client.first())
    assert first["type"] == "calls"
    assert [call["call_sid"] for call in first["calls"]] == ["CA1", "CA2"]
    assert client.batch() == b""


def test_a_client_that_did_not_read_gets_the_present_state_once() -> None:
    board, call = Board(), Shown("CA1")
    board.put("CA1", call)
    client = board.follow()
    client.first()
    for number in range(1000):
        call.words = f"word {number}"
        board.changed("CA1")
    (only,) = batch_of(client)
    assert only["type"] == "call" and only["call"]["words"] == "word 999"


def test_a_call_that_ended_is_reported_as_ended() -> None:
    board = Board()
    client, call = board.follow(), Shown("CA1")
    board.put("CA1", call)
    board.remove("CA1", call)
    assert batch_of(client) == [{"type": "ended", "call_sid": "CA1"}]
    board.remove("CA1", call)
    assert client.batch() == b""


def test_a_call_that_two_replicas_have_for_a_moment_is_shown_until_both_are_done() -> None:
    board, before, after = Board(), Shown("CA1", "before"), Shown("CA1", "after")
    client = board.follow()
    board.put("CA1", before)
    board.put("CA1", after)
    board.remove("CA1", before)
    (line,) = batch_of(client)
    assert line["call"]["words"] == "after"
    board.put("CA1", before)
    board.remove("CA1", before)
    assert batch_of(client)[0]["call"]["words"] == "after"
    board.remove("CA1", after)
    assert batch_of(client) == [{"type": "ended", "call_sid": "CA1"}]


def test_a_mirror_shows_what_its_board_shows_and_more() -> None:
    mirror = Board()
    own, call = Board(mirror), Shown("CA1")
    mirror.put("CA2", Shown("CA2"))
    client = mirror.follow("CA1")
    own.put("CA1", call)
    call.said = [turn(0, "Hello.")]
    own.turns_changed("CA1")
    assert {each["type"] for each in lines(client.first())} == {"calls", "turns"}
    own.remove("CA1", call)
    assert [*mirror.calls] == ["CA2"] and not own.calls


def test_many_turns_are_sent_in_several_lines() -> None:
    board, call = Board(), Shown("CA1")
    call.said = [turn(number, "word") for number in range(120)]
    board.put("CA1", call)
    _, *parts = lines(board.follow("CA1").first())
    assert [len(each["turns"]) for each in parts] == [50, 50, 20]


def test_only_the_followed_call_sends_its_turns_and_only_those_that_changed() -> None:
    board, call, other = Board(), Shown("CA1"), Shown("CA2")
    call.said, other.said = [turn(0, "Hello."), turn(1, "Hi")], [turn(0, "Bye.")]
    board.put("CA1", call)
    board.put("CA2", other)
    client = board.follow("CA1")
    _, first = lines(client.first())
    assert [each["heard"] for each in first["turns"]] == ["Hello.", "Hi"]
    call.said = [turn(0, "Hello."), turn(1, "Hi there.")]
    board.turns_changed("CA1")
    board.turns_changed("CA2")
    card, other_card, turns = batch_of(client)
    assert card["call"]["call_sid"] == "CA1" and other_card["call"]["call_sid"] == "CA2"
    assert [each["position"] for each in turns["turns"]] == [1] and turns["removed"] == []
    call.said = [turn(0, "Hello.")]
    board.turns_changed("CA1")
    assert batch_of(client)[-1]["removed"] == [1]


def test_a_text_that_no_encoding_holds_is_sent_with_a_question_mark() -> None:
    board = Board()
    board.put("CA1", Shown("CA1", "a \ud800 b"))
    (first,) = lines(board.follow().first())
    assert first["calls"][0]["words"] == "a ? b"


async def test_a_client_waits_for_news_and_hears_none_after_it_left() -> None:
    board = Board()
    client = board.follow()
    client.first()
    waiting = asyncio.create_task(client.news())
    board.put("CA1", Shown("CA1"))
    await waiting
    board.leave(client)
    assert board.clients == 0


async def test_a_board_that_closes_ends_the_wait_of_its_clients() -> None:
    board = Board()
    client = board.follow()
    waiting = asyncio.create_task(client.news())
    board.close()
    await waiting
    assert client.closed
