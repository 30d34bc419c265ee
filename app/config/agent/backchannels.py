"""What listeners say without meaning to interrupt, in many languages: `backchannels.toml`."""

import tomllib
from functools import cache
from importlib.resources import files


@cache
def _by_language() -> dict[str, list[str]]:
    text = files("app.config.agent").joinpath("backchannels.toml").read_text("utf-8")
    known: dict[str, list[str]] = tomllib.loads(text)
    return known


def known_backchannels(language: str) -> list[str]:
    """The backchannels of a language, as people write them. `language`: ISO 639-1 code, such as
    `de` or `pt-BR`; an unknown one has those that all languages share."""
    known = _by_language()
    return known["any"] + known.get(language.partition("-")[0].lower(), [])
