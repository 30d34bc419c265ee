"""What all commands do at the terminal: print to it, and end with an error and a status."""

import os
from typing import NoReturn

import typer
from rich.console import Console

from app.records.visible import visible

#: The exit status for a fault in the settings, the agent file or the options.
WRONG_SETTINGS = 2

_PIPE_COLUMNS = 160


def fail(error: object, status: int) -> NoReturn:
    """Print the error's lines to stderr and end the command with `status`.

    Control characters are shown as escapes: the text may quote a file or a server's answer.
    """
    for line in str(error).splitlines():
        typer.echo(visible(line), err=True)
    raise typer.Exit(status) from None


def tell(terminal: Console, text: str) -> None:
    """Print a text as it is, without a line break of its own."""
    terminal.print(visible(text), soft_wrap=True, markup=False, highlight=False)


def console() -> Console:
    """The terminal. A pipe or a file gets lines of 160 columns instead of Rich's default of 80."""
    found = Console()
    if found.is_terminal or "COLUMNS" in os.environ:
        return found
    return Console(width=_PIPE_COLUMNS)
