"""What a call costs in money, by the prices of a file: `load_prices` and `Prices.of`."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from app.call.usage import Usage
from app.config.toml_lines import KeyPath, read_toml, shown
from app.errors import ConfigError
from app.wires.form import Form
from app.wires.voices.providers import priced_characters

BUILT_IN_PRICES = Path(__file__).with_name("prices.toml")

_PER_TOKENS = Decimal(1_000_000)
_SMALLEST = Decimal("0.000001")  # of a dollar; what an amount is rounded to
_SNAPSHOT = re.compile(r"(-\d{4}-\d{2}-\d{2})?")
_HIGHEST = 1_000_000  # dollars; more is a typing mistake

_Price = TypeVar("_Price")


def _decimal(value: object) -> object:
    return Decimal(value) if type(value) is int else value


Dollars = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, le=_HIGHEST)]


class ModelPrices(Form):
    """Dollars per 1M tokens, by the names of `Usage`."""

    input_text: Dollars
    input_audio: Dollars
    input_text_cached: Dollars
    input_audio_cached: Dollars
    output_text: Dollars
    output_audio: Dollars


class LinePrices(Form):
    """Dollars per started minute of a call at Twilio."""

    inbound: Dollars
    outbound: Dollars
    media_stream: Dollars


class Prices(Form):
    """A file of prices, in US dollars."""

    #: The day on which the prices were looked up.
    as_of: date
    currency: Literal["USD"] = "USD"
    #: By the model's name.
    models: dict[str, ModelPrices]
    #: Dollars per minute of audio, by the model's name.
    transcription: dict[str, Dollars]
    #: Dollars per 10,000 characters (`Provider.priced_characters`), by an external voice's label or
    #: by its provider.
    voices: dict[str, Dollars] = {}
    line: LinePrices

    def of(
        self,
        usage: Usage,
        *,
        model: str,
        seconds: float,
        direction: str,
        transcription: str = "",
        transcribed_seconds: float | None = None,
        voice: str = "",
        dialed_seconds: Sequence[float | None] = (),
    ) -> dict[str, Any]:
        """The cost of a call, ready for JSON: amounts in dollars, rounded to a millionth.

        A part whose price or measure is unknown is None, and `unknown` lists it; `total` is None
        then too, because the sum of the other parts would be too small.

        Args:
            model: the model's name, with or without the date of a snapshot.
            seconds: how long the call was connected. Each started minute counts; 0 costs nothing.
            direction: inbound, outbound-api, outbound-dial; or softphone, whose line costs
                nothing.
            transcription: the model that transcribed the caller; empty: the result has no such
                part.
            transcribed_seconds: how much audio was transcribed; None: unknown.
            voice: the label of the external voice that spoke.
            dialed_seconds: how long each callee of a transfer was connected; None: unknown.
        """
        parts = {"model": self._model(usage, model), "line": self._line(seconds, direction)}
        if transcription:
            parts["transcription"] = self._transcription(transcription, transcribed_seconds)
        if usage.voice_characters:
            parts["voice"] = self._voice(usage, voice)
        if dialed_seconds:
            parts["transfer"] = self._dialed(dialed_seconds)
        rounded = {
            name: None if amount is None else amount.quantize(_SMALLEST)
            for name, amount in parts.items()
        }
        known = [amount for amount in rounded.values() if amount is not None]
        unknown = [name for name, amount in rounded.items() if amount is None]
        return {
            "currency": "USD",
            **{
                name: amount if amount is None else float(amount)
                for name, amount in rounded.items()
            },
            "total": None if unknown else float(sum(known)),
            "as_of": self.as_of.isoformat(),
            "unknown": unknown,
        }

    def _model(self, usage: Usage, model: str) -> Decimal | None:
        price = _named(model, self.models)
        if price is None:
            return None
        # Cached tokens are counted among the input ones, but cost less.
        new_text = max(0, usage.input_text - usage.input_text_cached)
        new_audio = max(0, usage.input_audio - usage.input_audio_cached)
        amount = (
            new_text * price.input_text
            + usage.input_text_cached * price.input_text_cached
            + new_audio * price.input_audio
            + usage.input_audio_cached * price.input_audio_cached
            + usage.output_text * price.output_text
            + usage.output_audio * price.output_audio
        )
        return amount / _PER_TOKENS

    def _line(self, seconds: float, direction: str) -> Decimal | None:
        if direction == "softphone":
            return Decimal(0)
        way = direction.partition("-")[0]
        if way not in ("inbound", "outbound"):
            return None
        # https://support.twilio.com/hc/en-us/articles/223132307: 1 min 20 s of a call, and of its
        # media stream, are billed as 2 minutes.
        started_minutes = math.ceil(max(0.0, seconds) / 60)
        price = self.line.inbound if way == "inbound" else self.line.outbound
        return started_minutes * (price + self.line.media_stream)

    def _dialed(self, dialed_seconds: Sequence[float | None]) -> Decimal | None:
        minutes = Decimal(0)
        for seconds in dialed_seconds:
            if seconds is None:
                return None
            minutes += math.ceil(max(0.0, seconds) / 60)
        return minutes * self.line.outbound

    def _voice(self, usage: Usage, label: str) -> Decimal | None:
        price = self.voices.get(label, self.voices.get(label.partition("/")[0]))
        if price is None or usage.fallback_characters:  # the fallbacks have other prices
            return None
        return price * usage.voice_characters / priced_characters(label)

    def _transcription(self, model: str, seconds: float | None) -> Decimal | None:
        price = _named(model, self.transcription)
        if price is None or seconds is None:
            return None
        return price * Decimal(str(max(0.0, seconds))) / 60


def load_prices(path: Path | None) -> Prices:
    """The built-in prices, and over them those of the file at `path`.

    Raises:
        ConfigError: one line per fault, `file:line: key: what is expected, what was found`.
    """
    built_in, lines = read_toml(BUILT_IN_PRICES, parse_float=Decimal)
    if path is None:
        return _validated(BUILT_IN_PRICES, built_in, lines)
    try:
        own, lines = read_toml(path, parse_float=Decimal)
    except OSError as error:
        raise ConfigError(
            f"PRICES_FILE: cannot read {path}: {error.strerror}; set it to a TOML file of prices, "
            "or leave it out for the built-in ones"
        ) from None
    return _validated(path, _merged(built_in, own), lines)


def _named(name: str, prices: Mapping[str, _Price]) -> _Price | None:
    """The price of a model, by its whole name or by its name without the date of a snapshot.

    No shorter prefix counts: gpt-realtime-2.1-mini does not cost what gpt-realtime-2.1 costs.
    """
    for known in sorted(prices, key=len, reverse=True):
        if name.startswith(known) and _SNAPSHOT.fullmatch(name, len(known)):
            return prices[known]
    return None


# --- the file -------------------------------------------------------------------------------------

_TABLES: dict[str, type[Form]] = {"models": ModelPrices, "line": LinePrices}
_PER_MINUTE = f"a price per minute from 0 to {_HIGHEST}"
_EXPECTED = {
    "as_of": "a day such as 2026-11-21",
    "currency": "'USD', which all prices are in",
    "models": f"a price per 1M tokens from 0 to {_HIGHEST}",
    "transcription": _PER_MINUTE,
    "voices": f"a price per 10,000 characters from 0 to {_HIGHEST}",
    "line": _PER_MINUTE,
}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two files as one. What both have is the one above's; tables are merged key by key."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _validated(path: Path, data: Mapping[str, Any], lines: Mapping[KeyPath, int]) -> Prices:
    try:
        return Prices.model_validate(data)
    except ValidationError as error:
        found = [(_line(place, lines), place, said) for place, said in _faults(error.errors())]
    faults = [(line, f"{_key(place)}: {said}") for line, place, said in found]
    raise ConfigError(*(f"{path}:{line}: {said}" for line, said in sorted(faults)))


def _faults(errors: Sequence[ErrorDetails]) -> Iterator[tuple[KeyPath, str]]:
    """Each fault in words, with its place in the file. Keys that a table lacks are one fault."""
    missing: dict[KeyPath, list[str]] = {}
    for error in errors:
        place = tuple(map(str, error["loc"]))
        match error["type"]:
            case "missing":
                missing.setdefault(place[:-1], []).append(place[-1])
            case "extra_forbidden":
                known = _TABLES.get(place[0], Prices).model_fields
                yield place, f"unknown key; known here: {', '.join(known)}"
            case "model_type" | "dict_type":
                yield place, f"expected a table, got {shown(error['input'])}"
            case _:
                yield place, f"expected {_EXPECTED[place[0]]}, got {shown(error['input'])}"
    for place, keys in missing.items():
        yield place, f"missing; expected {', '.join(keys)}"


def _line(place: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """The line of a key, or of the table that it is missing from."""
    within = (place[:length] for length in range(len(place), 0, -1))
    return next((lines[path] for path in within if path in lines), 1)


def _key(place: KeyPath) -> str:
    return ".".join(f'"{part}"' if "." in part else part for part in place)
