"""The exits of a call: a goodbye, a transfer to a human, or a redirect for Twilio to press keys.

The built-in tools lead here, and so do the orders of an operator, the limits of a call, and a
barge-in, which takes an exit back. What each of these does in which state is in `transitions`.
"""

from collections import Counter
from typing import Any

from app.call import prompts
from app.call.agent import Agent
from app.call.commands import CloseStream, HangUp, PlayDigits, ReportDecision, TransferCall
from app.call.deadlines import NEVER, next_after
from app.call.events import OutputItemDone
from app.call.exits.allowed import allowed
from app.call.exits.built_in_tools import BUILT_IN, ToolCall
from app.call.exits.farewell import Farewell, Goodbye
from app.call.exits.last_words import LastWords
from app.call.exits.region import Illegal, Region
from app.call.exits.tones import SEND_DIGITS, Tones
from app.call.exits.transfer import PendingTransfer, Transfer, TransferRequest
from app.call.exits.transitions import (
    EXIT,
    KEYS,
    REDIRECT,
    Action,
    ExitState,
    KeysState,
    RedirectState,
    Trigger,
)
from app.call.exits.triggers import CUT, NOTHING, Occasion
from app.call.heard.agent_audio import AgentAudio
from app.call.model.model import Model
from app.call.model.responses import Wanted, Wish
from app.call.outbox import Outbox
from app.call.prompts import TakenBack

_SAYING_GOODBYE = (ExitState.GOODBYE, ExitState.FINAL_GOODBYE)
_HANGING_UP = (ExitState.HANGING_UP, ExitState.CLOSING)
_TRANSFERRING = (ExitState.ANNOUNCING, ExitState.TRANSFERRING)
_AT_REST = (ExitState.WITH_AGENT, RedirectState.NONE, KeysState.NONE)

#: What the exits of a call may command.
ExitCommand = HangUp | CloseStream | TransferCall | PlayDigits | ReportDecision


