"""The exits of a call as tables: in which state which trigger leads where, and what is done then.

Three regions run side by side, each with a table of its own:

    EXIT      how the call leaves the agent: a goodbye and the hang-up, or a transfer
    REDIRECT  the live call gets other TwiML over REST: the stream ends, the call does not
    KEYS      what send_digits presses: tones on the stream, or a redirect to `<Play digits>`

Rule 1: a state changes by its table, and by nothing else. Rule 2: a trigger that the table does not
list for the present state is illegal: it changes nothing, and `Exits.illegal` counts it. Rule 3: a
deadline belongs to a state (`DEADLINES`), and counts from the moment at which the state is entered.
The deadlines of the states in which the agent still speaks are in `last_words`.

`Exits` feeds the triggers and performs the actions. The picture of these tables in
docs/how-it-works.md is generated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Generic, TypeVar

#: Deadline for the stream to end after a hang-up, REST retries included.
HANG_UP_MS = 12_000.0
#: Deadline for the stream to end after its socket was closed.
CLOSE_MS = 5000.0
#: Deadline for Twilio's answer to a redirect, retries included.
ORDER_MS = 45_000.0
#: Deadline for the stream to end once Twilio accepted a redirect.
STOP_MS = 700.0
#: Why a redirect failed whose deadline passed.
UNANSWERED = "Twilio did not answer"


@unique
class ExitState(StrEnum):
    """How the call leaves the agent."""

    #: The caller talks with the agent; no exit is under way.
    WITH_AGENT = "with the agent"
    #: The agent says goodbye. A barge-in takes the goodbye back.
    GOODBYE = "goodbye"
    #: The agent says goodbye or leaves a message, and nothing takes that back.
    FINAL_GOODBYE = "final goodbye"
    #: The agent announces a transfer. A barge-in suspends the transfer.
    ANNOUNCING = "announcing a transfer"
    #: The redirect to a human is ordered.
    TRANSFERRING = "transferring"
    #: The hang-up is ordered over REST.
    HANGING_UP = "hanging up"
    #: The media socket is closed: Twilio requests the `<Connect>` action URL.
    CLOSING = "closing"


@unique
class RedirectState(StrEnum):
    """The redirect of the live call to other TwiML. One at a time."""

    #: No redirect is ordered, or the last one failed.
    NONE = "no redirect"
    #: Twilio has not answered yet. A stream that ends now ends for the redirect.
    ORDERED = "ordered"
    #: Twilio accepted it: the stream ends within `STOP_MS`.
    ACCEPTED = "accepted"
    #: Twilio did not answer in time. It may still accept.
    EXPIRED = "expired"


@unique
class KeysState(StrEnum):
    """The keys of one send_digits. No barge-in stops them: the menu at the other end talks."""

    #: No keys are being pressed.
    NONE = "no keys"
    #: A voice still synthesizes what comes before the keys, or the agent is paused.
    WAITING = "waiting"
    #: The tones are playing.
    SOUNDING = "sounding"
    #: Twilio presses the keys, in a redirect to `<Play digits>`.
    BY_TWILIO = "pressed by Twilio"


@unique
class Trigger(StrEnum):
    """What may move a state."""

    # The model's tools. "Cut": a barge-in interrupted the response that calls the tool.
    END_CALL = "end_call"
    END_CALL_CUT = "end_call, cut"
    TRANSFER = "transfer_to_human"
    TRANSFER_CUT = "transfer_to_human, cut"
    #: Its arguments name no destination that is open.
    TRANSFER_REFUSED = "transfer_to_human, refused"
    SEND_DIGITS = "send_digits"
    #: Its arguments contain no keys.
    SEND_DIGITS_REFUSED = "send_digits, refused"
    # The caller and the operator.
    BARGE_IN = "barge-in"
    #: An operator, or a lone 0 of the caller's.
    TRANSFER_REQUESTED = "transfer requested"
    #: The same while send_digits is at work.
    TRANSFER_REQUESTED_AMID_KEYS = "transfer requested amid keys"
    #: An operator, a shutdown, or an answering machine that gets no message.
    HANG_UP = "hang-up requested"
    #: An answering machine records from now on.
    VOICEMAIL = "answering machine"
    #: The caller answered no idle prompt.
    IDLE = "caller idle"
    #: The call reached its longest duration.
    LIMIT = "longest call"
    # The model, and the words that it says last.
    #: The response that should have contained the words ended without a sound.
    UNSPOKEN = "words unspoken"
    WORDS_HEARD = "words heard"
    WORDS_MISSING = "words missing"
    MODEL_GONE = "model gone"
    # Twilio's REST API.
    HANG_UP_FAILED = "hang-up failed"
    HANG_UP_EXPIRED = "hang-up without effect"
    CLOSE_EXPIRED = "stream not closed"
    REDIRECT_ORDERED = "redirect ordered"
    REDIRECT_ACCEPTED = "redirect accepted"
    REDIRECT_FAILED = "redirect failed"
    REDIRECT_EXPIRED = "redirect expired"
    STOP_EXPIRED = "stream not stopped"
    #: The redirect failed or expired: for the region that ordered it.
    NOT_REDIRECTED = "not redirected"
    # The keys.
    #: What comes before the keys is synthesized, and they are few.
    TONES_DUE = "tones due"
    #: The same, and the keys are many.
    REDIRECT_DUE = "redirect due"
    #: The same, and another redirect is ordered.
    REDIRECT_BUSY = "another redirect"
    TONES_HEARD = "tones heard"


@unique
class Action(StrEnum):
    """What a transition does. `Exits` performs the actions of a transition in their order."""

    # The call ends.
    #: Decide why the call ends, and request the goodbye if the model does not say it already.
    DECIDE_TO_END = "decide to end the call"
    REQUEST_GOODBYE = "request a goodbye"
    #: Answer end_call: the call goes on.
    TAKE_BACK = "take the goodbye back"
    ORDER_HANG_UP = "hang up"
    CLOSE_STREAM = "close the stream"
    #: Close the stream, and have TwiML say the goodbye.
    LEAVE_TO_TWIML = "let TwiML say goodbye"
    REPORT_NO_EFFECT = "report it"
    END_LEG = "end the leg"
    # The transfer.
    BEGIN_TRANSFER = "begin the transfer"
    REQUEST_ANNOUNCEMENT = "request an announcement"
    #: Answer transfer_to_human: the caller is not transferred, and the model decides anew.
    SUSPEND_TRANSFER = "suspend the transfer"
    #: Answer transfer_to_human: the call ends instead.
    DROP_TRANSFER = "drop the transfer"
    ORDER_TRANSFER = "order the redirect"
    #: Answer transfer_to_human: the redirect failed.
    FAIL_TRANSFER = "answer: redirect failed"
    # The redirect.
    FAIL_ORDER = "tell who ordered it"
    # The keys.
    #: Hand the keys over to `KEYS`.
    PRESS_KEYS = "press the keys"
    BEGIN_KEYS = "keep the keys"
    PLAY_TONES = "play the tones"
    ORDER_KEYS = "order the redirect for keys"
    ANSWER_KEYS_SENT = "answer: sent"
    ANSWER_KEYS_BUSY = "answer: busy"
    ANSWER_KEYS_CUT = "answer: cut off"
    ANSWER_KEYS_FAILED = "answer: failed"
    # Answers to tools that come at the wrong moment.
    ANSWER_ENDING = "answer: ending already"
    ANSWER_TRANSFERRING = "answer: transferring already"
    ANSWER_TAKEN_BACK = "answer: not ended"
    ANSWER_SUSPENDED = "answer: not transferred"
    ANSWER_REFUSED = "answer: refused"


S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Transition(Generic[S]):
    """One row of a table."""

    next: S
    #: Performed in this order, when the next state is entered already.
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long a state may last."""

    #: From the moment at which the state is entered.
    after_ms: float
    #: Fed when the deadline has passed.
    trigger: Trigger
    #: For the model and the record.
    reason: str = ""


