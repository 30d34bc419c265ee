"""Handing the caller to a human: the announcement, heard to its last mark, then the order.

What follows the order, no machine lives to see: the leg ends with its stream, and if no human takes
the call, the next leg begins with what became of it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.call import prompts
from app.call.commands import TransferCall
from app.call.deadlines import NEVER
from app.call.destinations import Destination, route_to
from app.call.exits.last_words import LastWords
from app.call.exits.redirect import Redirect
from app.call.heard.agent_audio import AgentAudio
from app.call.model.responses import Responses, Wanted, Wish
from app.call.model.tool_answers import AnswerTool

TRANSFER = "transfer_to_human"


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What is asked of a transfer. `route`: names, tried in this order. `reason`, `summary`: as the
    model wrote them."""

    route: tuple[str, ...]
    reason: str = ""
    summary: str = ""


class TransferRefused(Exception):
    """There is nobody to hand the caller to. The message is for the model."""


def read_request(
    arguments: str, destinations: Sequence[Destination], at_s: float
) -> TransferRequest:
    """What the model asks for. `arguments`: JSON text as it wrote it; `at_s`: Unix time.

    Raises:
        TransferRefused: the destination is unknown (a telephone number, for example) or closed.
    """
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise TransferRefused(prompts.TRANSFER_UNREADABLE)
    reason, summary = (given.get(key) for key in ("reason", "summary"))
    route = find_route(given.get("destination"), destinations, at_s)
    # Half a surrogate pair is text that cannot be stored or sent.
    texts = [
        text.encode(errors="replace").decode() if isinstance(text, str) else ""
        for text in (reason, summary)
    ]
    return TransferRequest(route, *texts)


def find_route(name: object, destinations: Sequence[Destination], at_s: float) -> tuple[str, ...]:
    """Who is tried for this name, in order. The only destination needs no name.

    Raises:
        TransferRefused: there is no such destination, or it is closed.
    """
    by_name = {each.name: each for each in destinations}
    if not name and len(by_name) == 1:
        name = next(iter(by_name))
    if not isinstance(name, str) or name not in by_name:
        raise TransferRefused(prompts.no_destination(by_name))
    wanted = by_name[name]
    opens = wanted.hours.opens_next(at_s)
    if opens is not None:
        others = [each.name for each in destinations if each.hours.is_open(at_s)]
        raise TransferRefused(prompts.closed(name, opens, others))
    return route_to(name, destinations, at_s)


def open_destinations(destinations: Sequence[Destination], at_s: float) -> tuple[str, ...]:
    """Who is tried for nobody in particular: all who are there."""
    return tuple(each.name for each in destinations if each.hours.is_open(at_s))


@dataclass(slots=True)
class _Decided:
    call_id: str
    request: TransferRequest
    words: LastWords


class Transfer:
    """One at a time. Interrupted before it is ordered, it is forgotten: it never fires by itself
    later. `answer_tool(call_id, output, now_ms)` tells the model what became of it."""

    def __init__(
        self,
        audio: AgentAudio,
        responses: Responses,
        redirect: Redirect,
        answer_tool: AnswerTool,
    ) -> None:
        self._audio = audio
        self._responses = responses
        self._redirect = redirect
        self._answer_tool = answer_tool
        self._decided: _Decided | None = None

    @property
    def under_way(self) -> bool:
        return self._decided is not None

    def begin(
        self,
        call_id: str,
        request: TransferRequest,
        now_ms: float,
        *,
        response_id: str = "",
        announce: bool = False,
    ) -> None:
        """Decide to hand the caller over. The announcement is expected in the response
        `response_id`, and asked for if it is not in there; `announce` asks for it now; with neither
        there is none."""
        words = LastWords(Wish.ANNOUNCEMENT, now_ms, response_id)
        words.waived = not announce and not response_id
        self._decided = _Decided(call_id, request, words)
        self._responses.unwant(Wish.NUDGE, Wish.HOLD, Wish.WARNING, Wish.REPLY)
        if announce:
            self._announce(request)

    def _announce(self, request: TransferRequest) -> None:
        self._responses.want(Wish.ANNOUNCEMENT, prompts.announcement(request.route[0]))

    def response_ended(self, response_id: str, was: Wanted | None, *, spoke: bool) -> None:
        """A response ended, and `spoke` or not: was it the announcement?"""
        decided = self._decided
        if decided is not None and decided.words.response_ended(response_id, was, spoke=spoke):
            self._announce(decided.request)

    def caller_spoke(self, now_ms: float) -> None:
        """The caller spoke before the announcement was over: it is for the model to decide anew."""
        self._drop(prompts.TRANSFER_SUSPENDED, now_ms)

    def call_ends(self, now_ms: float) -> None:
        """The call is to end, which comes first."""
        self._drop(prompts.END_ALREADY, now_ms)

    def _drop(self, output: str, now_ms: float) -> None:
        decided = self._decided
        if decided is not None and not self._redirect.ordered:
            self._decided = None
            self._responses.unwant(Wish.ANNOUNCEMENT)
            self._answer_tool(decided.call_id, output, now_ms)

    def settle(self, now_ms: float, *, model_ready: bool) -> None:
        """Order it when the announcement is over."""
        decided = self._decided
        if decided is None or self._redirect.ordered:
            return
        if not model_ready:  # no one else will announce it; what plays is heard out
            decided.words.waived = True
            if self._responses.owes(Wish.ANNOUNCEMENT, Wish.UNSPOKEN):
                decided.words.said = False
        if now_ms >= decided.words.over_ms(self._audio, self._responses, now_ms):
            request = decided.request
            command = TransferCall(
                decided.call_id,
                request.route,
                request.reason,
                request.summary,
                announced=decided.words.said,
            )
            self._responses.unwant(Wish.ANNOUNCEMENT)
            self._redirect.order(command, "transfer", self._failed, now_ms)

    def _failed(self, why: str, now_ms: float) -> None:
        """The call stays with the agent."""
        decided, self._decided = self._decided, None
        if decided is not None:
            output = prompts.transfer_failed(decided.request.route[0], why)
            self._answer_tool(decided.call_id, output, now_ms)

    def next_ms(self, now_ms: float) -> float:
        decided = self._decided
        if decided is None or self._redirect.ordered:
            return NEVER
        return decided.words.over_ms(self._audio, self._responses, now_ms)
