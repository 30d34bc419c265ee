"""What the agent is told to do when it is not the caller's turn that asks for it."""

from collections.abc import Iterable, Iterator

from app.call.agent import Agent
from app.call.conversation import Turn


def greeting(agent: Agent) -> str:
    return (
        "The caller has just been connected and hears you now for the first time. Say exactly "
        f"this, and nothing else: {agent.greeting}"
    )


NUDGE = (
    "The caller has said nothing for a while. Ask in one short sentence whether they are still "
    "there. Do not repeat what you said before."
)
HOLD = (
    "You are still waiting for the result of what you are doing. Tell the caller in a few words "
    "that you are still on it. Do not guess the result."
)
WARNING = (
    "The call has to end in about {seconds} seconds. Tell the caller so in one short sentence and "
    "help them to finish."
)
GOODBYE_IDLE = (
    "The caller no longer answers. Say goodbye in one short sentence; the call ends then."
)
GOODBYE_LIMIT = (
    "The call has reached its longest time and ends now. Apologise and say goodbye in one short "
    "sentence."
)
GOODBYE = "Say goodbye to the caller in one short sentence; the call ends when they have heard it."

RESUMED = (
    "The telephone connection was lost for a moment and is back. Say so in a few words, and go on "
    "where the conversation stopped."
)
SESSION_RENEWED = (
    "The connection was interrupted for a moment and this conversation was restored from its "
    "transcript. The caller may have said something that is missing here. Go on where it stopped, "
    "and do not greet the caller again."
)

# What tool calls are answered with when the machine itself answers them.
END_TAKEN_BACK = (
    "The call was not ended: the caller spoke before the goodbye was over. Listen and go on; call "
    "end_call again when the conversation is over."
)
END_UNSPOKEN = "The call ends after your goodbye. Say it now."
END_DONE = "The goodbye was heard. The call ends."
END_FORCED = "The call ends. The goodbye was not heard to its end."
END_ALREADY = "The call is ending already."


def tool_overdue(name: str, limit_ms: float) -> str:
    return (
        f"{name} gave no answer within {limit_ms / 1000:g} seconds. Tell the caller that it did "
        "not work and offer what else you can do."
    )


def tool_result(name: str, output: str) -> str:
    return f"Result of {name}: {output}"


def as_messages(turns: Iterable[Turn]) -> Iterator[tuple[str, str]]:
    """Turns, as heard, the way a session is told of them: (role, text)."""
    for turn in turns:
        if turn.role == "tool":
            yield "system", tool_result(turn.detail["name"], turn.text)
        elif turn.heard_text:
            yield turn.role, turn.heard_text


def tool_running(name: str) -> str:
    return f"{name} was called and still runs: its result follows. Do not call it again for this."


def warning(warning_ms: float) -> str:
    return WARNING.format(seconds=round(warning_ms / 1000))
