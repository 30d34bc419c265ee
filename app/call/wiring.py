"""Wiring: creates the parts of the call machine and connects them.

    audio           what plays, and what the caller heard: the playback ledger
    items           the session's items: truncated, deleted, replaced
    responses       the queue of responses, and the one in flight
    speech          the agent's speech: audio, items, synthesis, conversation
    link            the connection to the model: opened, configured, lost, retried
    tools, answers  tool calls, and their answers to the model
    exits           goodbye, transfer, redirect, tones
    entries         the caller's keys
    floor           who may speak; barge-in
    session         the model's session: configured, lost, replaced
    idle_and_hold   idle prompts, hold tones, the longest call
    deadlines       responses that owe the caller sound: deadlines and retries
    missing         ids that the model's server leaves out

Each part's file holds its own rules; `machine` holds the rules between parts.
"""

from collections.abc import Callable

from app.call.agent import Agent
from app.call.caller.digit_entries import DigitEntries
from app.call.caller.floor import Floor
from app.call.caller.idle_and_hold import IdleAndHold
from app.call.commands import Command
from app.call.exits.exits import Exits
from app.call.exits.transfer import TransferRequest
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.connection import ModelLink
from app.call.model.missing_ids import MissingIds
from app.call.model.responses import Responses
from app.call.model.session_items import SessionItems
from app.call.model.tool_answers import ToolAnswers
from app.call.model.tool_calls import ToolCalls
from app.call.model_session import ModelSession
from app.call.response_deadlines import ResponseDeadlines
from app.call.speech.agent_speech import AgentSpeech


class _ToList:
    """An outbox that appends to the machine's list of commands."""

    def __init__(self, out: list[Command]) -> None:
        self._out = out

    def put(self, command: Command) -> None:
        self._out.append(command)


class Parts:
    """The parts of one machine."""

    def __init__(
        self,
        agent: Agent,
        out: list[Command],
        conversation: Conversation,
        request_transfer: Callable[[TransferRequest, float], bool],
    ) -> None:
        """
        Args:
            out: Takes the commands of all parts, in order.
            request_transfer: `CallMachine`'s way to transfer the caller without a tool call; takes
                the request and `now_ms`, returns whether the transfer began.
        """
        self.ids = Ids()
        self.audio = AgentAudio(out)
        self.items = SessionItems(out, self.ids)
        self.responses = Responses()
        self.speech = AgentSpeech(
            out,
            self.audio,
            self.items,
            conversation,
            self.responses,
            self.ids,
            voices=agent.voices,
        )
        self.link = ModelLink()
        self.tools = ToolCalls(agent.limits.tool_ms)
        self.answers = ToolAnswers(
            out,
            self.tools,
            conversation,
            self.responses,
            self.link,
            self.ids,
            lambda: not self.exits.under_way,
        )
        self.exits = Exits(_ToList(out), agent, self.audio, self.responses, self.answers)
        self.entries = DigitEntries(
            out,
            agent,
            self.audio,
            self.answers,
            conversation,
            self.responses,
            request_transfer,
            self.ids,
        )
        self.floor = Floor(
            out,
            self.items,
            self.speech,
            self.responses,
            self.exits,
            self.entries,
            self.ids,
            interruptible=agent.turns.interruptible,
        )
        self.session = ModelSession(
            out,
            agent,
            self.link,
            self.items,
            self.speech,
            self.responses,
            self.answers,
            self.exits,
            self.floor,
            self.ids,
        )
        self.idle_and_hold = IdleAndHold(agent.limits, self.audio, self.responses, self.exits)
        self.deadlines = ResponseDeadlines(
            out,
            self.audio,
            self.items,
            self.speech,
            self.responses,
            self.tools,
            self.floor,
            self.session,
            self.idle_and_hold,
            self.ids,
            limit_ms=agent.limits.first_sound_ms,
        )
        self.missing = MissingIds(self.ids, conversation, self.responses, self.items)
