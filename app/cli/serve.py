"""`python -m app serve`: answer phone calls until a signal stops the service."""

import asyncio
import gc
import secrets
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import date
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from app.bridge.dialling_rules import ANYBODY
from app.bridge.services import Services
from app.cli.dev.reload import AgentReload
from app.cli.dev.start import console_link, has_browser, open_browser, start_dev
from app.cli.embedded_model import embedded_model
from app.cli.log import (
    close_logging,
    configure_logging,
    log_unhandled,
    reserve_standard_descriptors,
    say,
)
from app.cli.setup.command import agree as agree_at_terminal
from app.cli.setup.steps import Agree
from app.cli.terminal import WRONG_SETTINGS, console, fail
from app.config.agent.example import EXAMPLE_AGENT
from app.config.agent.file import LoadedAgent, load_agent
from app.config.phone_number import country
from app.config.settings import EMBEDDED, Settings, load_settings
from app.config.settings_warnings import settings_warnings
from app.config.shutdowns import shutdown_warnings
from app.errors import BridgeError, ConfigError
from app.main import create_app
from app.simulator.realtime import RealtimeServer
from app.web.server import Limits, Server, bind
from app.web.server.descriptors import raise_limit
from app.web.server.signals import cancel_on_signal

_LISTENS_S = 1.0  # the server listens by then
_COLLECTIONS = 100  # of the younger objects, between two of all; Python: 10


def serve(
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Address to listen on. Default: HOST, or 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on. Default: PORT, or 5050."),
    ] = None,
    dev: Annotated[
        bool,
        typer.Option(
            "--dev",
            help="For development: find or start ngrok, run setup, open the console, and read the "
            "agent file anew when it changes.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --dev: change the number without asking.")
    ] = False,
) -> None:
    """Answer phone calls until SIGTERM or Ctrl-C.

    At its start the service prints what is still missing, and the addresses to enter in Twilio's
    console. SIGTERM lets live calls end (DRAIN_SECONDS at most); Ctrl-C, or a second SIGTERM,
    hangs up at once.

    With --dev a changed agent file, or its tools, holds for the next call; one that is wrong is
    named, and calls go on with the agent of before.

    \b
    python -m app serve
    python -m app serve --dev
    python -m app serve --host 0.0.0.0 --port 8080

    Settings come from environment variables and from .env; .env.example documents each one.
    Exit status 2: a setting or the agent file is wrong.
    """
    reserve_standard_descriptors()
    try:
        if yes and not dev:
            raise ConfigError("--yes is for --dev; leave it out")
        settings = load_settings()
        settings = settings.model_copy(
            update={"host": host or settings.host, "port": port or settings.port}
        )
        has_key = settings.has_model_key
        model = settings.endpoint.model_name if has_key else EMBEDDED
        agent = load_agent(settings.agent_file, settings.transfer_number, model=model)
        embedded = None if has_key else embedded_model(agent, remembers=False)
        listener = bind(settings.host, settings.port)
        configure_logging(settings.log_level, settings.log_format)
        raise_limit()
        tunnel = None
        if dev:
            started = asyncio.run(start_dev(settings, console(), _agreement(yes)))
            settings, tunnel = started.settings, started.tunnel
        try:
            run_on_fast_loop(_serve(settings, agent, embedded, listener, dev=dev))
        finally:
            if tunnel is not None:
                tunnel.stop()
    except BridgeError as error:
        close_logging()
        fail(error, WRONG_SETTINGS)
    finally:
        close_logging()


def _agreement(yes: bool) -> Agree | None:
    """How `--dev` asks before it changes the number: without a terminal the answer is no."""
    return None if yes else agree_at_terminal


