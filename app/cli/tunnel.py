"""The tunnel through which Twilio reaches a machine without a public address: ngrok.

ngrok: agent API, `GET /api/tunnels`, on a port of the machine.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from app.errors import ConfigError

NGROK_API = "http://127.0.0.1:4040/api/tunnels"
_DEADLINE_S = 2.0
INSTALL = "pip install 'phone-agent-bridge[tunnel]'"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel that runs."""

    #: Its https address.
    url: str
    #: The port of this machine that it leads to; 0: unknown.
    port: int


async def running_tunnels(api: str = NGROK_API) -> list[Tunnel]:
    """The https tunnels of an ngrok that runs on this machine; empty: none runs."""
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(api) as answer:
            body = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return []
    listed = body.get("tunnels") if isinstance(body, dict) else None
    found = [_tunnel(each) for each in listed] if isinstance(listed, list) else []
    return [each for each in found if each is not None]


def tunnel_to(port: int, tunnels: list[Tunnel]) -> str:
    """The address of the tunnel that leads to a port; empty: there is none."""
    return next((each.url for each in tunnels if each.port == port), "")


def _tunnel(listed: Any) -> Tunnel | None:
    if not isinstance(listed, dict):
        return None
    url, config = listed.get("public_url"), listed.get("config")
    if not isinstance(url, str) or not url.startswith("https://"):
        return None
    address = config.get("addr") if isinstance(config, dict) else None
    return Tunnel(url.rstrip("/"), _port(address) if isinstance(address, str) else 0)


def _port(address: str) -> int:
    """The port of `http://localhost:5050`, `localhost:5050` or `5050`."""
    if address.isdecimal():
        return int(address)
    try:
        return urlsplit(address if "//" in address else f"//{address}").port or 80
    except ValueError:
        return 0


class OwnTunnel:
    """A tunnel that this process starts. Call `stop` at the end."""

    def __init__(self, url: str, stop: Callable[[], None]) -> None:
        self.url = url
        self.stop = stop


async def start_tunnel(port: int) -> OwnTunnel:
    """Start ngrok for a port, by `pyngrok`, which downloads ngrok when it is not installed.

    Raises:
        ConfigError: pyngrok is not installed, or ngrok does not start.
    """
    try:
        from pyngrok import ngrok
        from pyngrok.exception import PyngrokError
    except ImportError:
        raise ConfigError(
            f"no tunnel runs, and pyngrok is not installed; start one: ngrok http {port}. "
            f"Or install it: {INSTALL}"
        ) from None
    try:
        started = await asyncio.to_thread(ngrok.connect, str(port), "http")
    except PyngrokError as error:
        code = getattr(error, "ngrok_error_code", None)
        words = " ".join(str(getattr(error, "ngrok_error", None) or error).split())[:300]
        fix = (
            "put the token of https://dashboard.ngrok.com/get-started/your-authtoken into ngrok: "
            "ngrok config add-authtoken TOKEN"
            if code in ("ERR_NGROK_4018", "ERR_NGROK_105", "ERR_NGROK_107")
            else f"start it by hand to see why: ngrok http {port}"
        )
        raise ConfigError(f"ngrok does not start: {words}; {fix}") from None
    return OwnTunnel(str(started.public_url).replace("http://", "https://", 1), ngrok.kill)
