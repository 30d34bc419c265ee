"""Calls in every state of the exits, and the commands that show it."""

from collections.abc import Callable
from dataclasses import replace

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Agent, Limits
from app.call.exits.exits import Exits
from app.call.exits.last_words import GUARD_MS
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transitions import ExitState, KeysState, RedirectState
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, call_transfer, transfer_scene

#: An announcement or a goodbye of two seconds is heard, and what follows is ordered.
HEARD_MS = 2100 + GUARD_MS
#: The longest call of `LIMITED`.
LIMIT_MS = 60_000.0
LIMITED = agent(
    limits=Limits(idle_ms=0, longest_call_ms=int(LIMIT_MS), warning_ms=10_000),
    destinations=HUMANS.destinations,
)
#: An agent with an external voice. Tests send the voice's audio themselves.
VOICED = replace(HUMANS, voices=("first",))
#: Tones of more than nine seconds.
SLOW_KEYS = "w" * 19

#: What an exit may command, and what the model gets to know about it.
OF_EXITS = (
    do.HangUp,
    do.CloseStream,
    do.TransferCall,
    do.PlayDigits,
    do.AddToolOutput,
    do.CreateResponse,
)

OPERATOR = ev.TransferRequested("Support")
REACHED = ev.VoicemailReached("Your table is booked.")
FATAL = ev.ModelLost("no money left", fatal=True)
ACCEPTED = ev.CallRedirected()
FAILED = ev.RedirectFailed("status 503")

#: What happens on a call.
Moment = Callable[[Scene], object]


def feeds(*events: ev.Event) -> Moment:
    return lambda scene: scene.feed(*events)


def passes(ms: float) -> Moment:
    return lambda scene: scene.run(ms)


def exits_of(scene: Scene) -> Exits:
    return scene.machine._exits


def assert_state(scene: Scene, state: ExitState | RedirectState | KeysState) -> None:
    """The region is in this state, and nothing illegal has happened."""
    assert state in exits_of(scene).states and not exits_of(scene).illegal


def ordered(scene: Scene) -> list[type[do.Command]]:
    """The kinds of commands of the exits since the last `take`."""
    return [type(command) for command in scene.take() if isinstance(command, OF_EXITS)]


def answer_to(scene: Scene, call_id: str) -> list[str]:
    """What the model got as the answer to a tool call."""
    return [each.output for each in scene.all(do.AddToolOutput) if each.call_id == call_id]


def interrupted_call(who: Agent = LIMITED) -> Scene:
    """A call in which the caller interrupted `resp_0`: what it still sends is cut."""
    scene = transfer_scene(who)
    scene.begin("item_0", "resp_0")
    scene.audio(1000, "item_0", "resp_0")
    scene.run(300)
    scene.speak("user_0")
    scene.finish("item_0", "resp_0", "cancelled")
    scene.fall_silent("user_0")
    scene.answer(200, "item_a", "resp_a")
    scene.run(1000)
    scene.take()
    return scene


# --- the states of the exit ---------------------------------------------------------------------


def with_agent(scene: Scene) -> None:
    pass


def goodbye(scene: Scene, goodbye_ms: int = 2000) -> None:
    """The agent says goodbye, and calls end_call."""
    scene.begin()
    if goodbye_ms:
        scene.audio(goodbye_ms)
    scene.call_tool("call_1", "end_call")
    scene.finish()


def limit_reached(scene: Scene) -> None:
    """The longest call is over. The goodbye is requested."""
    scene.answers_ms = 100  # the warning
    scene.run_until(LIMIT_MS - 10)
    scene.answers_ms = None
    scene.run_until(LIMIT_MS)
    assert scene.asked()[-1] == prompts.GOODBYE_LIMIT


def final_goodbye(scene: Scene) -> None:
    """The agent says the goodbye of the longest call."""
    limit_reached(scene)
    scene.respond(2000)


def announcing(scene: Scene) -> None:
    call_transfer(scene)


def transferring(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(HEARD_MS)
    assert scene.all(do.TransferCall)


def hanging_up(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"))


def closing(scene: Scene) -> None:
    hanging_up(scene)
    scene.feed(ev.HangUpFailed("no credentials"))


# --- keys ---------------------------------------------------------------------------------------


def press_keys(scene: Scene, digits: str = SLOW_KEYS, call_id: str = "keys_1") -> None:
    """The agent presses keys, and says nothing."""
    response_id = f"resp_{call_id}"
    scene.feed(ev.ResponseCreated(response_id))
    scene.call_tool(call_id, SEND_DIGITS, response_id, f'{{"digits": "{digits}"}}')
    scene.feed(ev.ResponseDone(response_id, "completed"))


def say_by_voice(scene: Scene) -> None:
    """A response begins whose text a voice synthesizes."""
    scene.begin("item_v", "resp_v")
    scene.feed(ev.TextReceived("item_v", "One moment, please. "))
    assert scene.all(do.Synthesize)


def keys_wait(scene: Scene, digits: str = "1") -> None:
    """Keys are to be pressed when the voice is done."""
    say_by_voice(scene)
    scene.call_tool("keys_1", SEND_DIGITS, "resp_v", f'{{"digits": "{digits}"}}')
