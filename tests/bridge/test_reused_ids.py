"""A model that numbers its items anew in each session."""

from app.bridge.leg.reused_ids import ReusedIds
from app.call import commands as do
from app.call import events as ev


def sessions(count: int) -> ReusedIds:
    """The ids of a leg in this session, if all sessions had the same ids."""
    ids = ReusedIds()
    ids.next_session()
    for _ in range(count - 1):
        ids.inward(ev.ResponseCreated("resp_1"))
        ids.inward(ev.OutputItemDone("resp_1", "item_1", "function_call", "completed", "call_1"))
        ids.next_session()
    return ids


def test_a_first_session_keeps_its_ids_and_so_does_one_with_new_ids() -> None:
    ids = sessions(1)
    added = ev.OutputItemAdded("resp_1", "item_1", "message")
    assert ids.inward(added) is added
    ids.next_session()
    other = ev.OutputItemAdded("resp_2", "item_2", "message")
    assert ids.inward(other) is other
    assert ids.inward(other) is other
    truncate = do.TruncateItem("bridge_1", "item_2", 100)
    assert ids.outward(truncate) is truncate


def test_an_item_of_the_next_session_is_another_one_though_it_has_the_same_id() -> None:
    ids = sessions(3)
    added = ids.inward(ev.OutputItemAdded("resp_1", "item_1", "message"))
    assert added == ev.OutputItemAdded("resp_1~3", "item_1~3", "message")
    for _ in range(2):
        audio = ids.inward(ev.AudioReceived("resp_1", "item_1", "", 0))
        assert audio == ev.AudioReceived("resp_1~3", "item_1~3", "", 0)
    assert ids.inward(ev.CallerTurnCommitted("item_2", "item_1")) == ev.CallerTurnCommitted(
        "item_2", "item_1~3"
    )
    assert ids.inward(ev.CallerTurnCommitted("item_3", None)).previous_item_id is None


def test_what_a_response_lists_at_its_end_has_the_same_ids() -> None:
    ids = sessions(2)
    call = ev.OutputItemDone("resp_1", "item_1", "function_call", "completed", "call_1", "lookup")
    done = ids.inward(ev.ResponseDone("resp_1", "completed", calls=(call,), messages=("item_1",)))
    assert done == ev.ResponseDone(
        "resp_1~2",
        "completed",
        calls=(
            ev.OutputItemDone(
                "resp_1~2", "item_1~2", "function_call", "completed", "call_1~2", "lookup"
            ),
        ),
        messages=("item_1~2",),
    )


def test_commands_name_what_the_session_knows() -> None:
    ids = sessions(2)
    ids.inward(ev.OutputItemDone("resp_1", "item_1", "function_call", "completed", "call_1"))
    sent: list[tuple[do.ToModel, do.ToModel]] = [
        (do.TruncateItem("b", "item_1~2", 100), do.TruncateItem("b", "item_1", 100)),
        (do.DeleteItem("b", "item_1~2"), do.DeleteItem("b", "item_1")),
        (do.CancelResponse("b", "resp_1~2"), do.CancelResponse("b", "resp_1")),
        (do.AddToolOutput("b", "call_1~2", "{}"), do.AddToolOutput("b", "call_1", "{}")),
        (
            do.AddMessage("b", "system", "Hm.", "bridge_x", "item_1~2"),
            do.AddMessage("b", "system", "Hm.", "bridge_x", "item_1"),
        ),
        (do.CreateResponse("b"), do.CreateResponse("b")),
    ]
    for command, expected in sent:
        assert ids.outward(command) == expected


def test_ids_that_the_bridge_gave_are_the_same_in_every_session() -> None:
    ids = sessions(1)
    taken = ev.MessageTaken("bridge_keys_0_1")
    for _ in range(2):
        assert ids.inward(taken) is taken
        ids.next_session()
