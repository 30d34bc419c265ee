"""How the parts of the call machine give commands: each holds an outbox of its own kind.

The type of a part's outbox says which commands that part may give, and a type checker keeps it.
Behind all of them is one `Commands`, because the order in which the parts decide is the order in
which the bridge performs: a truncation before the next response, the tones before the redirect.
"""

from typing import Protocol, TypeVar

from app.call.commands import Command

C = TypeVar("C", contravariant=True)


class Outbox(Protocol[C]):
    """Takes the commands of one part."""

    def put(self, command: C) -> None:
        """Add a command behind all commands given so far."""


class Commands:
    """The commands for one event, in order. An `Outbox` for every part of one machine."""

    def __init__(self) -> None:
        self._commands: list[Command] = []

    def put(self, command: Command) -> None:
        """Add a command behind all commands given so far."""
        self._commands.append(command)

    def take(self) -> list[Command]:
        """Returns the commands given since the last time."""
        commands, self._commands = self._commands, []
        return commands
