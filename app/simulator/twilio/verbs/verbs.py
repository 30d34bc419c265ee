"""Twilio's TwiML interpreter: fetches documents and executes their verbs in order."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from app.simulator.twilio.media.stream import MediaStream
from app.simulator.twilio.record import CallRecord
from app.simulator.twilio.trunk import Source, Trunk
from app.simulator.twilio.verbs import twiml
from app.simulator.twilio.verbs.connect import Connect
from app.simulator.twilio.verbs.context import VerbContext
from app.simulator.twilio.verbs.dial import Dial
from app.simulator.twilio.verbs.gather import Gather
from app.simulator.twilio.webhook import Callbacks

_UNHEARD = frozenset({"Reject", "Pause", "Redirect"})  # these do not answer a ringing call


class Role(Enum):
    """The verbs that a document may have. (Twilio: <Number>, `url`; <Conference>, `waitUrl`)"""

    CALL = twiml.CHILDREN["Response"]
    WHISPER = frozenset({"Say", "Play", "Pause", "Redirect", "Gather", "Hangup"})
    HOLD = frozenset({"Say", "Play", "Pause", "Redirect"})


class _Finished(Exception):
    """The document ends the call. `status`: the end of a call that was not answered."""

    def __init__(self, status: str = "") -> None:
        super().__init__(status)
        self.status = status


class Interpreter:
    """Executes documents on a call until one of them ends the call or names no next one.

    Cancelled, it ends the verb that runs: a stream gets its `stop`, dialled calls are hung up.
    Await `closed()` in the end.
    """

    def __init__(
        self, call: CallRecord, trunk: Trunk, callbacks: Callbacks, role: Role = Role.CALL
    ) -> None:
        options = trunk.options
        holds = role is Role.HOLD
        self._call = call
        self._trunk = trunk
        self._callbacks = callbacks
        self._role = role
        self._context = VerbContext(
            call,
            trunk,
            callbacks,
            call.hold if holds else call.spoken_by_twilio,
            options.hold_ms if holds else options.say_ms,
        )
        self._connect = Connect(self._context)
        self._dial = Dial(self._context, self._hold)
        self._verbs: dict[str, Callable[[Element, str], Awaitable[Source | None]]] = {
            "Connect": self._connect.execute,
            "Say": self._say,
            "Play": self._say,
            "Pause": self._pause,
            "Redirect": self._redirect,
            "Gather": Gather(self._context).execute,
            "Hangup": self._hang_up,
            "Reject": self._reject,
            "Dial": self._dial.execute,
        }

    @property
    def stream(self) -> MediaStream | None:
        """The last stream, ended or not."""
        return self._connect.stream

    async def run(self, source: Source) -> str:
        """Execute a document and those that it leads to.

        Returns the status that the call ends with; empty if the last document has no more verbs.
        """
        following: Source | None = source
        try:
            while following is not None:
                following = await self._document(following)
        except _Finished as finished:
            if finished.status:
                return finished.status
            self._call.answered()  # Twilio answers even to say that the application failed
            return "completed"
        return ""

    async def closed(self) -> None:
        """Wait until all sockets of streams are closed and all dialled calls have ended."""
        await self._connect.closed()
        await self._dial.closed()

    # --- documents ---------------------------------------------------------------------------

    async def _document(self, source: Source) -> Source | None:
        fetched = await self._fetch(source)
        self._call.twiml_history.append(fetched)
        self._call.changed()
        try:
            response = twiml.parse(fetched)
        except twiml.TwimlError as fault:
            self._call.error(12100, str(fault))
            raise _Finished from None
        for warning in twiml.warnings(response):
            self._call.error(12200, warning)
        for verb in response:
            execute = self._verbs.get(verb.tag)
            if execute is None:
                continue
            if verb.tag not in self._role.value:
                self._refuse(verb)
                continue
            if verb.tag not in _UNHEARD and verb.get("answerOnBridge") != "true":
                self._call.answered()
            following = await execute(verb, source.url)
            if following is not None:
                return following
        return None

    async def _fetch(self, source: Source) -> str:
        if source.inline is not None:
            return source.inline
        exchange = await self._context.fetch(source)
        if self._role is Role.HOLD and exchange.content_type.startswith("audio/"):
            return f'<Response><Play loop="0">{escape(source.url)}</Play></Response>'
        if error := exchange.document_error:
            self._call.error(*error)
            raise _Finished
        return exchange.body

    def _refuse(self, verb: Element) -> None:
        if verb.tag == "Dial" and self._role is Role.WHISPER:
            self._call.error(13201, "<Dial> in the document of a call that is dialled itself")
            raise _Finished
        self._call.error(
            12200, f"<{verb.tag}> is not known in a {self._role.name.lower()} document"
        )

    async def _hold(self, source: Source) -> None:
        """Execute the `waitUrl` document of a conference again and again, until cancelled."""
        music = Interpreter(self._call, self._trunk, self._callbacks, Role.HOLD)
        while True:
            if await music.run(source):
                return
            await asyncio.sleep(self._trunk.options.hold_ms / 1000)  # or an empty one would spin

    # --- small verbs ---------------------------------------------------------------------------

    async def _say(self, verb: Element, base: str) -> None:
        await asyncio.sleep(self._context.utter(verb))

    async def _pause(self, verb: Element, base: str) -> None:
        await asyncio.sleep(self._context.pause_s(verb))

    async def _redirect(self, verb: Element, base: str) -> Source:
        return self._context.source(twiml.text(verb), verb, base)

    async def _hang_up(self, verb: Element, base: str) -> None:
        raise _Finished

    async def _reject(self, verb: Element, base: str) -> None:
        if self._call.answered_ms is not None:
            raise _Finished
        raise _Finished("busy" if verb.get("reason") == "busy" else "no-answer")
