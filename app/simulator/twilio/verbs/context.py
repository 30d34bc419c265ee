"""What verbs share: the URLs that they name, the words they say, the requests they make."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import CallRecord, Said
from app.simulator.twilio.trunk import Source, Trunk
from app.simulator.twilio.verbs import twiml
from app.simulator.twilio.webhook import Callbacks, Exchange

_FOREVER_S = 86_400.0


class VerbContext:
    """The call on which verbs are executed.

    `heard`: the record of what Twilio says. `say_ms`: how long a <Say> or <Play> takes.
    """

    def __init__(
        self, call: CallRecord, trunk: Trunk, callbacks: Callbacks, heard: list[Said], say_ms: float
    ) -> None:
        self.call = call
        self.trunk = trunk
        self.callbacks = callbacks
        self._heard = heard
        self._say_ms = say_ms

    # --- URLs and requests ---------------------------------------------------------------------

    def public(self, url: str, base: str) -> str:
        """The public form of `url`, resolved against `base`."""
        return self.trunk.client.public(url, base)

    def source(
        self,
        url: str,
        element: Element,
        base: str,
        parameters: Mapping[str, str] | None = None,
        method: str = "method",
    ) -> Source:
        """The document at a URL of a verb or noun. `method`: the attribute with the method."""
        verb = element.get(method, "POST").upper()
        return Source(self.public(url, base), verb, parameters or {})

    def action(self, verb: Element, base: str, parameters: Mapping[str, str]) -> Source | None:
        """The document at a verb's `action`; None if it has none."""
        action = verb.get("action")
        return self.source(action, verb, base, parameters) if action else None

    async def fetch(self, source: Source) -> Exchange:
        """Request a document."""
        params = {**self.call.parameters(), **source.parameters}
        exchange = await self.trunk.client.request(source.url, params, source.method)
        self.call.requests.append(exchange)
        return exchange

    def ask_after_all(self, action: Source | None, *, after_hangup: bool) -> None:
        """Request the action of a cancelled verb and ignore the answer: after a REST update if
        `asks_when_replaced`, after a hang-up if `asks_after_hangup` and the verb's own
        `after_hangup` are set."""
        options = self.trunk.options
        if self.call.is_live:
            wanted = options.asks_when_replaced
        else:
            wanted = after_hangup and options.asks_after_hangup
        if action is not None and wanted:
            params = {**self.call.parameters(), **action.parameters}
            self.callbacks.post(action.url, params, action.method)

    # --- words and silence ---------------------------------------------------------------------

    def utter(self, verb: Element) -> float:
        """Begin a <Say> or <Play>. Returns the seconds that it takes; loop="0" does not end."""
        words = verb.get("digits") or twiml.text(verb)
        self._heard.append(Said(verb.tag, words, now_ms()))
        self.call.changed()
        loops = self.number(verb, "loop", 1.0)
        return loops * self._say_ms / 1000 if loops else _FOREVER_S

    def pause_s(self, verb: Element) -> float:
        """The seconds that a <Pause> takes."""
        return self.number(verb, "length", 1.0) * self.trunk.options.pause_scale

    def number(self, element: Element, name: str, default: float) -> float:
        """An attribute that is a number; `default` if it is missing or not a number (12200)."""
        written = element.get(name)
        try:
            return default if written is None else float(written)
        except ValueError:
            self.call.error(12200, f"<{element.tag} {name}> {written!r} is not a number")
            return default