class Exits:
    """Feeds the regions of `transitions` with triggers, and performs what they return."""

    def __init__(
        self,
        outbox: Outbox[ExitCommand],
        agent: Agent,
        audio: AgentAudio,
        model: Model,
    ) -> None:
        #: The triggers that were illegal in their state, and how often: nothing was done.
        self.illegal: Illegal = Counter()
        #: No exit, redirect or keys are under way: `expire` and `settle` have nothing to do.
        self.at_rest = True
        self._outbox = outbox
        self._agent = agent
        self._audio = audio
        self._responses = model.responses
        self._answers = model.answers
        self._farewell = Farewell(outbox, agent.language, audio, model)
        self._transfer = Transfer(outbox, audio, model)
        self._tones = Tones(audio, model)
        self._exit = Region(EXIT, ExitState.WITH_AGENT, self.illegal)
        self._redirect = Region(REDIRECT, RedirectState.NONE, self.illegal)
        self._keys = Region(KEYS, KeysState.NONE, self.illegal)
        self._redirect_reason = ""  # "transfer" or send_digits, of the last redirect
        self._interrupted_by = TakenBack.CALLER_SPOKE  # the last barge-in
        self._responses.allow(allowed(self._exit.state))

    # --- what is under way ----------------------------------------------------------------------

    @property
    def states(self) -> tuple[ExitState, RedirectState, KeysState]:
        """The state of each region."""
        return self._exit.state, self._redirect.state, self._keys.state

    @property
    def under_way(self) -> bool:
        """Whether a goodbye or a transfer is under way: nothing else may begin."""
        return self._exit.state is not ExitState.WITH_AGENT

    @property
    def transferring(self) -> bool:
        """Whether a transfer is announced or ordered."""
        return self._exit.state in _TRANSFERRING

    @property
    def hanging_up(self) -> bool:
        """Whether the hang-up or the close is ordered: nothing takes it back."""
        return self._exit.state in _HANGING_UP

    @property
    def redirect_ordered(self) -> bool:
        """Whether a redirect is ordered or accepted: the stream's end does not end the call."""
        return self._redirect.state in (RedirectState.ORDERED, RedirectState.ACCEPTED)

    @property
    def redirecting(self) -> bool:
        """Whether a redirect to other TwiML is ordered: the stream ends, the call does not."""
        return self.redirect_ordered and not self.hanging_up

    @property
    def ordered(self) -> bool:
        """Whether a hang-up or a redirect is ordered: no barge-in takes it back."""
        return not self.at_rest and (self.hanging_up or self.redirect_ordered)

    @property
    def tones_sounding(self) -> bool:
        """Whether the tones are playing, or Twilio presses the keys: no barge-in now."""
        return self._keys.state in (KeysState.SOUNDING, KeysState.BY_TWILIO)

    @property
    def pressing_keys(self) -> bool:
        """Whether a send_digits is at work: its keys wait, or are pressed."""
        return self._keys.state is not KeysState.NONE

    @property
    def caller_waits(self) -> bool:
        """Whether the caller waits for an exit or for tones."""
        return not self.at_rest and (self.under_way or self.tones_sounding)

    @property
    def reason(self) -> str:
        """Why the stream ends, if an exit ends it; empty: none does."""
        return self._redirect_reason if self.redirecting else self._farewell.reason

    @property
    def last_words(self) -> str:
        """The goodbye that TwiML has to say before it hangs up; empty: none."""
        return self._farewell.last_words

    # --- triggers -------------------------------------------------------------------------------

    def tool_called(self, event: OutputItemDone, now_ms: float, *, cut: bool, at_s: float) -> None:
        """The model calls a built-in tool.

        Args:
            cut: A barge-in interrupted the response that calls it.
            at_s: Unix time, in seconds.
        """
        call = ToolCall(event, self._agent.destinations, now_ms, at_s)
        trigger, occasion = BUILT_IN[event.name].read(call)
        if cut and trigger in CUT:
            trigger = CUT[trigger]
            occasion = Occasion(call_id=event.call_id, why=self._interrupted_by)
        self._fire(self._exit, trigger, now_ms, occasion)

    def request_transfer(
        self,
        call_id: str,
        request: TransferRequest,
        why: TakenBack,
        now_ms: float,
        *,
        announce: bool,
    ) -> bool:
        """Transfer the caller without a tool call of the model. Takes back a goodbye if it can.
        Returns False when a final goodbye, a transfer, a hang-up or keys are under way.

        Args:
            call_id: The id under which the model gets the outcome.
            why: LONE_ZERO or OPERATOR.
            announce: Have the model announce it.
        """
        trigger = Trigger.TRANSFER_REQUESTED
        if self.pressing_keys:
            trigger = Trigger.TRANSFER_REQUESTED_AMID_KEYS
        words = LastWords(Wish.ANNOUNCEMENT, now_ms, waived=not announce)
        transfer = PendingTransfer(call_id, request, words, why is TakenBack.OPERATOR)
        occasion = Occasion(why=why, begins=transfer)
        return Action.BEGIN_TRANSFER in self._fire(self._exit, trigger, now_ms, occasion)

    def barge_in(self, why: TakenBack, now_ms: float) -> None:
        """Barge-in: take back a goodbye, suspend a transfer. `why`: CALLER_SPOKE or KEY_PRESSED."""
        self._interrupted_by = why
        self._fire(self._exit, Trigger.BARGE_IN, now_ms, Occasion(why=why))

    def hang_up(self, reason: str, now_ms: float) -> None:
        """End the call now, without a goodbye."""
        self._end(Trigger.HANG_UP, reason, now_ms)

    def leave_message(self, message: str, now_ms: float) -> None:
        """Say this to an answering machine, then hang up. `message`: empty: hang up at once."""
        if message:
            direction = prompts.voicemail(message)
            self._end(Trigger.VOICEMAIL, "voicemail", now_ms, direction, message)
        else:
            self._end(Trigger.HANG_UP, "voicemail", now_ms)
        self._fire(self._keys, Trigger.VOICEMAIL, now_ms)

    def caller_idle(self, now_ms: float) -> None:
        """The caller answered no idle prompt: say goodbye."""
        self._end(Trigger.IDLE, "idle", now_ms, prompts.GOODBYE_IDLE)

    def limit_reached(self, now_ms: float) -> None:
        """The call reached its longest duration: say goodbye. No barge-in takes that back."""
        self._end(Trigger.LIMIT, "limit", now_ms, prompts.GOODBYE_LIMIT)

    def model_gone(self, now_ms: float) -> None:
        """The model is given up, and no exit is under way: the TwiML helps the caller."""
        self._end(Trigger.MODEL_GONE, "model", now_ms)

    def _end(
        self, trigger: Trigger, reason: str, now_ms: float, direction: str = "", in_text: str = ""
    ) -> None:
        """Feed a trigger that may end the call.

        Args:
            reason: Becomes `CallMachine.ended_by`.
            direction: Of the goodbye to request; empty: none.
            in_text: See `Goodbye.in_text`.
        """
        words = LastWords(Wish.GOODBYE, now_ms)
        goodbye = Goodbye(reason, words, direction=direction, in_text=in_text)
        # Of these triggers only an answering machine suspends a transfer.
        occasion = Occasion(reason=reason, why=TakenBack.VOICEMAIL, begins=goodbye)
        self._fire(self._exit, trigger, now_ms, occasion)

    def response_requested(self, wish: Wish) -> None:
        """A response was requested: it may be the goodbye or the announcement."""
        words = self._last_words()
        if words is not None and wish is words.wish:
            words.expected(self._audio)

    def response_ended(
        self, response_id: str, was: Wanted | None, now_ms: float, *, spoke: bool
    ) -> None:
        """A response ended: it may have been the goodbye or the announcement.

        Args:
            was: What it was requested for; None: turn detection requested it, or it was not said.
            spoke: Something of it was played, or will be.
        """
        words = self._last_words()
        if words is not None and words.response_ended(response_id, was, spoke=spoke):
            self._fire(self._exit, Trigger.UNSPOKEN, now_ms)

    def hang_up_failed(self, reason: str, now_ms: float) -> None:
        """The hang-up failed, and its retries are used up."""
        self._fire(self._exit, Trigger.HANG_UP_FAILED, now_ms, Occasion(reason=reason))

    def redirect_accepted(self, now_ms: float) -> None:
        """Twilio accepted the redirect. It ends the stream, even past the deadline of the order."""
        self._fire(self._redirect, Trigger.REDIRECT_ACCEPTED, now_ms)

    def redirect_failed(self, why: str, now_ms: float) -> None:
        """The redirect failed, and its retries are used up."""
        self._fire(self._redirect, Trigger.REDIRECT_FAILED, now_ms, Occasion(reason=why))

    # --- time -----------------------------------------------------------------------------------

    def expire(self, now_ms: float) -> bool:
        """Let the states expire whose deadline has passed. Returns True when the stream should have
        ended by now: end the leg."""
        return self._expire(self._exit, now_ms) or self._expire(self._redirect, now_ms)

    def settle(self, now_ms: float, *, model_ready: bool, model_gone: bool) -> None:
        """Do what is due. Call `expire` first. `model_ready`: a session is configured.
        `model_gone`: the model is given up for this call."""
        if self._exit.state in _SAYING_GOODBYE:
            self._settle_goodbye(now_ms, model_gone=model_gone)
        if self._exit.state is ExitState.ANNOUNCING and not self.redirect_ordered:
            if not model_ready or model_gone:
                self._transfer.waive_announcement()
            self._settle_words(self._transfer.words, now_ms)
        self._settle_keys(now_ms)

    def next_ms(self, now_ms: float) -> float:
        """When `expire` or `settle` may have something to do; changes with every event."""
        words = self._last_words()
        if words is None or (self.transferring and self.redirect_ordered):
            words_ms = NEVER
        else:
            words_ms = words.over_ms(self._audio, self._responses, now_ms)
        sounding = self._keys.state is KeysState.SOUNDING
        keys_ms = self._audio.heard_to_end_ms(now_ms) if sounding else NEVER
        return next_after(now_ms, self._exit.next_ms(), self._redirect.next_ms(), words_ms, keys_ms)

    def _last_words(self) -> LastWords | None:
        """What the caller has to hear before the call may leave the agent; None: nothing."""
        if self._exit.state in _SAYING_GOODBYE:
            return self._farewell.words
        return self._transfer.words if self.transferring else None

    def _expire(self, region: Region[Any], now_ms: float) -> bool:
        """Let the region's state expire, if it is due. Returns True when the leg ends by that."""
        deadline = region.expired(now_ms)
        if deadline is None:
            return False
        occasion = Occasion(reason=deadline.reason)
        return Action.END_LEG in self._fire(region, deadline.trigger, now_ms, occasion)

    def _settle_goodbye(self, now_ms: float, *, model_gone: bool) -> None:
        if model_gone and not (self._farewell.words.whole(self._audio) and self._responses.idle):
            occasion = Occasion(reason=self._responses.failure)
            self._fire(self._exit, Trigger.MODEL_GONE, now_ms, occasion)
        else:
            self._settle_words(self._farewell.words, now_ms)

    def _settle_words(self, words: LastWords, now_ms: float) -> None:
        if now_ms >= words.over_ms(self._audio, self._responses, now_ms):
            trigger = Trigger.WORDS_HEARD if words.said else Trigger.WORDS_MISSING
            occasion = Occasion(reason="the model did not say it in time")
            self._fire(self._exit, trigger, now_ms, occasion)

    def _settle_keys(self, now_ms: float) -> None:
        if self._keys.state is KeysState.WAITING:
            if self._audio.synthesizing or self._audio.paused:
                return
            if self.redirect_ordered:
                occasion = Occasion(call_id=self._tones.call_id)
                self._fire(self._keys, Trigger.REDIRECT_BUSY, now_ms, occasion)
            else:
                trigger = Trigger.REDIRECT_DUE if self._tones.need_twilio else Trigger.TONES_DUE
                self._fire(self._keys, trigger, now_ms)
        elif self._keys.state is KeysState.SOUNDING:
            if now_ms >= self._audio.heard_to_end_ms(now_ms):
                self._fire(self._keys, Trigger.TONES_HEARD, now_ms)

    # --- transitions ----------------------------------------------------------------------------

    def _fire(
        self, region: Region[Any], trigger: Trigger, now_ms: float, occasion: Occasion = NOTHING
    ) -> tuple[Action, ...]:
        """Feed a region with a trigger, and perform the actions of its transition. Returns them."""
        actions = region.take(trigger, now_ms)
        self.at_rest = self.states == _AT_REST
        self._responses.allow(allowed(self._exit.state))
        for action in actions:
            self._perform(action, occasion, now_ms)
        return actions

    def _perform(self, action: Action, occasion: Occasion, now_ms: float) -> None:
        match action, occasion.begins:
            case Action.DECIDE_TO_END, Goodbye() as goodbye:
                self._farewell.begin(goodbye, now_ms)
            case Action.REQUEST_GOODBYE, _:
                self._farewell.request(now_ms)
            case Action.TAKE_BACK, _:
                self._farewell.take_back(occasion.why, now_ms)
            case Action.ORDER_HANG_UP, _:
                self._farewell.hang_up(now_ms)
            case Action.LEAVE_TO_TWIML, _:
                self._farewell.leave_to_twiml(occasion.reason, now_ms)
            case Action.REPORT_NO_EFFECT, _:
                self._farewell.report_no_effect(occasion.reason)
            case Action.CLOSE_STREAM, _:
                self._farewell.close(occasion.reason)
            case Action.END_LEG, _:
                pass  # `expire` returns True
            case Action.BEGIN_TRANSFER, PendingTransfer() as transfer:
                self._transfer.begin(transfer)
            case Action.REQUEST_ANNOUNCEMENT, _:
                self._transfer.announce()
            case Action.SUSPEND_TRANSFER, _:
                self._transfer.suspend(occasion.why, now_ms)
            case Action.DROP_TRANSFER, _:
                self._transfer.drop(occasion.reason, now_ms)
            case Action.ORDER_TRANSFER, _:
                self._order(self._transfer.order(), "transfer", now_ms)
            case Action.FAIL_TRANSFER, _:
                self._transfer.fail(occasion.reason, now_ms)
            case Action.PRESS_KEYS, _:
                self._fire(self._keys, Trigger.SEND_DIGITS, now_ms, occasion)
                self._settle_keys(now_ms)
            case Action.BEGIN_KEYS, _:
                self._tones.begin(occasion.call_id, occasion.digits)
            case Action.PLAY_TONES, _:
                self._tones.play(now_ms)
            case Action.ORDER_KEYS, _:
                self._order(self._tones.order(), SEND_DIGITS, now_ms)
            case Action.FAIL_ORDER, _:
                self._fail_order(occasion, now_ms)
            case Action.ANSWER_KEYS_SENT, _:
                self._tones.sent(now_ms)
            case Action.ANSWER_KEYS_CUT, _:
                self._tones.cut(now_ms)
            case Action.ANSWER_KEYS_FAILED, _:
                self._tones.fail(occasion.reason, now_ms)
            case _:
                self._answers.answer(occasion.call_id, occasion.answer(action), now_ms)

    def _order(self, command: TransferCall | PlayDigits, reason: str, now_ms: float) -> None:
        """Order a redirect. `reason`: what the stream ends for."""
        self._redirect_reason = reason
        self._fire(self._redirect, Trigger.REDIRECT_ORDERED, now_ms)
        self._outbox.put(command)

    def _fail_order(self, occasion: Occasion, now_ms: float) -> None:
        """The redirect failed: the stream and the call go on as they are."""
        region = self._keys if self._redirect_reason == SEND_DIGITS else self._exit
        self._fire(region, Trigger.NOT_REDIRECTED, now_ms, occasion)
