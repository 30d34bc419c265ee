"""The steps of `setup`, which `serve --dev` takes as well: the address, then the number."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from rich.console import Console

from app.cli.setup.before import forget, numbers_remembered, remember, remembered
from app.cli.setup.number import Choose, changes, checked_number, chosen_number
from app.cli.terminal import tell
from app.cli.tunnel import (
    INSTALL,
    NGROK_API,
    OwnTunnel,
    Tunnel,
    running_tunnels,
    start_tunnel,
    tunnel_to,
)
from app.cli.twilio_account import open_account
from app.config.settings import Settings
from app.errors import ConfigError, TwilioError
from app.wires.twilio.account import PhoneNumber, TwilioAccount, VoiceConfig, pointing_to

Agree = Callable[[str], bool]
"""Asks a question; whether the owner agrees."""

_NGROK_HOSTS = (".ngrok.app", ".ngrok.dev", ".ngrok.io", ".ngrok-free.app", ".ngrok-free.dev",
                ".ngrok.pizza", ".ngrok-free.pizza")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """Where Twilio reaches the service."""

    url: str
    #: PUBLIC_URL, ngrok that runs already, or ngrok that was started for this.
    found: str
    #: To be stopped at the end; None: nothing was started.
    tunnel: OwnTunnel | None = None


async def find_address(
    settings: Settings, terminal: Console, agree: Agree | None, *, prefers_ngrok: bool = False
) -> Address:
    """PUBLIC_URL, or the address of an ngrok that leads to PORT, or of one that is started now.

    Args:
        agree: None: ask nothing, and start ngrok if none runs.
        prefers_ngrok: one that runs now takes the place of a PUBLIC_URL of ngrok's.

    Raises:
        ConfigError: there is none, and none can be started.
    """
    tunnels = await running_tunnels(NGROK_API)
    running = tunnel_to(settings.port, tunnels)
    given = settings.public_url
    if given:
        stale = running and running != given and _is_ngroks(given)
        question = f"ngrok runs at {running}, and PUBLIC_URL is {given}. Use the former?"
        if stale and (prefers_ngrok or (agree is not None and agree(question))):
            return Address(running, "ngrok")
        if stale:
            tell(terminal, f"Warning: ngrok runs at {running}, and PUBLIC_URL is {given}.")
        _check_reachable(given, settings)
        return Address(given, "PUBLIC_URL")
    if running:
        return Address(running, "ngrok")
    if others := _leading_elsewhere(tunnels):
        raise ConfigError(
            f"ngrok runs, and leads to port {others}, not to {settings.port} of the service; "
            f"start it anew: ngrok http {settings.port}, or set PORT={others}"
        )
    question = f"No tunnel runs. Start ngrok for port {settings.port}?"
    if agree is not None and not agree(question):
        raise ConfigError(
            f"PUBLIC_URL: expected the address Twilio reaches; run ngrok http {settings.port}, or "
            "set PUBLIC_URL"
        )
    started = await start_tunnel(settings.port)
    return Address(started.url, "a tunnel that was started", started)


def _is_ngroks(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith(_NGROK_HOSTS)


def _leading_elsewhere(tunnels: list[Tunnel]) -> str:
    return ", ".join(str(each.port) for each in tunnels if each.port)


def _check_reachable(url: str, settings: Settings) -> None:
    """Twilio requests webhooks without TLS, but opens no media stream so."""
    if url.startswith("https://") or "127.0.0.1" in settings.twilio_api_base_url:
        return
    raise ConfigError(
        f"PUBLIC_URL: expected an https address, because Twilio connects media streams by wss "
        f"only, got {url}; put a proxy with TLS or a tunnel in front: {INSTALL}"
    )


# --- the number -----------------------------------------------------------------------------------


async def point_number(
    settings: Settings,
    url: str,
    terminal: Console,
    *,
    argument: str = "",
    agree: Agree | None = None,
    choose: Choose | None = None,
) -> PhoneNumber | None:
    """Point a number at the service. Returns it, or None if the owner does not agree.

    Args:
        url: where Twilio reaches the service.
        argument: the number; empty: TWILIO_PHONE_NUMBER, or the account's only one.
        agree, choose: None: ask nothing.

    Raises:
        ConfigError: it is not known which number, or the account has no such.
        TwilioError: Twilio refuses a request.
    """
    account = open_account(settings)
    try:
        number = await _number(account, settings, argument, choose)
        after = pointing_to(number.voice, url)
        await _show(account, number, after, terminal)
        if number.voice == after:
            tell(terminal, "Nothing to change.")
            return number
        if agree is not None and not agree("Change it?"):
            return None
        remember(account.account_sid, number, after)
        await _apply(account, number, after)
        tell(
            terminal,
            f"Done: calls to {number.number} come to {url}. Put back by: "
            "python -m app setup --undo",
        )
        return number
    finally:
        await account.aclose()


async def undo(
    settings: Settings,
    terminal: Console,
    *,
    argument: str = "",
    agree: Agree | None = None,
    choose: Choose | None = None,
) -> bool:
    """Put back what a number did before. False: the owner does not agree. Raises as
    `point_number` does."""
    account = open_account(settings)
    try:
        changed = numbers_remembered(account.account_sid)
        if not argument and len(changed) == 1:
            argument = changed[0]
        number = await _number(account, settings, argument, choose)
        kept = remembered(account.account_sid, number)
        if kept is None:
            raise ConfigError(
                f"setup has changed nothing of {number.number} from this directory; run --undo "
                "where setup ran"
            )
        before, ours = kept
        await _show(account, number, before, terminal)
        if number.voice not in (ours, before):
            tell(terminal, "The number was changed since setup, by other means.")
        if number.voice != before:
            if agree is not None and not agree("Put it back?"):
                return False
            await _apply(account, number, before)
        forget(account.account_sid, number)
        tell(terminal, f"Done: {number.number} is as it was before.")
        return True
    finally:
        await account.aclose()


async def _number(
    account: TwilioAccount, settings: Settings, argument: str, choose: Choose | None
) -> PhoneNumber:
    if argument:
        return await chosen_number(account, checked_number(argument), "setup", choose)
    wanted = settings.twilio_phone_number or ""
    return await chosen_number(account, wanted, "TWILIO_PHONE_NUMBER", choose)


async def _show(
    account: TwilioAccount, number: PhoneNumber, after: VoiceConfig, terminal: Console
) -> None:
    table, notes = await changes(account, number, after)
    terminal.print(table)
    for note in notes:
        tell(terminal, note)


async def _apply(account: TwilioAccount, number: PhoneNumber, voice: VoiceConfig) -> None:
    """Change the number, and see that Twilio took it."""
    changed = await account.configure(number, voice)
    if changed.voice != voice:
        differing = [
            name
            for name in ("voice_url", "status_callback", "application_sid", "trunk_sid")
            if getattr(changed.voice, name) != getattr(voice, name)
        ]
        raise TwilioError(
            f"Twilio answered, and did not change {', '.join(differing) or 'the methods'} of "
            f"{number.number}; configure it on https://console.twilio.com"
        )
