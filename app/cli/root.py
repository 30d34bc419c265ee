"""The command line: `python -m app …`."""

import asyncio
import gc
import secrets
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import SecretStr
from rich.console import Console

from app.bridge.dialling_rules import ANYBODY
from app.bridge.services import Services
from app.cli import call as call_cli
from app.cli import calls as calls_cli
from app.cli import voices as voices_cli
from app.cli.demo.call import run_demo
from app.cli.demo.voices import DemoVoice
from app.cli.embedded_model import embedded_model
from app.cli.log import (
    close_logging,
    configure_logging,
    log_unhandled,
    reserve_standard_descriptors,
    say,
)
from app.config.agent.file import LoadedAgent, load_agent
from app.config.phone_number import calling_code
from app.config.settings import EMBEDDED, Settings, load_settings
from app.errors import BridgeError
from app.main import create_app
from app.simulator.realtime import RealtimeServer
from app.web.server import Limits, Server, bind
from app.web.server.descriptors import raise_limit
from app.web.server.signals import cancel_on_signal

cli = typer.Typer(
    help="Joins Twilio phone calls to the OpenAI Realtime API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
WRONG_SETTINGS = 2


@cli.callback()
def _commands() -> None:
    """Joins Twilio phone calls to the OpenAI Realtime API."""


cli.add_typer(calls_cli.calls, name="calls")
cli.command()(call_cli.call)
cli.command()(voices_cli.voices)


@cli.command()
def demo(
    wav: Annotated[
        Path | None, typer.Option(help="A recording that speaks in place of our caller.")
    ] = None,
    keep: Annotated[
        Path, typer.Option(help="The folder for the recording, the transcript and the picture.")
    ] = Path("demo-call"),
    agent: Annotated[
        Path | None,
        typer.Option(help="An agent file of your own; needs --wav, unless its voices are meant."),
    ] = None,
    voice: Annotated[
        DemoVoice | None,
        typer.Option(
            help="Who speaks for the agent: a provider's local stand-in, or 'own' for the voices "
            "of --agent or AGENT_FILE. Without it the embedded model does."
        ),
    ] = None,
) -> None:
    """Hold a whole call, with no account: a caller, a simulated line, the embedded model."""
    try:
        went_well = asyncio.run(run_demo(Console(), keep, wav, agent, voice))
    except BridgeError as error:
        _fail(error)
    raise typer.Exit(not went_well)


@cli.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, in place of HOST.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on, in place of PORT.")
    ] = None,
) -> None:
    """Answer calls.

    Settings come from the environment and from .env; .env.example lists every one.
    """
    reserve_standard_descriptors()
    try:
        settings = load_settings()
        settings = settings.model_copy(
            update={"host": host or settings.host, "port": port or settings.port}
        )
        agent = load_agent(settings.agent_file, settings.transfer_number)
        keyless = settings.openai_api_key is None
        embedded = embedded_model(agent, remembers=False) if keyless else None
        listener = bind(settings.host, settings.port)
        configure_logging(settings.log_level, settings.log_format)
        raise_limit()
        run_on_fast_loop(_serve(settings, agent, embedded, listener))
    except BridgeError as error:
        close_logging()
        _fail(error)
    finally:
        close_logging()


async def _serve(
    settings: Settings, agent: LoadedAgent, embedded: RealtimeServer | None, listener: socket.socket
) -> None:
    log_unhandled(asyncio.get_running_loop())
    token_given = settings.api_token is not None
    if not token_given:
        settings = settings.model_copy(update={"api_token": SecretStr(secrets.token_urlsafe(24))})
    with cancel_on_signal():
        async with AsyncExitStack() as opened:
            if embedded is not None:
                opened.push_async_callback(embedded.close)
                await embedded.start()
                settings = settings.model_copy(
                    update={
                        "openai_api_key": SecretStr(EMBEDDED),
                        "openai_base_url": embedded.base_url,
                        "openai_realtime_model": EMBEDDED,
                    }
                )
            services = await Services.open(settings, agent)
            opened.push_async_callback(services.aclose)  # as the application does, if it began
            app = create_app(settings, services)
            for line in first_steps(settings, agent, token_given=token_given):
                say(line)
            # What was loaded by now stays for good: looking through it for garbage would hold up
            # every call for tens of milliseconds, again and again.
            gc.collect()
            gc.freeze()
            limits = Limits(idle_s=settings.keep_alive_seconds)
            await Server(app, settings.drain_seconds, limits).serve(sockets=[listener])


