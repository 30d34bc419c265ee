"""The transfer to a human: the announcement, heard to its last mark, then the redirect.

The leg ends with the redirect: `exits/attempts` takes over. If no human accepts, the call resumes
with a new leg, and `LegOpened` says what became of the transfer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.call import prompts
from app.call.commands import TransferCall
from app.call.deadlines import NEVER
from app.call.destinations import Destination, route_to
from app.call.exits.answer_tool import AnswerTool
from app.call.exits.last_words import LastWords
from app.call.exits.redirect import Redirect
from app.call.heard.agent_audio import AgentAudio
from app.call.model.responses import Responses, Wanted, Wish

#: Name of the tool.
TRANSFER = "transfer_to_human"


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A transfer that is asked for."""

    #: Names of the destinations, in the order of the attempts; at least one.
    route: tuple[str, ...]
    #: As the model wrote them.
    reason: str = ""
    summary: str = ""


class TransferRefused(Exception):
    """The transfer is impossible. The message is the tool's answer for the model."""


def read_request(
    arguments: str, destinations: Sequence[Destination], at_s: float
) -> TransferRequest:
    """Read the arguments of transfer_to_human.

    Args:
        arguments: JSON text as the model wrote it.
        at_s: Unix time, in seconds.

    Raises:
        TransferRefused: The arguments are no JSON object, or see `find_route`.
    """
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise TransferRefused(prompts.TRANSFER_UNREADABLE)
    reason, summary = (given.get(key) for key in ("reason", "summary"))
    route = find_route(given.get("destination"), destinations, at_s)
    # JSON may contain half a surrogate pair, which can be neither stored nor sent.
    texts = [
        text.encode(errors="replace").decode() if isinstance(text, str) else ""
        for text in (reason, summary)
    ]
    return TransferRequest(route, *texts)


def find_route(name: object, destinations: Sequence[Destination], at_s: float) -> tuple[str, ...]:
    """The route to the destination that the model names, see `route_to`.

    Args:
        name: As the model wrote it. An agent with one destination needs no name.
        at_s: Unix time, in seconds.

    Raises:
        TransferRefused: There is no such destination (a telephone number is none), or it is closed.
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
    """Names of all destinations that are open: the route of a lone 0. `at_s`: Unix time."""
    return tuple(each.name for each in destinations if each.hours.is_open(at_s))


@dataclass(slots=True)
class _DecidedTransfer:
    """A transfer that is under way."""

    call_id: str
    request: TransferRequest
    words: LastWords


class Transfer:
    """At most one transfer at a time. A barge-in before the redirect is ordered suspends it: the
    model gets that as the tool's answer and may call the tool again. It never happens by itself
    later."""

    def __init__(
        self,
        audio: AgentAudio,
        responses: Responses,
        redirect: Redirect,
        answer_tool: AnswerTool,
    ) -> None:
        """
        Args:
            answer_tool: Gives the model the answer to transfer_to_human.
        """
        self._audio = audio
        self._responses = responses
        self._redirect = redirect
        self._answer_tool = answer_tool
        self._pending: _DecidedTransfer | None = None

    @property
    def under_way(self) -> bool:
        return self._pending is not None

    def begin(
        self,
        call_id: str,
        request: TransferRequest,
        now_ms: float,
        *,
        response_id: str = "",
        announce: bool = False,
    ) -> None:
        """Decide to transfer the caller. Next: `settle` orders the redirect when the announcement
        was heard.

        Args:
            call_id: The tool call to answer if the transfer fails or is suspended.
            response_id: The response that calls the tool; an announcement is requested if it says
                nothing. Empty, and not `announce`: no announcement.
            announce: Request an announcement now.
        """
        words = LastWords(Wish.ANNOUNCEMENT, now_ms, response_id)
        words.waived = not announce and not response_id
        self._pending = _DecidedTransfer(call_id, request, words)
        self._responses.unwant(Wish.NUDGE, Wish.HOLD, Wish.WARNING, Wish.REPLY)
        if announce:
            self._announce(request)

    def _announce(self, request: TransferRequest) -> None:
        self._responses.want(Wish.ANNOUNCEMENT, prompts.announcement(request.route[0]))

    def response_ended(self, response_id: str, was: Wanted | None, *, spoke: bool) -> None:
        """A response ended. If the announcement was due in it and it said nothing, request one."""
        pending = self._pending
        if pending is not None and pending.words.response_ended(response_id, was, spoke=spoke):
            self._announce(pending.request)

    def suspend(self, now_ms: float) -> None:
        """Barge-in before the announcement was heard: the model decides anew."""
        self._drop(prompts.TRANSFER_SUSPENDED, now_ms)

    def call_ends(self, now_ms: float) -> None:
        """The call ends instead."""
        self._drop(prompts.END_ALREADY, now_ms)

    def _drop(self, output: str, now_ms: float) -> None:
        pending = self._pending
        if pending is not None and not self._redirect.ordered:
            self._pending = None
            self._responses.unwant(Wish.ANNOUNCEMENT)
            self._answer_tool(pending.call_id, output, now_ms)

    def settle(self, now_ms: float, *, model_ready: bool) -> None:
        """Order the redirect, once the announcement was heard."""
        pending = self._pending
        if pending is None or self._redirect.ordered:
            return
        if not model_ready:  # it cannot be announced; what plays is heard out
            pending.words.waived = True
            if self._responses.pending(Wish.ANNOUNCEMENT, Wish.UNSPOKEN):
                pending.words.said = False
        if now_ms >= pending.words.over_ms(self._audio, self._responses, now_ms):
            request = pending.request
            command = TransferCall(
                pending.call_id,
                request.route,
                request.reason,
                request.summary,
                announced=pending.words.said,
            )
            self._responses.unwant(Wish.ANNOUNCEMENT)
            self._redirect.order(command, "transfer", self._failed, now_ms)

    def _failed(self, why: str, now_ms: float) -> None:
        """The redirect failed: the caller stays with the agent."""
        pending, self._pending = self._pending, None
        if pending is not None:
            output = prompts.transfer_failed(pending.request.route[0], why)
            self._answer_tool(pending.call_id, output, now_ms)

    def next_ms(self, now_ms: float) -> float:
        pending = self._pending
        if pending is None or self._redirect.ordered:
            return NEVER
        return pending.words.over_ms(self._audio, self._responses, now_ms)
