"""Answering machine detection: what Twilio's verdict does, judged by what the call has shown.

Twilio guesses who answered from the first seconds of sound, and reports its guess when a greeting
seems to be over: late, twice or after another report of the same call. So evidence of a person or
of a phone menu outranks the verdict. `EFFECTS` holds the whole rule, one row for each verdict. The
table in docs/outbound.md is generated from it.
"""

from collections.abc import Mapping
from enum import StrEnum, unique


@unique
class Verdict(StrEnum):
    """Twilio's `AnsweredBy`. (Twilio: answering machine detection)"""

    HUMAN = "human"
    #: Twilio timed out before it could tell.
    UNKNOWN = "unknown"
    #: A machine began its greeting. Twilio sends it for MachineDetection=Enable alone.
    MACHINE_START = "machine_start"
    #: A greeting ended with a beep.
    MACHINE_END_BEEP = "machine_end_beep"
    #: A greeting ended with silence. So does a person who says much and then listens.
    MACHINE_END_SILENCE = "machine_end_silence"
    #: A greeting ended, and Twilio does not know how. A phone menu looks like this too.
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"


@unique
class Shown(StrEnum):
    """What the call has shown by the time of the verdict. The first that is true counts."""

    #: The hang-up is ordered.
    ENDING = "hang-up ordered"
    #: The agent leaves its message, because of an earlier verdict.
    MESSAGE = "message begun"
    #: The callee pressed a key.
    KEY = "key pressed"
    #: The agent pressed keys: it is in a phone menu.
    DIGITS = "digits sent"
    #: The callee and the agent answered each other, see `CalleeEvidence`.
    TURN = "answered turn"
    #: None of these.
    NOTHING = "no evidence"


@unique
class Effect(StrEnum):
    """What a verdict does."""

    #: It comes too late to matter.
    NONE = "nothing"
    GO_ON = "go on"
    #: Interrupt the agent, leave its message, and hang up; hang up at once if it has none.
    LEAVE_MESSAGE = "leave message"
    HANG_UP = "hang up"


#: The evidence of a person or a menu, and the words for it in the record.
EVIDENCE: Mapping[Shown, str] = {
    Shown.KEY: "the callee pressed a key",
    Shown.DIGITS: "the agent pressed keys in a phone menu",
    Shown.TURN: "the callee and the agent answered each other",
}


def _row(without_evidence: Effect) -> Mapping[Shown, Effect]:
    return {
        Shown.ENDING: Effect.NONE,
        Shown.MESSAGE: Effect.NONE,
        Shown.KEY: Effect.GO_ON,
        Shown.DIGITS: Effect.GO_ON,
        Shown.TURN: Effect.GO_ON,
        Shown.NOTHING: without_evidence,
    }


#: By verdict, then by what the call has shown.
EFFECTS: Mapping[Verdict, Mapping[Shown, Effect]] = {
    Verdict.HUMAN: _row(Effect.GO_ON),
    Verdict.UNKNOWN: _row(Effect.GO_ON),
    Verdict.MACHINE_START: _row(Effect.LEAVE_MESSAGE),
    Verdict.MACHINE_END_BEEP: _row(Effect.LEAVE_MESSAGE),
    Verdict.MACHINE_END_SILENCE: _row(Effect.LEAVE_MESSAGE),
    Verdict.MACHINE_END_OTHER: _row(Effect.LEAVE_MESSAGE),
    Verdict.FAX: _row(Effect.HANG_UP),
}


def verdict_of(answered_by: str) -> Verdict:
    """The verdict for Twilio's word. A word that Twilio adds counts as the vaguest of its kind."""
    try:
        return Verdict(answered_by)
    except ValueError:
        if answered_by.startswith("machine"):
            return Verdict.MACHINE_END_OTHER
        return Verdict.UNKNOWN


def is_machine(verdict: Verdict) -> bool:
    """Whether this verdict ends the conversation, unless evidence outranks it."""
    return EFFECTS[verdict][Shown.NOTHING] is not Effect.GO_ON
