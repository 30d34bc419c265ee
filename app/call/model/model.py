"""The model as the call sees it: its connection, items, responses, and the answers to its tools."""

from app.call.commands import CancelTool, ReportDecision, ToModel
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.connection import ModelLink
from app.call.model.requests import ModelRequests
from app.call.model.responses import Responses
from app.call.model.session_items import SessionItems
from app.call.model.settings import SessionSettings
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
        tool_ms: float,
        tool_rounds: int,
    ) -> None:
        """
        Args:
            tool_ms: `Limits.tool_ms`.
            tool_rounds: `Limits.tool_rounds`.
        """
        self.requests = ModelRequests(outbox, ids)
        #: The settings of the present session.
        self.settings = SessionSettings(self.requests)
        #: The connection: opened, configured, lost, retried, given up.
        self.link = ModelLink()
        #: The present session's items: truncated, deleted, replaced.
        self.items = SessionItems(self.requests, ids)
        #: The queue of responses, and the one in flight.
        self.responses = Responses()
        #: Tool calls, their deadlines, and the limits on how many they are.
        self.tools = ToolCalls(outbox, tool_ms, ToolLimits(tool_rounds))
        #: Sends the answers of tools, and what the caller typed.
        self.answers = ToolAnswers(
            self.requests, self.link, self.tools, self.responses, conversation
        )
