"""The model as the call sees it: its connection, items, responses, and the answers to its tools."""

from app.call.agent import Agent
from app.call.commands import CancelTool, ReportDecision, ToModel
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.connection import ModelLink
from app.call.model.requests import ModelRequests
from app.call.model.responses import Responses
from app.call.model.session_audio import SessionAudio
from app.call.model.session_items import SessionItems
from app.call.model.settings import SessionSettings
from app.call.model.successor import Successor
from app.call.model.tool_answers import ToolAnswers
from app.call.model.tool_calls import ToolCalls
from app.call.model.tool_limits import ToolLimits
from app.call.outbox import Outbox


class Model:
    """The state of one leg's model, over all its sessions. `session_lost` forgets what only the
    lost session knew."""

    def __init__(
        self,
        outbox: Outbox[ToModel | CancelTool | ReportDecision],
        ids: Ids,
        conversation: Conversation,
        agent: Agent,
    ) -> None:
        limits = agent.limits
        self.requests = ModelRequests(outbox, ids)
        #: The settings of the present session.
        self.settings = SessionSettings(self.requests, outbox, agent)
        #: The connection: opened, configured, lost, retried, given up.
        self.link = ModelLink()
        #: The session that takes over before the present one expires.
        self.successor = Successor()
        #: The caller's turns in the present session's audio.
        self.caller_audio = SessionAudio(self.settings)
        #: The present session's items: truncated, deleted, replaced.
        self.items = SessionItems(self.requests, ids)
        #: The queue of responses, and the one in flight.
        self.responses = Responses()
        #: Tool calls, their deadlines, and the limits on how many they are.
        self.tools = ToolCalls(outbox, limits.tool_ms, ToolLimits(limits.tool_rounds))
        #: Sends the answers of tools, and what the caller typed.
        self.answers = ToolAnswers(
            self.requests, self.link, self.tools, self.responses, conversation
        )
