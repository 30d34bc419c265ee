"""What other replicas ask this one for: each kind of request has one answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from app.bridge.bus.bus import Bus, Message, NoOwner

Answer = Callable[[Message], Awaitable[dict[str, Any]]]


class Requests:
    """The answers of this replica. With one process there are no requests."""

    def __init__(self, bus: Bus) -> None:
        self._answers: dict[str, Answer] = {}
        if bus.shared:
            bus.on_request = self._answer

    def add(self, kind: str, answer: Answer) -> None:
        """Answer the requests whose `request` is `kind`. A request may come more than once."""
        self._answers[kind] = answer

    async def _answer(self, request: Message) -> dict[str, Any]:
        answer = self._answers.get(str(request.get("request")))
        if answer is None:
            raise NoOwner("this replica does not know the request")
        return await answer(request)