Table = Mapping[S, Mapping[Trigger, Transition[S]]]


def _to(state: S, *actions: Action) -> Transition[S]:
    return Transition(state, actions)


#: The triggers of the model's tools. Each call gets one answer, whatever the state is.
TOOLS = (
    Trigger.END_CALL,
    Trigger.END_CALL_CUT,
    Trigger.TRANSFER,
    Trigger.TRANSFER_CUT,
    Trigger.TRANSFER_REFUSED,
    Trigger.SEND_DIGITS,
    Trigger.SEND_DIGITS_REFUSED,
)
_REQUESTS = (Trigger.TRANSFER_REQUESTED, Trigger.TRANSFER_REQUESTED_AMID_KEYS)


def _ignored(state: ExitState, *triggers: Trigger) -> dict[Trigger, Transition[ExitState]]:
    """These triggers are legal in this state, and change nothing."""
    return dict.fromkeys(triggers, _to(state))


def _answered(state: ExitState, answer: Action) -> dict[Trigger, Transition[ExitState]]:
    """Every tool gets this answer in this state."""
    return dict.fromkeys(TOOLS, _to(state, answer))


EXIT: Table[ExitState] = {
    ExitState.WITH_AGENT: {
        Trigger.END_CALL: _to(ExitState.GOODBYE, Action.DECIDE_TO_END),
        Trigger.END_CALL_CUT: _to(ExitState.WITH_AGENT, Action.ANSWER_TAKEN_BACK),
        Trigger.TRANSFER: _to(ExitState.ANNOUNCING, Action.BEGIN_TRANSFER),
        Trigger.TRANSFER_CUT: _to(ExitState.WITH_AGENT, Action.ANSWER_SUSPENDED),
        Trigger.TRANSFER_REFUSED: _to(ExitState.WITH_AGENT, Action.ANSWER_REFUSED),
        Trigger.SEND_DIGITS: _to(ExitState.WITH_AGENT, Action.PRESS_KEYS),
        Trigger.SEND_DIGITS_REFUSED: _to(ExitState.WITH_AGENT, Action.ANSWER_REFUSED),
        Trigger.TRANSFER_REQUESTED: _to(ExitState.ANNOUNCING, Action.BEGIN_TRANSFER),
        Trigger.IDLE: _to(ExitState.GOODBYE, Action.DECIDE_TO_END),
        Trigger.LIMIT: _to(ExitState.FINAL_GOODBYE, Action.DECIDE_TO_END),
        Trigger.VOICEMAIL: _to(ExitState.FINAL_GOODBYE, Action.DECIDE_TO_END),
        Trigger.HANG_UP: _to(ExitState.HANGING_UP, Action.DECIDE_TO_END, Action.ORDER_HANG_UP),
        Trigger.MODEL_GONE: _to(ExitState.CLOSING, Action.DECIDE_TO_END, Action.CLOSE_STREAM),
        **_ignored(ExitState.WITH_AGENT, Trigger.BARGE_IN, Trigger.TRANSFER_REQUESTED_AMID_KEYS),
    },
    ExitState.GOODBYE: {
        **_answered(ExitState.GOODBYE, Action.ANSWER_ENDING),
        Trigger.BARGE_IN: _to(ExitState.WITH_AGENT, Action.TAKE_BACK),
        Trigger.TRANSFER_REQUESTED: _to(
            ExitState.ANNOUNCING, Action.TAKE_BACK, Action.BEGIN_TRANSFER
        ),
        Trigger.TRANSFER_REQUESTED_AMID_KEYS: _to(ExitState.WITH_AGENT, Action.TAKE_BACK),
        Trigger.LIMIT: _to(ExitState.FINAL_GOODBYE),
        Trigger.VOICEMAIL: _to(ExitState.FINAL_GOODBYE, Action.DECIDE_TO_END),
        Trigger.HANG_UP: _to(ExitState.HANGING_UP, Action.DECIDE_TO_END, Action.ORDER_HANG_UP),
        Trigger.UNSPOKEN: _to(ExitState.GOODBYE, Action.REQUEST_GOODBYE),
        Trigger.WORDS_HEARD: _to(ExitState.HANGING_UP, Action.ORDER_HANG_UP),
        Trigger.WORDS_MISSING: _to(ExitState.CLOSING, Action.LEAVE_TO_TWIML),
        Trigger.MODEL_GONE: _to(ExitState.CLOSING, Action.LEAVE_TO_TWIML),
    },
    ExitState.FINAL_GOODBYE: {
        **_answered(ExitState.FINAL_GOODBYE, Action.ANSWER_ENDING),
        **_ignored(ExitState.FINAL_GOODBYE, Trigger.BARGE_IN, *_REQUESTS, Trigger.LIMIT),
        Trigger.VOICEMAIL: _to(ExitState.FINAL_GOODBYE, Action.DECIDE_TO_END),
        Trigger.HANG_UP: _to(ExitState.HANGING_UP, Action.DECIDE_TO_END, Action.ORDER_HANG_UP),
        Trigger.UNSPOKEN: _to(ExitState.FINAL_GOODBYE, Action.REQUEST_GOODBYE),
        Trigger.WORDS_HEARD: _to(ExitState.HANGING_UP, Action.ORDER_HANG_UP),
        Trigger.WORDS_MISSING: _to(ExitState.CLOSING, Action.LEAVE_TO_TWIML),
        Trigger.MODEL_GONE: _to(ExitState.CLOSING, Action.LEAVE_TO_TWIML),
        # An answering machine answered while the redirect to a human was ordered.
        Trigger.NOT_REDIRECTED: _to(ExitState.FINAL_GOODBYE, Action.FAIL_TRANSFER),
    },
    ExitState.ANNOUNCING: {
        **_answered(ExitState.ANNOUNCING, Action.ANSWER_TRANSFERRING),
        **_ignored(ExitState.ANNOUNCING, *_REQUESTS),
        Trigger.BARGE_IN: _to(ExitState.WITH_AGENT, Action.SUSPEND_TRANSFER),
        Trigger.VOICEMAIL: _to(
            ExitState.FINAL_GOODBYE, Action.SUSPEND_TRANSFER, Action.DECIDE_TO_END
        ),
        Trigger.HANG_UP: _to(
            ExitState.HANGING_UP, Action.DROP_TRANSFER, Action.DECIDE_TO_END, Action.ORDER_HANG_UP
        ),
        Trigger.UNSPOKEN: _to(ExitState.ANNOUNCING, Action.REQUEST_ANNOUNCEMENT),
        Trigger.WORDS_HEARD: _to(ExitState.TRANSFERRING, Action.ORDER_TRANSFER),
        # A caller who wants a human gets one, announced or not.
        Trigger.WORDS_MISSING: _to(ExitState.TRANSFERRING, Action.ORDER_TRANSFER),
    },
    ExitState.TRANSFERRING: {
        **_answered(ExitState.TRANSFERRING, Action.ANSWER_TRANSFERRING),
        **_ignored(ExitState.TRANSFERRING, *_REQUESTS),
        # The response that called the tool went on for longer than the announcement may take.
        Trigger.UNSPOKEN: _to(ExitState.TRANSFERRING, Action.REQUEST_ANNOUNCEMENT),
        Trigger.VOICEMAIL: _to(ExitState.FINAL_GOODBYE, Action.DECIDE_TO_END),
        Trigger.HANG_UP: _to(ExitState.HANGING_UP, Action.DECIDE_TO_END, Action.ORDER_HANG_UP),
        Trigger.NOT_REDIRECTED: _to(ExitState.WITH_AGENT, Action.FAIL_TRANSFER),
    },
    ExitState.HANGING_UP: {
        **_answered(ExitState.HANGING_UP, Action.ANSWER_ENDING),
        **_ignored(ExitState.HANGING_UP, *_REQUESTS, Trigger.HANG_UP),
        Trigger.HANG_UP_FAILED: _to(ExitState.CLOSING, Action.CLOSE_STREAM),
        Trigger.HANG_UP_EXPIRED: _to(
            ExitState.CLOSING, Action.REPORT_NO_EFFECT, Action.CLOSE_STREAM
        ),
        # The hang-up came while the redirect to a human was ordered.
        Trigger.NOT_REDIRECTED: _to(ExitState.HANGING_UP, Action.FAIL_TRANSFER),
    },
    ExitState.CLOSING: {
        **_answered(ExitState.CLOSING, Action.ANSWER_ENDING),
        **_ignored(ExitState.CLOSING, *_REQUESTS, Trigger.HANG_UP, Trigger.HANG_UP_FAILED),
        Trigger.CLOSE_EXPIRED: _to(ExitState.CLOSING, Action.END_LEG),
        Trigger.NOT_REDIRECTED: _to(ExitState.CLOSING, Action.FAIL_TRANSFER),
    },
}

