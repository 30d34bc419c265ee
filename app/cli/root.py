"""The root of the command line: `python -m app COMMAND`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli import call as call_cli
from app.cli import calls as calls_cli
from app.cli import serve as serve_cli
from app.cli import stand_in as stand_in_cli
from app.cli import voices as voices_cli
from app.cli.demo.call import run_demo
from app.cli.demo.voices import DemoVoice
from app.cli.doctor import command as doctor_cli
from app.cli.log import close_logging, configure_logging
from app.cli.setup import command as setup_cli
from app.cli.terminal import WRONG_SETTINGS, fail
from app.errors import BridgeError

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@cli.callback()
def _commands() -> None:
    """Connects Twilio phone calls to an agent on the OpenAI Realtime API.

    \b
    python -m app demo      a whole call on this machine; needs no account
    python -m app serve     answer phone calls
    python -m app setup     configure the number at Twilio
    python -m app doctor    find what is wrong with the set-up, and how to mend it
    python -m app calls     what was said on the calls so far
    python -m app stand-in  a local Realtime server, or voice provider, for any client

    Settings come from environment variables and from .env; .env.example documents each one.
    """


cli.command()(serve_cli.serve)
cli.command()(call_cli.call)
cli.add_typer(calls_cli.calls, name="calls")
cli.command()(voices_cli.voices)
cli.command()(setup_cli.setup)
cli.command()(doctor_cli.doctor)
cli.command("stand-in")(stand_in_cli.stand_in)


@cli.command()
def demo(
    wav: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A WAV recording to play as the caller's voice."),
    ] = None,
    keep: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder for call.wav, transcript.txt, timeline.png and call.json."
        ),
    ] = Path("demo-call"),
    agent: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Another agent file. The built-in caller only knows the pizzeria, so this needs "
            "--wav, or --voice own to try that file's voices with the pizzeria.",
        ),
    ] = None,
    voice: Annotated[
        DemoVoice | None,
        typer.Option(
            help="The agent's voice: a provider's protocol, served by a local stand-in, or 'own' "
            "for the voices of --agent or AGENT_FILE. Default: the embedded model's."
        ),
    ] = None,
) -> None:
    """Run a whole phone call on this machine; needs no account.

    The caller, the phone line and the model are simulated; the bridge between them is the real
    one. The caller coughs, interrupts, orders, and is transferred to a human.

    \b
    python -m app demo
    python -m app demo --voice qwen
    python -m app demo --agent agent.toml --wav caller.wav

    Exit status 0: the call went as expected; 1: it did not; 2: an option, a setting or a file is
    wrong.
    """
    # Without it Python prints a warning's message alone: "tool failed", but not which one and why.
    configure_logging("warning")
    try:
        as_expected = asyncio.run(run_demo(Console(), keep, wav, agent, voice))
    except BridgeError as error:
        fail(error, WRONG_SETTINGS)
    finally:
        close_logging()
    raise typer.Exit(not as_expected)
