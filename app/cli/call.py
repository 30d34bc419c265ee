"""`python -m app call`: the running service places a call, and the terminal follows it."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import aiohttp
import typer
from rich.console import Console

from app.cli.call_screen import Screen
from app.cli.terminal import WRONG_SETTINGS, fail
from app.config.settings import load_settings
from app.errors import BridgeError
from app.wires.twilio.call import TERMINAL

NOT_REACHED, STOPPED = 1, 130
PLACE_S = 30.0  # the service itself tries for 20 s at most
POLL_S = 10.0
MOST_FAILED_POLLS = 30  # in a row; a call's record may be written a moment after the call begins
# The address to connect to, for a service that listens on all interfaces.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}


class ServiceError(BridgeError):
    """The service cannot be reached, or refused the request.

    `status`: the exit status of the command.
    """

    def __init__(self, message: str, status: int = NOT_REACHED) -> None:
        super().__init__(message)
        self.status = status


def call(
    to: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The number to call, such as +14155550123.")
    ],
    context: Annotated[
        str, typer.Option(metavar="TEXT", help="What the agent should know about this call.")
    ] = "",
    greeting: Annotated[
        str,
        typer.Option(metavar="TEXT", help="What the agent says first. Default: the agent file's."),
    ] = "",
    voicemail: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="The message after an answering machine's beep. Default: the agent file's.",
        ),
    ] = "",
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The service's address. Default: from HOST and PORT."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="The service's token. Default: API_TOKEN.")
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="Follow the call to its end, or print its SID and leave."
        ),
    ] = True,
) -> None:
    """Place a call, and follow it: its status, and what both sides say.

    The service has to be running (python -m app serve), with a Twilio account and
    TWILIO_PHONE_NUMBER. Ctrl-C stops following; the call goes on.

    \b
    python -m app call +14155550123
    python -m app call +14155550123 --context "Ask for her order number."

    Exit status 0: the call was answered (with --no-wait: placed); 1: it was not, or the service
    refused; 2: a setting is wrong, or the service cannot be reached; 130: Ctrl-C.
    """
    screen = Screen(Console(highlight=False))
    order = {"to": re.sub(r"[ ().-]", "", to)}
    texts = {"context": context, "greeting": greeting, "voicemail": voicemail}
    order |= {name: text for name, text in texts.items() if text}
    service: Service | None = None
    try:
        service = service_at(url, token)
        reached = asyncio.run(place_and_watch(service, order, screen, wait=wait))
    except KeyboardInterrupt:
        screen.stopped(service.url if service else "")
        raise typer.Exit(STOPPED) from None
    except ServiceError as error:
        fail(error, error.status)
    except BridgeError as error:
        fail(error, WRONG_SETTINGS)
    raise typer.Exit(0 if reached else NOT_REACHED)


async def place_and_watch(
    service: "Service",
    order: Mapping[str, str],
    screen: Screen,
    *,
    wait: bool = True,
    poll_every_s: float = 1.0,
) -> bool:
    """Place a call through the service, and show it until it is over.

    `order`: the body of `POST /calls`. Returns whether the call was answered and completed; without
    `wait`, True as soon as it is placed.

    Raises:
        ServiceError: the call was not placed, or its record can no longer be read.
    """
    async with service:
        placed = await service.ask("POST", "/calls", order, within_s=PLACE_S)
        call_sid = placed.get("call_sid")
        if not isinstance(call_sid, str):
            raise service.not_this_service()
        screen.placed(call_sid, order["to"])
        if not wait:
            return True
        with screen.watching():
            return await _watch(service, call_sid, screen, poll_every_s) == "completed"


async def _watch(service: "Service", call_sid: str, screen: Screen, poll_every_s: float) -> str:
    failed, over = 0, False
    while True:
        try:
            record = await service.ask("GET", f"/calls/{quote(call_sid, safe='')}", within_s=POLL_S)
        except ServiceError as error:
            failed += 1
            if failed > MOST_FAILED_POLLS or error.status == WRONG_SETTINGS and failed > 3:
                raise ServiceError(f"{error}\nThe call may go on: python -m app calls") from None
        else:
            failed = 0
            status = str(record.get("status"))
            # The last turns are written a moment after the call ends: read the record once more.
            screen.show(record, last=over)
            if over:
                return status
            over = status in TERMINAL
        await asyncio.sleep(poll_every_s)


# --- the service ----------------------------------------------------------------------------------


def service_at(url: str | None, token: str | None) -> "Service":
    """The service at `url` with `token`; what is not given comes from the settings.

    Raises:
        ConfigError: the settings are wrong.
        ServiceError: there is no token.
    """
    if url is None or token is None:
        settings = load_settings()
        url = url or f"http://{_LOOPBACK.get(settings.host, settings.host)}:{settings.port}"
        if token is None and settings.api_token is not None:
            token = settings.api_token.get_secret_value()
    if not token:
        raise ServiceError(
            "API_TOKEN is empty; set it in .env for the service and this command, or give --token "
            "the token that the service printed at its start",
            WRONG_SETTINGS,
        )
    return Service(url, token)


class Service:
    """A client of a running service's HTTP API. Use it in `async with`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> "Service":
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._token}"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None, *, within_s: float
    ) -> dict[str, Any]:
        """Send a request; returns the JSON object of the answer.

        Raises:
            ServiceError: the service refused, or did not answer within `within_s` seconds.
        """
        try:
            async with self._session.request(
                method,
                f"{self.url}{path}",
                json=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=within_s),
            ) as answer:
                status, said = answer.status, await _json(answer)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise ServiceError(
                f"{self.url}: expected an address such as http://127.0.0.1:5050", WRONG_SETTINGS
            ) from None
        except aiohttp.ClientConnectorError:
            raise ServiceError(
                f"nothing answers at {self.url}; start it with: python -m app serve",
                WRONG_SETTINGS,
            ) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            lost = type(error).__name__
            raise ServiceError(
                f"no answer came from {self.url} ({lost}); look at its log"
            ) from None
        if status == HTTPStatus.UNAUTHORIZED:
            raise ServiceError(
                f"the service at {self.url} has another API_TOKEN; set the same one here, or pass "
                "it with --token",
                WRONG_SETTINGS,
            )
        if said is None:
            raise self.not_this_service()
        if status >= HTTPStatus.BAD_REQUEST:
            raise ServiceError(str(said.get("detail") or f"the service answered {status}"))
        return said

    def not_this_service(self) -> ServiceError:
        """The error for an answer that this service would not give."""
        return ServiceError(f"what answers at {self.url} is not this service; check --url and PORT")


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any] | None:
    try:
        said = await answer.json(content_type=None)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