REDIRECT: Table[RedirectState] = {
    RedirectState.NONE: {
        Trigger.REDIRECT_ORDERED: _to(RedirectState.ORDERED),
    },
    RedirectState.ORDERED: {
        Trigger.REDIRECT_ACCEPTED: _to(RedirectState.ACCEPTED),
        Trigger.REDIRECT_FAILED: _to(RedirectState.NONE, Action.FAIL_ORDER),
        Trigger.REDIRECT_EXPIRED: _to(RedirectState.EXPIRED, Action.FAIL_ORDER),
    },
    RedirectState.ACCEPTED: {
        # A second outcome comes too late.
        Trigger.REDIRECT_ACCEPTED: _to(RedirectState.ACCEPTED),
        Trigger.REDIRECT_FAILED: _to(RedirectState.ACCEPTED),
        Trigger.STOP_EXPIRED: _to(RedirectState.ACCEPTED, Action.END_LEG),
    },
    RedirectState.EXPIRED: {
        Trigger.REDIRECT_ORDERED: _to(RedirectState.ORDERED),
        Trigger.REDIRECT_ACCEPTED: _to(RedirectState.ACCEPTED),
        Trigger.REDIRECT_FAILED: _to(RedirectState.NONE),
    },
}

KEYS: Table[KeysState] = {
    KeysState.NONE: {
        Trigger.SEND_DIGITS: _to(KeysState.WAITING, Action.BEGIN_KEYS),
        Trigger.VOICEMAIL: _to(KeysState.NONE),
    },
    KeysState.WAITING: {
        Trigger.SEND_DIGITS: _to(KeysState.WAITING, Action.ANSWER_KEYS_BUSY),
        Trigger.TONES_DUE: _to(KeysState.SOUNDING, Action.PLAY_TONES),
        Trigger.REDIRECT_DUE: _to(KeysState.BY_TWILIO, Action.ORDER_KEYS),
        Trigger.REDIRECT_BUSY: _to(KeysState.NONE, Action.ANSWER_KEYS_BUSY),
        Trigger.VOICEMAIL: _to(KeysState.NONE, Action.ANSWER_KEYS_CUT),
    },
    KeysState.SOUNDING: {
        Trigger.SEND_DIGITS: _to(KeysState.SOUNDING, Action.ANSWER_KEYS_BUSY),
        Trigger.TONES_HEARD: _to(KeysState.NONE, Action.ANSWER_KEYS_SENT),
        # The tones were cleared.
        Trigger.VOICEMAIL: _to(KeysState.NONE, Action.ANSWER_KEYS_CUT),
    },
    KeysState.BY_TWILIO: {
        Trigger.SEND_DIGITS: _to(KeysState.BY_TWILIO, Action.ANSWER_KEYS_BUSY),
        Trigger.NOT_REDIRECTED: _to(KeysState.NONE, Action.ANSWER_KEYS_FAILED),
        # The redirect is ordered already.
        Trigger.VOICEMAIL: _to(KeysState.BY_TWILIO),
    },
}

#: The states that may not last.
DEADLINES: Mapping[StrEnum, Deadline] = {
    ExitState.HANGING_UP: Deadline(HANG_UP_MS, Trigger.HANG_UP_EXPIRED, "hang-up without effect"),
    ExitState.CLOSING: Deadline(CLOSE_MS, Trigger.CLOSE_EXPIRED),
    RedirectState.ORDERED: Deadline(ORDER_MS, Trigger.REDIRECT_EXPIRED, UNANSWERED),
    RedirectState.ACCEPTED: Deadline(STOP_MS, Trigger.STOP_EXPIRED),
}
