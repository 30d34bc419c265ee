"""The transfer to a human: the announcement, heard to its last mark, then the redirect.

`transitions` decides when. The leg ends with the redirect: `exits/attempts` takes over. If no human
accepts, the call resumes with a new leg, and `LegOpened` gives the outcome of the transfer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.call import prompts
from app.call.commands import ReportDecision, TransferCall
from app.call.destinations import Destination, route_to
from app.call.exits.last_words import LastWords
from app.call.heard.agent_audio import AgentAudio
from app.call.model.model import Model
from app.call.model.responses import Wish
from app.call.outbox import Outbox
from app.call.prompts import TakenBack

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
class PendingTransfer:
    """A transfer that is announced or ordered."""

    #: The tool call to answer if the caller is not transferred.
    call_id: str
    request: TransferRequest
    #: The announcement that the caller has to hear.
    words: LastWords
    #: An operator ordered it: the record gets its outcome.
    by_operator: bool = False


class Transfer:
    """Performs what `transitions.EXIT` decides about transfers. A suspended transfer never happens
    by itself later: the model gets the tool's answer, and may call the tool again."""

    def __init__(self, outbox: Outbox[ReportDecision], audio: AgentAudio, model: Model) -> None:
        self._outbox = outbox
        self._audio = audio
        self._responses = model.responses
        self._answers = model.answers
        words = LastWords(Wish.ANNOUNCEMENT, 0.0)
        self._pending = PendingTransfer("", TransferRequest(()), words)

    @property
    def words(self) -> LastWords:
        """The announcement that the caller has to hear."""
        return self._pending.words

    def begin(self, transfer: PendingTransfer) -> None:
        """Decide to transfer the caller. Requests an announcement, unless it is waived or expected
        in the response that called the tool."""
        self._pending = transfer
        self.words.expected(self._audio)
        self._responses.unwant(Wish.NUDGE, Wish.HOLD, Wish.WARNING, Wish.REPLY)
        if not transfer.words.response_id and not transfer.words.waived:
            self.announce()

    def announce(self) -> None:
        """Request an announcement."""
        name = self._pending.request.route[0]
        self._responses.want(Wish.ANNOUNCEMENT, prompts.announcement(name))

    def waive_announcement(self) -> None:
        """No session is ready to announce it: the transfer waits for what plays, and no longer."""
        self.words.waived = True
        if self._responses.pending(Wish.ANNOUNCEMENT, Wish.UNSPOKEN):
            self.words.said = False

    def suspend(self, why: TakenBack, now_ms: float) -> None:
        """The caller is not transferred: the model decides anew."""
        output = prompts.transfer_suspended(why, by_operator=self._pending.by_operator)
        self._end(output, now_ms)
        self._report("suspend the operator's transfer", why)

    def drop(self, why: str, now_ms: float) -> None:
        """The caller is not transferred: the call ends. `why`: it ends."""
        self._end(prompts.END_ALREADY, now_ms)
        self._report("leave out the operator's transfer", f"the call ends: {why}")

    def _end(self, output: str, now_ms: float) -> None:
        self._responses.unwant(Wish.ANNOUNCEMENT)
        self._answers.answer(self._pending.call_id, output, now_ms)

    def _report(self, decision: str, why: str) -> None:
        if self._pending.by_operator:
            self._outbox.put(ReportDecision(decision, why))

    def order(self) -> TransferCall:
        """Returns the redirect to order."""
        self._responses.unwant(Wish.ANNOUNCEMENT)
        request = self._pending.request
        return TransferCall(
            self._pending.call_id,
            request.route,
            request.reason,
            request.summary,
            announced=self.words.whole(self._audio),
        )

    def fail(self, why: str, now_ms: float) -> None:
        """The redirect failed: the caller stays with the agent."""
        output = prompts.transfer_failed(self._pending.request.route[0], why)
        self._answers.answer(self._pending.call_id, output, now_ms)
        self._report("keep the caller with the agent", f"the operator's transfer failed: {why}")
