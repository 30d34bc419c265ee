"""Twilio's error codes that owners meet, explained by the list in twilio_errors.toml."""

import tomllib
from functools import cache
from pathlib import Path

from app.wires.form import Form

_LIST = Path(__file__).with_name("twilio_errors.toml")


class TwilioErrorCode(Form):
    """What a code means."""

    #: What happened, for a sentence that begins with the code.
    means: str
    #: What the owner does about it.
    fix: str


@cache
def load_twilio_errors() -> dict[int, TwilioErrorCode]:
    """The list that belongs to this version, by code."""
    listed = tomllib.loads(_LIST.read_text(encoding="utf-8"))
    return {int(code): TwilioErrorCode.model_validate(entry) for code, entry in listed.items()}


def explained(code: int) -> TwilioErrorCode:
    """What a code means. One that is not on the list refers to Twilio's page."""
    page = f"https://www.twilio.com/docs/api/errors/{code}"
    unknown = TwilioErrorCode(means="an error of Twilio's", fix=f"see {page}")
    return load_twilio_errors().get(code, unknown)
