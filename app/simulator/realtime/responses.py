"""The responses of one session: at most one writes to the conversation, others run out of band.

(OpenAI: Realtime conversations, "Create responses outside the default conversation")
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from app.simulator.realtime.checks import Refusal
from app.simulator.realtime.config import AudioFormat, ResponseConfig, response_config
from app.simulator.realtime.items import Conversation, Item, item_from
from app.simulator.realtime.response import Response
from app.simulator.realtime.script import Brain, Options, Reply, ToolOutput, Turn
from app.simulator.realtime.tool_outputs import ToolOutputs
from app.simulator.realtime.wire import Wire


class Responses:
    """Creates responses, cancels them, and knows which one is active.

    `recognize` turns the speech in an item into its text. `on_start` is called before a response
    begins to write to the conversation, and `on_done` after it is done; neither is called for
    out-of-band responses.
    """

    def __init__(
        self,
        wire: Wire,
        conversation: Conversation,
        brain: Brain,
        options: Options,
        *,
        session_id: str,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        recognize: Callable[[Item], Awaitable[None]],
        on_start: Callable[[], None],
        on_done: Callable[[Response], None],
    ) -> None:
        #: The response that writes to the conversation now.
        self.active: Response | None = None
        #: What the brain raised.
        self.failures: list[Exception] = []
        self._outputs = ToolOutputs(conversation)
        #: Set once a turn of the caller is transcribed, one for each that is not yet: a reply waits
        #: for all of them.
        self.transcribing: set[asyncio.Event] = set()
        self._wire = wire
        self._conversation = conversation
        self._brain = brain
        self._options = options
        self._session_id = session_id
        self._spawn = spawn
        self._recognize = recognize
        self._on_start = on_start
        self._on_done = on_done
        self._out_of_band: dict[str, Response] = {}
        self._over = asyncio.Event()

    def create(self, session_config: dict[str, Any], params: dict[str, Any]) -> None:
        """Start a response. `params`: of the `response.create`, over the session's settings.

        Raises Refusal: an input item is wrong, the forced tool does not exist, or the conversation
        has an active response.
        """
        config = response_config(session_config, params)
        _check_tool_choice(config)
        items = None
        audio_format = AudioFormat(session_config["audio"]["input"]["format"]["type"])
        if "input" in params:
            items = tuple(
                self._conversation.find(given["id"], "retrieve")
                if given["type"] == "item_reference"
                else item_from(given, self._wire.new_id, audio_format)
                for given in params["input"]
            )
        if config.in_conversation and self.active is not None:
            raise Refusal(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        outputs = self._outputs.pending()
        response = Response(
            self._wire,
            self._conversation,
            config,
            ask=partial(self._ask, items=items, outputs=outputs),
            done=self._done,
            spawn=self._spawn,
            speed=self._options.speed,
            ms_per_character=self._options.ms_per_character,
        )
        if config.in_conversation:
            if config.kind == "reply":
                self._outputs.clear()
            self._on_start()
            self.expect()
            self.active = response
        else:
            self._out_of_band[response.id] = response
        response.start()

    def add_output(self, item: Item, call: Item) -> None:
        """A `function_call_output` item was created; the next reply reads it."""
        self._outputs.add(item, call)

    def cancel(self, response_id: str | None) -> None:
        """Cancel a response; None: the active one. Raises Refusal when there is no such response.

        (OpenAI: client events, `response.cancel`)
        """
        response = self._out_of_band.get(response_id) if response_id else self.active
        if self.active is not None and response_id == self.active.id:
            response = self.active
        if response is None:
            raise Refusal(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        response.cancel("client_cancelled")

    def interrupt(self) -> None:
        """Cancel the active response, if any, because turn detection heard the caller."""
        if self.active is not None:
            self.active.cancel("turn_detected")

    def expect(self) -> None:
        """A turn was committed or a response starts: `wait_done` waits for a later `response.done`
        from now on."""
        if self._over.is_set():
            self._over = asyncio.Event()

    async def wait_done(self) -> None:
        """Wait for the next `response.done` of the conversation."""
        await self._over.wait()

    async def _ask(
        self, response: Response, *, items: tuple[Item, ...] | None, outputs: tuple[ToolOutput, ...]
    ) -> Reply:
        if response.config.kind == "reply":
            for transcribed in tuple(self.transcribing):
                await transcribed.wait()
        if items is None:
            items = self._conversation.items
        else:
            for item in items:
                if item not in self._conversation.items:
                    await self._recognize(item)
        said = [item.text or "" for item in items if item.role == "user"]
        config = response.config
        reply = self._brain(
            Turn(
                kind=config.kind,
                instructions=config.instructions,
                transcript=said[-1] if said else "",
                items=items,
                tool_outputs=outputs,
                tools=config.tools,
                tool_choice=config.tool_choice,
                metadata=config.metadata,
                in_conversation=config.in_conversation,
                session_id=self._session_id,
            )
        )
        return await reply if inspect.isawaitable(reply) else reply

    def _done(self, response: Response, error: Exception | None) -> None:
        if error is not None:
            self.failures.append(error)
        if self._out_of_band.pop(response.id, None) is not None:
            return
        self.active = None
        self._over.set()
        self._on_done(response)


def _check_tool_choice(config: ResponseConfig) -> None:
    choice = config.tool_choice
    if isinstance(choice, dict) and choice["type"] == "function":
        if not any(tool.get("name") == choice["name"] for tool in config.tools):
            message = f"Tool choice '{choice['name']}' not found in 'tools'."
            raise Refusal("invalid_value", message, "response.tool_choice")
