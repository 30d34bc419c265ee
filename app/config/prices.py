"""What a call costs in money, by the prices of a file: `load_prices` and `Prices.of`."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from app.call.usage import Usage
from app.config.toml_lines import KeyPath, read_toml, shown
from app.errors import ConfigError

BUILT_IN_PRICES = Path(__file__).with_name("prices.toml")

_TOKENS = tuple(each.name for each in fields(Usage) if each.name.startswith(("input_", "output_")))
_LINE = ("inbound", "outbound", "media_stream")
_PER_TOKENS = Decimal(1_000_000)
_PER_CHARACTERS_PRICED = Decimal(10_000)
_SMALLEST = Decimal("0.000001")  # of a dollar; what an amount is rounded to
_SNAPSHOT = re.compile(r"(-\d{4}-\d{2}-\d{2})?")
_HIGHEST = 1_000_000  # dollars; far more is a slip of the pen
_PER_MILLION = f"a price per 1M tokens from 0 to {_HIGHEST}"
_PER_MINUTE = f"a price per minute from 0 to {_HIGHEST}"
_PER_CHARACTERS = f"a price per 10,000 characters from 0 to {_HIGHEST}"
_KEYS = ("as_of", "currency", "models", "transcription", "voices", "line")

_Price = TypeVar("_Price")
_Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in US dollars. `models`: per 1M tokens, by the names of `Usage`. `transcription`: per
    minute of audio. `voices`: per 10,000 characters, by an external voice's label or by its
    provider. `line`: per started minute. `as_of`: the day they were looked up."""

    as_of: date
    models: Mapping[str, Mapping[str, Decimal]]
    transcription: Mapping[str, Decimal]
    voices: Mapping[str, Decimal]
    line: Mapping[str, Decimal]

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
        """The cost of a call, ready for JSON: amounts in dollars, to a millionth.

        A part whose price or measure is not known is None and stands in `unknown`; `total` is None
        then too, because a sum that leaves something out is too small.

        Args:
            model: the model's name, with or without the date of a snapshot.
            seconds: how long the line was open. Each started minute counts, and one that was never
                open costs nothing.
            direction: in Twilio's words: inbound, outbound-api, outbound-dial.
            transcription: the model that wrote down what the caller said; empty: that is no part of
                the result.
            transcribed_seconds: how much audio it was given; None: not known.
            voice: the label of the external voice that spoke.
            dialed_seconds: how long each human was on the line to whom the caller was handed, or
                who picked up; None: not known.
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
            new_text * price["input_text"]
            + usage.input_text_cached * price["input_text_cached"]
            + new_audio * price["input_audio"]
            + usage.input_audio_cached * price["input_audio_cached"]
            + usage.output_text * price["output_text"]
            + usage.output_audio * price["output_audio"]
        )
        return amount / _PER_TOKENS

    def _line(self, seconds: float, direction: str) -> Decimal | None:
        way = direction.partition("-")[0]
        if way not in ("inbound", "outbound"):
            return None
        # https://support.twilio.com/hc/en-us/articles/223132307: 1 min 20 s of a call, and of its
        # media stream, are billed as 2 minutes.
        started_minutes = math.ceil(max(0.0, seconds) / 60)
        return started_minutes * (self.line[way] + self.line["media_stream"])

    def _dialed(self, dialed_seconds: Sequence[float | None]) -> Decimal | None:
        minutes = Decimal(0)
        for seconds in dialed_seconds:
            if seconds is None:
                return None
            minutes += math.ceil(max(0.0, seconds) / 60)
        return minutes * self.line["outbound"]

    def _voice(self, usage: Usage, label: str) -> Decimal | None:
        price = self.voices.get(label, self.voices.get(label.partition("/")[0]))
        if price is None or usage.fallback_characters:  # others have other prices
            return None
        return price * usage.voice_characters / _PER_CHARACTERS_PRICED

    def _transcription(self, model: str, seconds: float | None) -> Decimal | None:
        price = _named(model, self.transcription)
        if price is None or seconds is None:
            return None
        return price * Decimal(str(max(0.0, seconds))) / 60


def load_prices(path: Path | None) -> Prices:
    """The built-in prices, and over them what the file at `path` says otherwise.

    Raises:
        ConfigError: one line per fault, `file:line: key: what is expected, what was found`.
    """
    prices = _read(BUILT_IN_PRICES, Prices(date.min, {}, {}, {}, {}))
    return prices if path is None else _read(path, prices)


def _named(name: str, prices: Mapping[str, _Price]) -> _Price | None:
    """The price of a model: of its whole name first, then of the name without its snapshot's date.

    No shorter beginning will do: gpt-realtime-2.1-mini is not gpt-realtime-2.1 at its price.
    """
    for known in sorted(prices, key=len, reverse=True):
        if name.startswith(known) and _SNAPSHOT.fullmatch(name, len(known)):
            return prices[known]
    return None


# --- the file -------------------------------------------------------------------------------------


def _read(path: Path, below: Prices) -> Prices:
    """The prices of a file, laid over those that are known."""
    try:
        data, lines = read_toml(path, parse_float=Decimal)
    except OSError as error:
        raise ConfigError(
            f"PRICES_FILE: cannot read {path}: {error.strerror}; set it to a TOML file of prices, "
            "or leave it out for the built-in ones"
        ) from None
    reader = _Reader(lines)
    prices = reader.prices(data, below)
    if reader.faults:
        raise ConfigError(*(f"{path}:{line}: {said}" for line, said in sorted(reader.faults)))
    return prices


class _Reader:
    """Takes a file's data apart. `faults`: each with its line; what it made is of no use then."""

    def __init__(self, lines: Mapping[KeyPath, int]) -> None:
        self.faults: list[tuple[int, str]] = []
        self._lines = lines

    def prices(self, data: _Table, below: Prices) -> Prices:
        self._no_others(data, _KEYS, ())
        as_of = data.get("as_of", below.as_of)
        if not isinstance(as_of, date) or isinstance(as_of, datetime):
            self._expected("a day such as 2026-11-21", as_of, ("as_of",))
        if (currency := data.get("currency", "USD")) != "USD":
            self._expected("'USD', which all prices are in", currency, ("currency",))
        models = dict(below.models)
        for name in self._table(data, ("models",)):
            place = ("models", name)
            models[name] = self._filled(data["models"], place, models.get(name, {}), _TOKENS)
        minutes = self._table(data, ("transcription",))
        return Prices(
            as_of=as_of,
            models=models,
            transcription={
                **below.transcription,
                **self._numbers(minutes, _PER_MINUTE, ("transcription",)),
            },
            voices={
                **below.voices,
                **self._numbers(self._table(data, ("voices",)), _PER_CHARACTERS, ("voices",)),
            },
            line=self._filled(data, ("line",), below.line, _LINE),
        )

    def _filled(
        self, data: _Table, place: KeyPath, below: Mapping[str, Decimal], needed: tuple[str, ...]
    ) -> dict[str, Decimal]:
        """A table laid over what is known; together they have every price that is needed."""
        table = self._table(data, place)
        self._no_others(table, needed, place)
        missing = [key for key in needed if key not in table and key not in below]
        if missing and isinstance(data.get(place[-1], {}), dict):
            self._fault(f"missing; expected {', '.join(missing)}", place)
        named = {key: table[key] for key in needed if key in table}
        expected = _PER_MINUTE if needed is _LINE else _PER_MILLION
        return {**below, **self._numbers(named, expected, place)}

    def _table(self, data: _Table, place: KeyPath) -> _Table:
        table = data.get(place[-1], {})
        if isinstance(table, dict):
            return table
        self._expected("a table", table, place)
        return {}

    def _numbers(self, table: _Table, expected: str, place: KeyPath) -> dict[str, Decimal]:
        numbers = {}
        for key, value in table.items():
            is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
            if is_number and Decimal(value).is_finite() and 0 <= value <= _HIGHEST:
                numbers[key] = Decimal(value)
            else:
                self._expected(expected, value, (*place, key))
        return numbers

    def _no_others(self, table: _Table, known: Iterable[str], place: KeyPath) -> None:
        for key in table:
            if key not in known:
                self._fault(f"unknown key; known here: {', '.join(known)}", (*place, key))

    def _expected(self, what: str, found: object, place: KeyPath) -> None:
        self._fault(f"expected {what}, got {shown(found)}", place)

    def _fault(self, said: str, place: KeyPath) -> None:
        within = (place[:length] for length in range(len(place), 0, -1))
        line = next((self._lines[path] for path in within if path in self._lines), 1)
        key = ".".join(f'"{part}"' if "." in part else part for part in place)
        self.faults.append((line, f"{key}: {said}"))
