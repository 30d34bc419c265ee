"""A call as the verbs see it: URLs that they name, words that they say, requests that they make."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import CallRecord, Said
from app.simulator.twilio.trunk import Source, Trunk
from app.simulator.twilio.verbs import twiml
from app.simulator.twilio.webhook import Callbacks, Exchange

_FOREVER_S = 86_400.0


class Stage:
    """What verbs are executed with. `heard`: where it is written down what Twilio says; `say_ms`:
    how long that takes."""

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
        """`url` as the world knows it, resolved against `base`."""
        return self.trunk.client.public(url, base)

    def source(
        self,
        url: str,
        element: Element,
        base: str,
        parameters: Mapping[str, str] | None = None,
        method: str = "method",
    ) -> Source:
        """The document at a URL that a verb or noun names; `method`: its attribute for that."""
        verb = element.get(method, "POST").upper()
        return Source(self.public(url, base), verb, parameters or {})

    def action(self, verb: Element, base: str, parameters: Mapping[str, str]) -> Source | None:
        """The document that a verb's `action` leads to, if it has one."""
        action = verb.get("action")
        return self.source(action, verb, base, parameters) if action else None

    async def fetch(self, source: Source) -> Exchange:
        """Requests a document."""
        params = {**self.call.parameters(), **source.parameters}
        exchange = await self.trunk.client.request(source.url, params, source.method)
        self.call.requests.append(exchange)
        return exchange

    def ask_after_all(self, action: Source | None, *, after_hangup: bool) -> None:
        """Requests the action of a verb that was broken off, and ignores the answer: after a REST
        update if the line is told so, after a hang-up if Twilio does that for this verb."""
        manners = self.trunk.manners
        if self.call.is_live:
            wanted = manners.asks_when_replaced
        else:
            wanted = after_hangup and manners.asks_after_hangup
        if action is not None and wanted:
            params = {**self.call.parameters(), **action.parameters}
            self.callbacks.post(action.url, params, action.method)

    # --- words and silence ---------------------------------------------------------------------

    def utter(self, verb: Element) -> float:
        """Begins a <Say> or <Play> and gives the seconds that it takes; endless with loop="0"."""
        words = verb.get("digits") or twiml.text(verb)
        self._heard.append(Said(verb.tag, words, now_ms()))
        self.call.changed()
        loops = self.number(verb, "loop", 1.0)
        return loops * self._say_ms / 1000 if loops else _FOREVER_S

    def pause_s(self, verb: Element) -> float:
        """The seconds that a <Pause> takes."""
        return self.number(verb, "length", 1.0) * self.trunk.manners.pause_scale

    def number(self, element: Element, name: str, default: float) -> float:
        """An attribute that is a number; `default` if it is missing or none (12200)."""
        written = element.get(name)
        try:
            return default if written is None else float(written)
        except ValueError:
            self.call.error(12200, f"<{element.tag} {name}> {written!r} is not a number")
            return default