async def _serve(
    settings: Settings,
    agent: LoadedAgent,
    embedded: RealtimeServer | None,
    listener: socket.socket,
    *,
    dev: bool = False,
) -> None:
    log_unhandled(asyncio.get_running_loop())
    given = settings
    token_given = settings.api_token is not None
    if not token_given:
        settings = settings.model_copy(update={"api_token": SecretStr(secrets.token_urlsafe(24))})
    found = settings_warnings(given, agent.agent.destinations, str(agent.path))
    found += agent.warnings
    if given.has_model_key:
        model, transcription = given.endpoint.model_name, agent.agent.transcription.model
        found += shutdown_warnings(model, transcription, str(agent.path), date.today())
    warnings = [f"Warning: {each}" for each in found]
    with cancel_on_signal():
        async with AsyncExitStack() as opened:
            if embedded is not None:
                opened.push_async_callback(embedded.close)
                await embedded.start()
                settings = settings.with_embedded_model(embedded.base_url)
            services = await Services.open(settings, agent)
            # The application closes them as well, but only once its lifespan has begun.
            opened.push_async_callback(services.aclose)
            app = create_app(settings, services)
            for line in (*warnings, *startup_notes(settings, agent, token_given=token_given)):
                say(line)
            if dev:
                reload = AgentReload(settings, services, embedded, say)
                watching = asyncio.create_task(reload.watch())
                opened.push_async_callback(_cancel, watching)
                _show_console(settings)
            # Everything loaded so far lives as long as the process. Freezing it keeps garbage
            # collection from scanning it, which would delay every call by tens of milliseconds.
            gc.collect()
            gc.freeze()
            # A full collection scans what live calls hold: 36 ms with 100 calls, in which no audio
            # passes. Calls that end are freed without it, all but a few cycles, so it can be rare.
            gc.set_threshold(*gc.get_threshold()[:2], _COLLECTIONS)
            limits = Limits(idle_s=settings.keep_alive_seconds)
            await Server(app, settings.drain_seconds, limits).serve(sockets=[listener])


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _show_console(settings: Settings) -> None:
    """Open the console in the browser, or print its address. The token goes to a terminal only."""
    link = console_link(settings)
    shown = link if sys.stderr.isatty() else link.partition("#")[0]
    say(f"Console: {shown}")
    if has_browser():
        asyncio.get_running_loop().call_later(_LISTENS_S, open_browser, link)


# --- the notes at the start -----------------------------------------------------------------------


def startup_notes(settings: Settings, agent: LoadedAgent, *, token_given: bool) -> list[str]:
    """What the owner of the service needs to know and do next, line by line.

    `token_given`: API_TOKEN was set; otherwise the notes show the generated token.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    local = f"http://{host}:{settings.port}"
    if settings.openai_realtime_model == EMBEDDED:
        lines = [
            f"{agent.agent.name} answers on {local} with the embedded model, because "
            "OPENAI_API_KEY is not set.",
            f"It understands the phrases of [demo] in {agent.path}, and nothing else."
            if agent.demo.lines
            else f"It knows a few phrases only: {agent.path} has no [[demo.lines]]; "
            f"{EXAMPLE_AGENT} shows some.",
            "For the real model put a key from https://platform.openai.com/api-keys into .env",
        ]
    else:
        lines = [f"{agent.agent.name} answers on {local} with {settings.openai_realtime_model}."]
    if settings.twilio_auth_token is None:
        lines += [
            "No phone calls yet: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN "
            "(https://console.twilio.com, Account info) in .env, and start again."
        ]
    lines += [*_voice_notes(agent), *_people_notes(settings, agent)]
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
        "python -m app setup enters them for you; python -m app doctor says what is wrong.",
    ]
    page = local.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    if settings.api_token is not None and not token_given:
        token = settings.api_token.get_secret_value()
        lines += [
            f"API_TOKEN is not set; this token is valid until the next start: {token}",
            f"  curl -H 'Authorization: Bearer {token}' {local}/calls",
            f"The console, with this token: {page}/#token={token}",
        ]
    else:
        lines += [f"The console: {page}/ (sign in with API_TOKEN)"]
    return lines


def _voice_notes(agent: LoadedAgent) -> list[str]:
    """Which external voice speaks, and which ones take over if it fails."""
    first, *others = agent.agent.voices or ("",)
    if not first:
        return []
    others = [*others, "the model's own voice"]
    return [
        f"It speaks as {first}; if that fails, {', then '.join(others)} takes over.",
        "Other programs can use its voices: POST /stream-audio.",
    ]


def _people_notes(settings: Settings, agent: LoadedAgent) -> list[str]:
    """The transfer destinations, and the numbers that the agent may call."""
    names = ", ".join(each.name for each in agent.agent.destinations)
    lines = [
        f"Callers can be transferred to: {names}."
        if names
        else "Phone calls cannot be transferred to a human: set TRANSFER_NUMBER, or write "
        "[[transfer.destinations]] into the agent file."
    ]
    if settings.twilio_phone_number is not None and settings.outbound_max_calls:
        prefixes = settings.outbound_prefixes
        if not prefixes:
            allowed = f"numbers of its own country ({country(settings.twilio_phone_number)})"
        elif prefixes == ANYBODY:
            allowed = "any number"
        else:
            allowed = f"numbers that begin with {', '.join(prefixes)}"
        lines += [f"It may call {allowed}: python -m app call +…"]
    return lines


def run_on_fast_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop where there is one: it saves a fifth of the cost of a call."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop  # not available on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)
