"""<Gather>: the keys pressed during its prompt and after it.

Keys only: speech is not recognized, whatever `input` says. (Twilio: TwiML <Gather>)
"""

import asyncio
from contextlib import suppress
from xml.etree.ElementTree import Element

from app.simulator.twilio.trunk import Source
from app.simulator.twilio.verbs import twiml
from app.simulator.twilio.verbs.context import VerbContext

_PATIENCE_S = 5.0


class _Keys:
    """The keys pressed for one <Gather>. The first one ends the prompt."""

    def __init__(self, finish_on: str, most: int | None) -> None:
        self.digits = ""
        self.finished_on = ""
        self.came = asyncio.Event()
        self._finish_on = finish_on
        self._most = most

    @property
    def are_complete(self) -> bool:
        return bool(self.finished_on) or len(self.digits) == self._most

    def press(self, digit: str) -> None:
        if self.are_complete:
            return
        if digit in self._finish_on:
            self.finished_on = digit
        else:
            self.digits += digit
        self.came.set()


class Gather:
    """Executes <Gather>."""

    def __init__(self, context: VerbContext) -> None:
        self._context = context

    async def execute(self, verb: Element, base: str) -> Source | None:
        """Say the prompt and wait for keys.

        Returns the action with `Digits`, or None when no key was pressed in time. Without an
        `action`, it is the document's own URL.
        """
        most = self._context.number(verb, "numDigits", 0.0)
        keys = _Keys(verb.get("finishOnKey", "#"), int(most) or None)
        call = self._context.call
        takes_keys = "dtmf" in verb.get("input", "dtmf").split()
        call.key_sink = keys.press if takes_keys else _lost
        try:
            await self._prompt(verb, keys)
            call.prompts += 1
            call.changed()
            await self._collect(verb, keys)
        finally:
            call.key_sink = None
        if not keys.digits and verb.get("actionOnEmptyResult") != "true":
            return None
        params = {"Digits": keys.digits}
        if keys.finished_on:
            params["FinishedOnKey"] = keys.finished_on
        return self._context.source(verb.get("action") or base, verb, base, params)

    async def _prompt(self, verb: Element, keys: _Keys) -> None:
        for said in verb:
            if said.tag not in twiml.CHILDREN["Gather"] or keys.came.is_set():
                continue
            takes_s = (
                self._context.pause_s(said) if said.tag == "Pause" else self._context.utter(said)
            )
            await _key(keys, takes_s)

    async def _collect(self, verb: Element, keys: _Keys) -> None:
        patience_s = _PATIENCE_S
        if verb.get("timeout") != "auto":
            patience_s = self._context.number(verb, "timeout", _PATIENCE_S)
        patience_s *= self._context.trunk.options.gather_scale
        while not keys.are_complete:
            if not await _key(keys, patience_s):
                return
            keys.came.clear()


async def _key(keys: _Keys, at_most_s: float) -> bool:
    """Wait for a key, at most `at_most_s`. Returns whether one was pressed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await keys.came.wait()
    return keys.came.is_set()


def _lost(digit: str) -> None:
    """Drop a key: this <Gather> takes speech only."""
