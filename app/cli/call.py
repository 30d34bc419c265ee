"""`python -m app call`: the running service calls somebody, and the terminal shows how it goes."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import aiohttp
import typer
from rich.console import Console

from app.cli.call_screen import Screen
from app.config.settings import load_settings
from app.errors import BridgeError
from app.records.visible import visible
from app.wires.twilio.call import TERMINAL

NOT_REACHED, WRONG_SETTINGS, STOPPED = 1, 2, 130
PLACE_S = 30.0  # the service tries for 20 s at most to have the call placed
LOOK_S = 10.0
MOST_FAILED_LOOKS = 30  # one after the other; a record may come a moment after its call
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}


class ServiceError(BridgeError):
    """The service did not do what it was asked. `status`: that the command ends with."""

    def __init__(self, message: str, status: int = NOT_REACHED) -> None:
        super().__init__(message)
        self.status = status


def call(
    to: Annotated[
        str, typer.Argument(metavar="NUMBER", help="Whom to call, such as +14155550123.")
    ],
    context: Annotated[
        str, typer.Option(metavar="TEXT", help="What the agent has to know about this call.")
    ] = "",
    greeting: Annotated[str, typer.Option(metavar="TEXT", help="What the agent says first.")] = "",
    voicemail: Annotated[
        str, typer.Option(metavar="TEXT", help="What is said after an answering machine's beep.")
    ] = "",
    url: Annotated[
        str | None, typer.Option(help="Where the service runs, in place of HOST and PORT.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="The service's token, in place of API_TOKEN.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show how the call goes until it is over.")
    ] = True,
) -> None:
    """Call somebody, and show how it goes.

    The service has to run: python -m app serve. Status 0: they answered; 1: they did not.
    """
    screen = Screen(Console(highlight=False))
    order = {"to": re.sub(r"[ ().-]", "", to)}
    told = {"context": context, "greeting": greeting, "voicemail": voicemail}
    order |= {name: text for name, text in told.items() if text}
    service: Service | None = None
    try:
        service = service_at(url, token)
        reached = asyncio.run(place_and_watch(service, order, screen, wait=wait))
    except KeyboardInterrupt:
        screen.stopped(service.url if service else "")
        raise typer.Exit(STOPPED) from None
    except ServiceError as error:
        _fail(error, error.status)
    except BridgeError as error:
        _fail(error, WRONG_SETTINGS)
    raise typer.Exit(0 if reached else NOT_REACHED)


def _fail(error: BridgeError, status: int) -> NoReturn:
    for line in str(error).splitlines():
        typer.echo(visible(line), err=True)
    raise typer.Exit(status) from None


async def place_and_watch(
    service: "Service",
    order: Mapping[str, str],
    screen: Screen,
    *,
    wait: bool = True,
    look_every_s: float = 1.0,
) -> bool:
    """Have a call placed, and show it until it is over. Returns whether somebody answered; without
    `wait`, whether it was placed.

    Raises:
        ServiceError: it was not, or the service can no longer tell.
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
            return await _watch(service, call_sid, screen, look_every_s) == "completed"


async def _watch(service: "Service", call_sid: str, screen: Screen, look_every_s: float) -> str:
    failed, over = 0, False
    while True:
        try:
            record = await service.ask("GET", f"/calls/{quote(call_sid, safe='')}", within_s=LOOK_S)
        except ServiceError as error:
            failed += 1
            if failed > MOST_FAILED_LOOKS or error.status == WRONG_SETTINGS and failed > 3:
                raise ServiceError(f"{error}\nThe call may go on: python -m app calls") from None
        else:
            failed = 0
            status = str(record.get("status"))
            # The last words are written a moment after the end.
            screen.show(record, last=over)
            if over:
                return status
            over = status in TERMINAL
        await asyncio.sleep(look_every_s)


# --- the service ----------------------------------------------------------------------------------


def service_at(url: str | None, token: str | None) -> "Service":
    """The service that runs here, by the settings, or elsewhere.

    Raises:
        ConfigError: the settings are wrong.
        ServiceError: there is no token.
    """
    if url is None or token is None:
        settings = load_settings()
        url = url or f"http://{_ANYWHERE.get(settings.host, settings.host)}:{settings.port}"
        if token is None and settings.api_token is not None:
            token = settings.api_token.get_secret_value()
    if not token:
        raise ServiceError(
            "API_TOKEN is empty; set it in .env for the service and for this, or give the one that "
            "the service printed at its start with --token",
            WRONG_SETTINGS,
        )
    return Service(url, token)


class Service:
    """A running service's HTTP API; use it with `async with`."""

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
        """The JSON object that it answers.

        Raises:
            ServiceError: it refuses, or there is no answer.
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
                f"the service at {self.url} has another API_TOKEN; set API_TOKEN here to the same, "
                "or give it with --token",
                WRONG_SETTINGS,
            )
        if said is None:
            raise self.not_this_service()
        if status >= HTTPStatus.BAD_REQUEST:
            raise ServiceError(str(said.get("detail") or f"the service answered {status}"))
        return said

    def not_this_service(self) -> ServiceError:
        """What answers is something else."""
        return ServiceError(f"what answers at {self.url} is not this service; check --url and PORT")


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any] | None:
    try:
        said = await answer.json(content_type=None)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
