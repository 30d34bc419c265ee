"""What `serve --dev` does before it answers calls: the tunnel, the number, and the console."""

import os
import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console

from app.cli.setup.steps import Agree, find_address, point_number
from app.cli.terminal import tell
from app.cli.tunnel import OwnTunnel
from app.config.settings import Settings
from app.errors import BridgeError


@dataclass(frozen=True, slots=True)
class DevStart:
    """What was found and started."""

    settings: Settings
    #: To be stopped at the end; None: nothing was started.
    tunnel: OwnTunnel | None = None


async def start_dev(settings: Settings, terminal: Console, agree: Agree | None) -> DevStart:
    """Find or start the tunnel, and point the number at it. What fails is said, and the service
    starts all the same: then it can be called over the console.

    `agree`: asks before the number is changed; None: change it.
    """
    if settings.twilio_auth_token is None:
        tell(terminal, "No Twilio account is set, so no number is configured.")
        return DevStart(settings)
    try:
        address = await find_address(settings, terminal, None, prefers_ngrok=True)
    except BridgeError as error:
        tell(terminal, f"Warning: {error}")
        return DevStart(settings)
    settings = settings.model_copy(update={"public_url": address.url})
    tell(terminal, f"The service is reached at {address.url} ({address.found}).")
    try:
        number = await point_number(settings, address.url, terminal, agree=agree)
    except BridgeError as error:
        tell(terminal, f"Warning: the number is not configured: {error}")
        return DevStart(settings, address.tunnel)
    except BaseException:
        if address.tunnel is not None:
            address.tunnel.stop()
        raise
    if number is not None and settings.twilio_phone_number is None:
        settings = settings.model_copy(update={"twilio_phone_number": number.number})
    return DevStart(settings, address.tunnel)


def console_link(settings: Settings) -> str:
    """The console's address, with the token that signs in."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    token = settings.api_token.get_secret_value() if settings.api_token is not None else ""
    return f"http://{host}:{settings.port}/" + (f"#token={token}" if token else "")


def has_browser() -> bool:
    """Whether this machine has a screen, at which the command was started."""
    if not sys.stderr.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    with suppress(webbrowser.Error):
        return webbrowser.get() is not None
    return False


def open_browser(link: str) -> None:
    """Open a page; one that does not open is no fault."""
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(link)