def first_steps(settings: Settings, agent: LoadedAgent, *, token_given: bool) -> list[str]:
    """What the person who started the service has to know and do next."""
    local = f"http://{settings.host}:{settings.port}"
    if settings.openai_realtime_model == EMBEDDED:
        lines = [
            f"{agent.agent.name} answers on {local} with the embedded model, because "
            "OPENAI_API_KEY is not set.",
            f"It understands what [demo] in {agent.path} tells it, and nothing else."
            if agent.demo.lines
            else f"It knows a few phrases only: {agent.path} has no [[demo.lines]]; "
            "examples/pizzeria.toml shows some.",
            "For the real model put a key from https://platform.openai.com/api-keys into .env",
        ]
    else:
        lines = [f"{agent.agent.name} answers on {local} with {settings.openai_realtime_model}."]
    if settings.twilio_auth_token is None:
        lines += [
            "No phone calls yet: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN "
            "(https://console.twilio.com, Account info) in .env, and start again."
        ]
    lines += [*_voices(agent), *_people(settings, agent)]
    base = settings.public_url
    if base is None:
        base = "https://<the address that ngrok shows>"
        lines += [
            f"Twilio has to reach this machine. In another terminal: ngrok http {settings.port}",
            "Set PUBLIC_URL in .env to the address that it shows, and start again.",
        ]
    lines += [
        "Then, in Twilio's console, under your number's Voice Configuration:"
        if settings.public_url is None
        else "In Twilio's console, under your number's Voice Configuration:",
        f"  A call comes in        Webhook  {base}/incoming-call  HTTP POST",
        f"  Call status changes             {base}/call-status    HTTP POST",
    ]
    if settings.api_token is not None and not token_given:
        token = settings.api_token.get_secret_value()
        lines += [
            f"API_TOKEN is not set, so this one holds until the next start: {token}",
            f"  curl -H 'Authorization: Bearer {token}' {local}/calls",
        ]
    return lines


def _voices(agent: LoadedAgent) -> list[str]:
    """Who speaks, where the model does not."""
    first, *others = agent.agent.voices or ("",)
    if not first:
        return []
    others = [*others, "the model's own voice"]
    return [
        f"It speaks as {first}; {', then '.join(others)} would go on if that fails.",
        "Others may use its voices: POST /stream-audio.",
    ]


def _people(settings: Settings, agent: LoadedAgent) -> list[str]:
    """Whom callers can be handed to, and whom the agent may call."""
    names = ", ".join(each.name for each in agent.agent.destinations)
    lines = [
        f"Callers can be handed to: {names}."
        if names
        else "Callers can be handed to nobody: set TRANSFER_NUMBER, or write "
        "[[transfer.destinations]] into the agent file."
    ]
    if settings.twilio_phone_number is not None and settings.outbound_max_calls:
        prefixes = settings.outbound_prefixes or (calling_code(settings.twilio_phone_number),)
        whom = (
            "anybody" if prefixes == ANYBODY else f"numbers that begin with {', '.join(prefixes)}"
        )
        lines += [f"It may call {whom}: python -m app call +…"]
    return lines


def run_on_fast_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where there is one: it takes a fifth off the cost of a call."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop  # not to be had on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def _fail(error: BridgeError) -> NoReturn:
    """Say what is wrong, a line each, and leave."""
    for line in str(error).splitlines():
        typer.echo(line, err=True)
    raise typer.Exit(WRONG_SETTINGS)
