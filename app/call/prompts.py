"""Every text that a call sends to the model, but for the agent's own instructions.

Directions of responses that no turn of the caller's asks for (`CreateResponse.direction`), system
messages about the session, and the answers to the built-in tools. And the goodbye that Twilio says.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from app.call.agent import Agent
from app.call.heard.conversation import Turn


def greeting(agent: Agent) -> str:
    return (
        "The caller has just been connected and hears you now for the first time. Say exactly "
        f"this, and nothing else: {agent.greeting}"
    )


def say(text: str) -> str:
    return f"Say exactly this, and nothing else: {text}"


def voicemail(message: str) -> str:
    return (
        "You have reached an answering machine, and it records from now on. Nobody will answer. "
        f"Say exactly this, and nothing else: {message}"
    )


_GOODBYES = {
    "ca": "Adéu.", "da": "Farvel.", "de": "Auf Wiederhören.", "en": "Goodbye.", "es": "Adiós.",
    "fi": "Näkemiin.", "fr": "Au revoir.", "it": "Arrivederci.", "ja": "失礼いたします。",
    "ko": "안녕히 계세요.", "nb": "Ha det bra.", "nl": "Tot ziens.", "pl": "Do widzenia.",
    "pt": "Até logo.", "ru": "До свидания.", "sv": "Hej då.", "zh": "再见。",
}  # fmt: skip


def goodbye_in(language: str) -> str:
    """The goodbye that Twilio says when the model does not. `language`: ISO 639-1; English where
    unknown."""
    return _GOODBYES.get(language, _GOODBYES["en"])


NUDGE = (
    "The caller has said nothing for a while. Ask in one short sentence whether they are still "
    "there. Do not repeat what you said before."
)
HOLD = (
    "You are still waiting for the result of what you are doing. Tell the caller in a few words "
    "that you are still on it. Do not guess the result."
)
GO_ON = (
    "A noise on the line interrupted you; it was not the caller. They heard all that you have said "
    "so far. Go on exactly where you stopped, and do not repeat it or mention the interruption."
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

# Directions of the first response of a leg that resumes a call, see `built_in_tools.resumed`.
RESUMED = (
    "The telephone connection was lost for a moment and is back. Say so in a few words, and go on "
    "where the conversation stopped."
)
NOT_REACHED = (
    "The caller was to be handed to a human, heard ringing or music meanwhile, and is back with "
    "you. The result of transfer_to_human says what happened. Tell the caller so in one short "
    "sentence, without technical words, and offer what else you can do."
)
KEYS_PRESSED = "The keys were pressed, and you are connected again. Go on."
SESSION_RENEWED = (
    "The connection was interrupted for a moment and this conversation was restored from its "
    "transcript. The caller may have said something that is missing here. Go on where it stopped, "
    "and do not greet the caller again."
)
SESSION_RESUMED = (
    "This is the conversation so far, restored from its transcript. It goes on now; do not greet "
    "the caller again."
)

HISTORY_LOST = (
    "What was said on this call so far is not known: it was before your time, and its transcript "
    "cannot be read."
)

# Answers to the built-in tools.
END_UNSPOKEN = "The call ends after your goodbye. Say it now."
END_DONE = "The goodbye was heard. The call ends."
END_FORCED = "The call ends. The goodbye was not heard to its end."
END_ALREADY = "The call is ending already."
TRANSFER_ALREADY = "The caller is being transferred already."
TRANSFER_UNREADABLE = (
    "Not transferred: the arguments are not a JSON object. Correct them and call it again."
)
DIGITS_SENT = "The keys were pressed."
DIGITS_CUT = "The keys were not all pressed: an answering machine began to record."
DIGITS_UNREADABLE = (
    "Nothing was sent: digits is text of 1 to 200 characters of 0-9 A-D * # w W. Correct it and "
    "call it again."
)
DIGITS_BUSY = "Nothing was sent: other keys are still being pressed."


class TakenBack(StrEnum):
    """Why a goodbye is taken back, or a transfer is suspended."""

    CALLER_SPOKE = "the caller spoke"
    KEY_PRESSED = "the caller pressed a key"
    #: A lone 0 requests a transfer.
    LONE_ZERO = "the caller pressed 0 to reach a human"
    OPERATOR = "an operator requested a transfer to a human"
    VOICEMAIL = "an answering machine began to record"


def end_taken_back(why: TakenBack = TakenBack.CALLER_SPOKE) -> str:
    return (
        f"The call was not ended: {why} before the goodbye was over. Listen and go on; call "
        "end_call again when the conversation is over."
    )


def transfer_suspended(
    why: TakenBack = TakenBack.CALLER_SPOKE, *, by_operator: bool = False
) -> str:
    """`by_operator`: an operator ordered the transfer; the caller may not have asked for it."""
    then = "If they still want a human, call transfer_to_human again."
    if by_operator:
        then = (
            "An operator ordered the transfer: call transfer_to_human again, unless the caller "
            "does not want it."
        )
    if why is TakenBack.CALLER_SPOKE:
        then = f"Listen to what they said and answer it. {then}"
    elif why is TakenBack.VOICEMAIL:
        then = "Leave your message; the call ends after it."
    return f"Not transferred: {why} before the announcement was over. {then}"


def announcement(name: str) -> str:
    return (
        f"You are about to hand the caller to a human: {name}. Tell the caller in one short "
        "sentence that you are connecting them."
    )


def no_destination(names: Iterable[str]) -> str:
    known = ", ".join(names)
    if not known:
        return "Not transferred: there is nobody whom callers can be handed to. Say so."
    return f"Not transferred: there is no such destination. Choose one of: {known}."


def closed(name: str, opens: datetime, others: Sequence[str]) -> str:
    there = f" There now: {', '.join(others)}." if others else ""
    return (
        f"Not transferred: {name} is closed until {opens:%A, %H:%M}.{there} Tell the caller, and "
        "offer what else you can do."
    )


def transfer_failed(name: str, why: str) -> str:
    return (
        f"Not transferred: the call could not be put through to {name} ({why}). The caller is "
        "still with you. Tell them, and offer what else you can do."
    )


def digits_failed(why: str) -> str:
    return f"The keys could not be pressed ({why}). You are still connected."


def keys_pressed(digits: str) -> str:
    return f"(The caller pressed on the telephone's keypad: {digits})"


def replaces_keys(digits: str) -> str:
    return f"(This replaces the keys {digits}, which were the beginning of it.)"


def closed_for_zero(opens: datetime) -> str:
    return (
        "(The caller pressed 0 on the telephone's keypad to reach a human, but nobody is there "
        f"before {opens:%A, %H:%M})"
    )


def tool_overdue(name: str, limit_ms: float) -> str:
    return (
        f"{name} gave no answer within {limit_ms / 1000:g} seconds. Tell the caller that it did "
        "not work and offer what else you can do."
    )


def too_many_calls(name: str, most: int) -> str:
    return (
        f"{name} was not run: one answer may call {most} tools at most. Call it again in your next "
        "answer if you still need it."
    )


def too_many_rounds(name: str, rounds: int) -> str:
    return (
        f"{name} was not run: you have called tools {rounds} times in a row while the caller said "
        "nothing. Tell the caller what you know, and ask how to go on."
    )


def tools_paused(rounds: int) -> str:
    return (
        f"You have called tools {rounds} times in a row while the caller said nothing. Call none "
        "now. Tell the caller in one or two short sentences what you know so far, and ask how to "
        "go on."
    )


def tool_result(name: str, output: str) -> str:
    return f"Result of {name}: {output}"


def as_messages(turns: Iterable[Turn]) -> Iterator[tuple[str, str]]:
    """Turns, as heard, as messages for a new session: (role, text)."""
    for turn in turns:
        if turn.role == "tool":
            yield "system", tool_result(turn.detail["name"], turn.text)
        elif turn.heard_text and "interruption" not in turn.detail:
            yield turn.role, turn.heard_text


def tool_running(name: str) -> str:
    return f"{name} was called and still runs: its result follows. Do not call it again for this."


def warning(warning_ms: float) -> str:
    return WARNING.format(seconds=round(warning_ms / 1000))
