"""What the board shows of a call, event by event."""

from app.call import commands as do
from app.call import events as ev
from app.records.record import TurnRow
from app.records.watching import CallEnded, TurnsChanged, Watched
from app.web.live.board import Board, Card
from app.web.live.calls import LONGEST_WORDS, MOST_TURNS, LiveCalls
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "inbound", "+15551230001", "+15551230002")


class Watched1:
    """One call that is watched, and its board."""

    def __init__(self) -> None:
        self.board = Board()
        self._calls = LiveCalls(self.board, "Ada", lambda: 1000.0)

    def sees(self, *messages: Watched, at_ms: float = 0.0) -> None:
        for message in messages:
            self._calls.watch(CALL, message, at_ms)

    @property
    def card(self) -> Card:
        return self.board.calls["CA1"].card()

    @property
    def state(self) -> str:
        return self.card.state


def started() -> Watched1:
    seen = Watched1()
    seen.sees(ev.LegOpened(), ev.StreamStarted("MZ1"))
    return seen


def row(position: int, text: str, role: str = "assistant", **more: object) -> TurnRow:
    return TurnRow(position, role, text, f"item_{position}", **more)  # type: ignore[arg-type]


def test_a_call_is_on_the_board_from_its_first_leg_to_its_end() -> None:
    seen = Watched1()
    seen.sees(ev.LegOpened())
    assert seen.card == Card(
        "CA1", "inbound", "+15551230001", "+15551230002", "Ada", 1000.0, "dialing", "", "", ""
    )
    seen.sees(ev.StreamStarted("MZ1"))
    assert seen.state == "listening"
    seen.sees(do.EndLeg("caller"), CallEnded("caller", 0.0))
    assert not seen.board.calls


def test_what_happens_to_a_call_that_was_turned_away_is_not_shown() -> None:
    seen = Watched1()
    seen.sees(ev.DecisionMade("call turned away", "full"), CallEnded("busy", 0.0))
    assert not seen.board.calls


def test_the_agent_speaks_until_what_was_sent_has_played() -> None:
    seen = started()
    seen.sees(ev.ResponseCreated("r1"))
    assert seen.state == "thinking"
    seen.sees(do.PlayAudio("item_1", "", 800), at_ms=1000)
    seen.sees(do.PlayAudio("item_1", "", 800), ev.ResponseDone("r1", "completed"), at_ms=1010)
    assert seen.state == "agent"
    seen.sees(ev.MarkEchoed("m1"), at_ms=1150)
    assert seen.state == "agent"
    seen.sees(ev.MarkEchoed("m2"), at_ms=1210)
    assert seen.state == "listening"


def test_a_tone_is_no_speech_of_the_agents() -> None:
    seen = started()
    seen.sees(do.PlayAudio("", "", 800))
    assert seen.state == "listening"


def test_an_interrupted_agent_is_paused_until_the_sound_is_judged() -> None:
    seen = started()
    seen.sees(do.PlayAudio("item_1", "", 80_000))
    seen.sees(ev.SpeechStarted("item_2", 0), do.ClearAudio(70_000), at_ms=500)
    assert seen.state == "paused"
    seen.sees(do.ReportInterruption("false", "cough", 300.0), at_ms=800)
    assert seen.state == "caller"
    seen.sees(do.PlayAudio("item_1", "", 70_000), ev.SpeechStopped("item_2", 500), at_ms=800)
    assert seen.state == "agent"


def test_a_tool_is_named_while_it_runs() -> None:
    seen = started()
    seen.sees(do.RunTool("call_1", "find_table", "{}"))
    assert (seen.state, seen.card.detail) == ("tool", "find_table")
    seen.sees(ev.ToolReturned("call_1", "{}"))
    assert seen.state == "listening"


def test_a_human_is_rung_until_the_caller_is_back() -> None:
    seen = started()
    order = do.TransferCall("call_1", ("desk", "boss"), "", "", announced=True)
    seen.sees(order, ev.StreamEnded("stopped"), do.EndLeg("transfer"))
    assert (seen.state, seen.card.detail) == ("transferring", "desk, boss")
    seen.sees(ev.LegOpened(), ev.StreamStarted("MZ2"))
    assert seen.state == "listening"


def test_a_refused_transfer_goes_on_with_the_agent() -> None:
    seen = started()
    seen.sees(do.TransferCall("call_1", ("desk",), "", "", announced=True))
    seen.sees(ev.RedirectFailed("refused"))
    assert seen.state == "listening"


def test_a_lost_session_and_a_lost_stream_are_told_apart() -> None:
    seen = started()
    seen.sees(ev.ModelLost("closed"))
    assert seen.state == "lost"
    seen.sees(ev.SessionConfigured())
    assert seen.state == "listening"
    seen.sees(ev.StreamEnded("socket closed", lost=True))
    assert seen.state == "reconnecting"


def test_the_last_words_are_those_that_were_heard() -> None:
    seen = started()
    seen.sees(TurnsChanged([row(0, "Hello."), row(1, "Hi.", "user")], range(0)))
    seen.sees(TurnsChanged([row(2, "", "assistant"), row(3, "{}", "tool")], range(0)))
    assert (seen.card.words, seen.card.words_by) == ("Hi.", "user")
    seen.sees(TurnsChanged([row(2, "word " * 100)], range(0)))
    assert len(seen.card.words) == LONGEST_WORDS + 1
    seen.sees(TurnsChanged([], range(1, 4)))
    assert seen.card.words == "Hello."


def test_a_turn_that_is_cut_shows_the_rest_of_its_text() -> None:
    seen = started()
    seen.sees(ev.TranscriptReceived("item_0", "We open "), ev.TranscriptReceived("item_0", "at 5."))
    seen.sees(TurnsChanged([row(0, "We open", cut=True)], range(0)))
    (turn,) = seen.board.calls["CA1"].turns()
    assert (turn.heard, turn.unheard) == ("We open", "at 5.")


def test_turns_are_kept_in_their_order_and_no_more_than_so_many() -> None:
    seen = started()
    seen.sees(TurnsChanged([row(3, "c"), row(4, "d")], range(0)))
    seen.sees(TurnsChanged([row(1, "a")], range(0)))
    assert [turn.position for turn in seen.board.calls["CA1"].turns()] == [1, 3, 4]
    seen.sees(TurnsChanged([row(5 + n, "x") for n in range(MOST_TURNS)], range(0)))
    assert len(seen.board.calls["CA1"].turns()) == MOST_TURNS
