"""The command: asks for what is missing, finds the address, and configures the number."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from app.cli.setup.env_file import cleaned, is_inherited, known, masked, write
from app.cli.setup.number import Choose
from app.cli.setup.steps import Address, Agree, find_address, point_number, undo
from app.cli.terminal import WRONG_SETTINGS, console, fail, tell
from app.cli.twilio_account import require_account
from app.config.settings import Settings, load_settings
from app.errors import BridgeError, ConfigError, TwilioError
from app.web.server.signals import cancel_on_signal
from app.wires.twilio.account import PhoneNumber

NOT_DONE = 1


@dataclass(frozen=True, slots=True)
class _Question:
    """A setting that is asked for."""

    name: str
    #: Where the owner finds it.
    where: str
    is_secret: bool = True
    is_needed: bool = True


_CREDENTIALS = (
    _Question("TWILIO_ACCOUNT_SID", "https://console.twilio.com, Account info", is_secret=False),
    _Question("TWILIO_AUTH_TOKEN", "https://console.twilio.com, Account info"),
)
_MODEL_KEY = _Question(
    "OPENAI_API_KEY",
    "https://platform.openai.com/api-keys; blank: the embedded model answers",
    is_needed=False,
)


def setup(
    number: Annotated[
        str | None,
        typer.Argument(
            metavar="[+1…]",
            show_default=False,
            help="The number. Default: TWILIO_PHONE_NUMBER, or the account's only one.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing, and do it.")] = False,
    undo_: Annotated[
        bool, typer.Option("--undo", help="Put back what the number did before.")
    ] = False,
) -> None:
    """Point your Twilio number at this service.

    It asks for the credentials that are missing and writes them into .env, finds the public address
    (PUBLIC_URL, or ngrok, which it starts if none runs), shows the number's webhooks before and
    after, and sets them. It takes a number out of an application or a SIP trunk that would get its
    calls.

    \b
    python -m app setup
    python -m app setup +14155550100 --yes
    python -m app setup --undo

    Exit status 0: it is done, or nothing was to be done; 1: you did not agree, or Twilio refused;
    2: a setting or the number is wrong.
    """
    terminal = console()
    argument = number or ""
    agreement = None if yes else agree
    choose = None if yes else _choose
    try:
        if not yes:
            _ask_for_missing(terminal, with_model=not undo_)
        settings = load_settings()
        if undo_:
            done = asyncio.run(
                undo(settings, terminal, argument=argument, agree=agreement, choose=choose)
            )
        else:
            done = asyncio.run(_point(settings, terminal, argument, agreement, choose))
    except TwilioError as error:
        fail(error, NOT_DONE)
    except BridgeError as error:
        fail(error, WRONG_SETTINGS)
    except KeyboardInterrupt:
        raise typer.Exit(NOT_DONE) from None
    if not done:
        tell(terminal, "Nothing was changed.")
        raise typer.Exit(NOT_DONE)


async def _point(
    settings: Settings, terminal: Console, argument: str, agree: Agree | None, choose: Choose | None
) -> bool:
    require_account(settings)
    address = await find_address(settings, terminal, agree)
    try:
        tell(terminal, f"The service is reached at {address.url} ({address.found}).")
        number = await point_number(
            settings, address.url, terminal, argument=argument, agree=agree, choose=choose
        )
        if number is None:
            return False
        _keep(settings, address, number, terminal)
        if address.tunnel is not None:
            with cancel_on_signal():
                tell(
                    terminal,
                    "The tunnel is open until Ctrl-C. In another terminal: python -m app serve",
                )
                await asyncio.get_running_loop().create_future()
        return True
    finally:
        if address.tunnel is not None:
            address.tunnel.stop()


def _keep(settings: Settings, address: Address, number: PhoneNumber, terminal: Console) -> None:
    """Write down what the service needs to know and no setting says."""
    found = {}
    if address.found == "ngrok" and address.url != settings.public_url:
        found["PUBLIC_URL"] = address.url
    if settings.twilio_phone_number is None:
        found["TWILIO_PHONE_NUMBER"] = number.number
    for name in [each for each in found if is_inherited(each)]:
        tell(terminal, f"The environment sets {name}: change it to {found.pop(name)}")
    if found:
        write(found)
        said = ", ".join(f"{name}={value}" for name, value in found.items())
        tell(terminal, f"Written into .env: {said}")


# --- questions ------------------------------------------------------------------------------------


def _ask_for_missing(terminal: Console, *, with_model: bool) -> None:
    """Ask for the credentials that are not set, and write them into `.env`.

    Raises:
        ConfigError: there is no answer.
    """
    missing = [each for each in _CREDENTIALS if not known(each.name)]
    if not missing:
        return
    if with_model and not known(_MODEL_KEY.name) and not known("OPENAI_API_HEADERS"):
        missing.append(_MODEL_KEY)
    answers = {each.name: answer for each in missing if (answer := _answer(each))}
    secrets = {each.name for each in missing if each.is_secret}
    tell(terminal, "To be written into .env, which only you can read:")
    for name, value in answers.items():
        shown = masked(value) if name in secrets else value
        tell(terminal, f"  {name}={shown}")
    if not agree("Write them?"):
        raise typer.Exit(NOT_DONE)
    write(answers)


def _answer(question: _Question) -> str:
    """The value that the owner gives; empty: none, if none is needed."""
    hidden = question.is_secret and sys.stdin.isatty()
    while True:
        try:
            given = typer.prompt(
                f"{question.name} ({question.where})",
                default="" if not question.is_needed else None,
                show_default=False,
                hide_input=hidden,
                err=True,
            )
        except typer.Abort:
            raise ConfigError(
                f"{question.name}: expected a value; put it into .env, from {question.where}"
            ) from None
        try:
            return cleaned(str(given))
        except ConfigError as error:
            typer.echo(f"{question.name}: {error}", err=True)


def agree(question: str) -> bool:
    """Ask; no answer counts as no."""
    try:
        return typer.confirm(question, default=True, err=True)
    except typer.Abort:
        typer.echo("\nThere is no terminal to ask at: --yes does it without.", err=True)
        return False


def _choose(numbers: list[PhoneNumber]) -> PhoneNumber:
    """Ask which number is meant."""
    for place, each in enumerate(numbers, start=1):
        name = "" if each.name == each.number else f"  {each.name}"
        typer.echo(f"  {place}  {each.number}{name}", err=True)
    while True:
        try:
            question = "Which number shall the agent answer?"
            given = int(typer.prompt(question, type=int, err=True))
        except typer.Abort:
            raise ConfigError(
                f"the account has {len(numbers)} numbers; name one, as in "
                f"python -m app setup {numbers[0].number}"
            ) from None
        if 1 <= given <= len(numbers):
            return numbers[given - 1]
