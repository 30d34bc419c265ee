"""What a call costs: tokens and minutes in, money out; a price file's faults with their lines."""

import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from app.call.usage import Usage
from app.config.prices import BUILT_IN_PRICES, Prices, load_prices
from app.config.settings import Settings
from app.errors import ConfigError

USAGE = Usage(
    input_text=1_000_000,
    input_audio=2_000_000,
    input_text_cached=400_000,
    input_audio_cached=500_000,
    output_text=100_000,
    output_audio=300_000,
)
OWN = """
as_of = 2027-02-03

[models."my-model"]
input_text = 1
input_text_cached = 0.1
input_audio = 10
input_audio_cached = 0.2
output_text = 2.5
output_audio = 20

[models."gpt-realtime-2.1"]
output_audio = 50.00

[line]
inbound = 0.01
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my-prices.toml"


@pytest.fixture
def own(file: Path) -> Prices:
    file.write_text(OWN)
    return load_prices(file)


def test_cached_tokens_are_a_part_of_the_input_and_cost_less(own: Prices) -> None:
    cost = own.of(USAGE, model="my-model", seconds=0, direction="inbound")

    # 0.6M x 1 + 0.4M x 0.1 + 1.5M x 10 + 0.5M x 0.2 + 0.1M x 2.5 + 0.3M x 20
    assert cost["model"] == 21.99


def test_more_cached_tokens_than_tokens_make_no_credit(own: Prices) -> None:
    odd = Usage(input_audio=10, input_audio_cached=1_000_000)

    cost = own.of(odd, model="my-model", seconds=0, direction="inbound")

    assert cost["model"] == 0.2


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(0, 0), (-1, 0), (0.2, 1), (59.9, 1), (60, 1), (60.1, 2), (80, 2)]
)
def test_a_started_minute_of_the_line_is_a_minute(
    own: Prices, seconds: float, minutes: int
) -> None:
    cost = own.of(Usage(), model="embedded", seconds=seconds, direction="inbound")

    assert cost["line"] == round(minutes * (0.01 + 0.0044), 6)


@pytest.mark.parametrize(
    ("direction", "voice"), [("inbound", 0.0085), ("outbound-api", 0.014), ("outbound-dial", 0.014)]
)
def test_outbound_calls_cost_more_than_inbound_ones(direction: str, voice: float) -> None:
    cost = load_prices(None).of(Usage(), model="embedded", seconds=30, direction=direction)

    assert cost["line"] == round(voice + 0.0044, 6)


def test_the_parts_add_up_to_the_total_and_all_of_it_is_json(own: Prices) -> None:
    usage = Usage(input_audio=123, output_audio=457)

    cost = own.of(
        usage, model="gpt-realtime-2.1", seconds=61, direction="inbound",
        transcription="gpt-transcribe", transcribed_seconds=20.0,
    )  # fmt: skip

    assert cost == {
        "currency": "USD",
        "model": 0.026786,  # 123 x 32 + 457 x 50 millionths
        "line": 0.0288,
        "transcription": 0.0015,
        "total": 0.057086,
        "as_of": "2027-02-03",
        "unknown": [],
    }
    assert json.loads(json.dumps(cost)) == cost


def test_amounts_are_rounded_to_a_millionth_of_a_dollar(own: Prices) -> None:
    cost = own.of(Usage(input_text_cached=7), model="my-model", seconds=0, direction="inbound")

    assert cost["model"] == 0.000001  # of 0.0000007


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpt-realtime-2.1", "gpt-realtime-2.1"),
        ("gpt-realtime-2.1-2026-07-09", "gpt-realtime-2.1"),
        ("gpt-realtime-2.1-mini-2026-07-09", "gpt-realtime-2.1-mini"),
        ("gpt-realtime-2025-08-28", "gpt-realtime"),
        ("gpt-realtime-mini-2025-12-15", "gpt-realtime-mini"),
    ],
)
def test_a_model_is_found_with_the_date_of_its_snapshot(name: str, found: str) -> None:
    prices = load_prices(None)

    cost = prices.of(USAGE, model=name, seconds=0, direction="inbound")

    assert cost["model"] == prices.of(USAGE, model=found, seconds=0, direction="inbound")["model"]
    assert cost["model"] > 0


def test_a_snapshot_with_prices_of_its_own_is_found_first(file: Path) -> None:
    prices = dict.fromkeys(
        ["input_text", "input_text_cached", "input_audio", "input_audio_cached", "output_text"], 0
    )
    lines = [f"{name} = {price}" for name, price in {**prices, "output_audio": 7}.items()]
    file.write_text("\n".join(['[models."gpt-realtime-2025-08-28"]', *lines]))

    cost = load_prices(file).of(
        USAGE, model="gpt-realtime-2025-08-28", seconds=0, direction="inbound"
    )

    assert cost["model"] == 2.1


@pytest.mark.parametrize("name", ["", "gpt-realtime-3", "gpt-realtime-2.10", "gpt-realtime-2.1-x"])
def test_a_model_without_a_price_is_unknown_and_not_free(name: str) -> None:
    cost = load_prices(None).of(USAGE, model=name, seconds=1, direction="inbound")

    assert (cost["model"], cost["total"], cost["unknown"]) == (None, None, ["model"])
    assert cost["line"] == 0.0129


def test_every_part_may_be_unknown(own: Prices) -> None:
    cost = own.of(USAGE, model="x", seconds=1, direction="", transcription="gpt-transcribe")

    assert cost["unknown"] == ["model", "line", "transcription"]
    cost = own.of(
        USAGE, model="embedded", seconds=1, direction="inbound", transcription="my-ears",
        transcribed_seconds=1.0,
    )  # fmt: skip
    assert cost["unknown"] == ["transcription"]


def test_the_embedded_model_costs_nothing(own: Prices) -> None:
    cost = own.of(USAGE, model="embedded", seconds=0, direction="inbound")

    assert (cost["model"], cost["total"], cost["unknown"]) == (0, 0, [])


def test_the_built_in_prices_name_the_default_model_and_their_day() -> None:
    prices = load_prices(None)

    assert Settings.model_fields["openai_realtime_model"].default in prices.models
    assert prices.as_of >= date(2026, 11, 21)
    assert prices.models["gpt-realtime-2.1"].output_audio == Decimal(64)


def test_every_built_in_price_says_where_it_is_from() -> None:
    text = BUILT_IN_PRICES.read_text()
    blocks = [block for block in text.split("\n\n") if block.lstrip("#").strip()]

    priced = [block for block in blocks if " = " in block and "as_of" not in block]
    assert len(priced) == len(tomllib.loads(text)["models"]) + 2
    for block in priced:
        assert "https://" in block or "UNVERIFIED" in block or "costs nothing" in block, block


def test_an_owner_s_file_needs_to_hold_only_what_differs(own: Prices) -> None:
    built_in = load_prices(None)

    assert own.as_of == date(2027, 2, 3)
    assert own.models["gpt-realtime-2.1"] == built_in.models["gpt-realtime-2.1"].model_copy(
        update={"output_audio": Decimal("50.00")}
    )
    assert own.line == built_in.line.model_copy(update={"inbound": Decimal("0.01")})
    assert own.transcription == built_in.transcription
    assert own.models.keys() == built_in.models.keys() | {"my-model"}


def test_an_external_voice_costs_what_the_file_says_by_its_label_or_its_provider(
    file: Path,
) -> None:
    file.write_text('[voices]\n"qwen/Cherry" = 0.10\nqwen = 0.20\n', encoding="utf-8")
    prices = load_prices(file)
    said = {"model": "embedded", "seconds": 0.0, "direction": "inbound"}

    def cost(voice: str, usage: Usage) -> object:
        return prices.of(usage, voice=voice, **said)["voice"]  # type: ignore[arg-type]

    assert cost("qwen/Cherry", Usage(voice_characters=20_000)) == 0.2
    assert cost("qwen/Moon", Usage(voice_characters=20_000)) == 0.4
    assert cost("http/tts.example.com", Usage(voice_characters=20_000)) is None
    mixed = Usage(voice_characters=20_000, fallback_characters=5)
    assert cost("qwen/Cherry", mixed) is None, "the other one has another price"
    assert "voice" not in prices.of(Usage(), **said)  # type: ignore[arg-type]


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("\ufeff# nothing yet\n", encoding="utf-8")

    assert load_prices(file) == load_prices(None)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "[line]\n\ninbound = 'a cent'",
            ["3: line.inbound: expected a price per minute from 0 to 1000000, got 'a cent'"],
        ),
        (
            '[models."gpt-realtime-2.1"]\noutput_audio = -1\ninput_text = true',
            [
                '2: models."gpt-realtime-2.1".output_audio: '
                "expected a price per 1M tokens from 0 to 1000000, got -1",
                '3: models."gpt-realtime-2.1".input_text: '
                "expected a price per 1M tokens from 0 to 1000000, got true",
            ],
        ),
        (
            "[transcription]\nwhisper-1 = inf\nother = nan\nlast = 1e999999",
            [
                "2: transcription.whisper-1: expected a price per minute from 0 to 1000000, "
                "got Infinity",
                "3: transcription.other: expected a price per minute from 0 to 1000000, got NaN",
                "4: transcription.last: expected a price per minute from 0 to 1000000, "
                "got 1E+999999",
            ],
        ),
        (
            "\n[models.mine]\ninput_text = 1\noutput_text = 'x'",
            [
                "2: models.mine: missing; expected input_audio, input_text_cached, "
                "input_audio_cached, output_audio",
                "4: models.mine.output_text: expected a price per 1M tokens from 0 to 1000000, "
                "got 'x'",
            ],
        ),
        (
            "[models.embedded]\nimages = 1",
            [
                "2: models.embedded.images: unknown key; known here: input_text, input_audio, "
                "input_text_cached, input_audio_cached, output_text, output_audio"
            ],
        ),
        (
            "# euros\ncurrency = 'EUR'\nas_of = 2026-01-01T00:00:00",
            [
                "2: currency: expected 'USD', which all prices are in, got 'EUR'",
                "3: as_of: expected a day such as 2026-11-21, got 2026-01-01 00:00:00",
            ],
        ),
        (
            "models = 5\nline = []",
            ["1: models: expected a table, got 5", "2: line: expected a table, got an array"],
        ),
        ("models.mine = 5", ["1: models.mine: expected a table, got 5"]),
        (
            "price = 1",
            [
                "1: price: unknown key; known here: as_of, currency, models, transcription, "
                "voices, line"
            ],
        ),
        ("[line]\ninbound = {a = 1}", [
            "2: line.inbound: expected a price per minute from 0 to 1000000, got a table",
        ]),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_line(file: Path, text: str, faults: list[str]) -> None:
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_prices(file)

    assert list(caught.value.problems) == [f"{file}:{fault}" for fault in faults]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"as_of = 2026-01-01\nline = [", ":2: not valid TOML: "),
        (b"a = 1\nb ? 2\n", ":2: not valid TOML: "),
        (b"as_of = 2026-01-01\n\xff", ":2: not UTF-8 text; save the file again as UTF-8"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load_prices(file)

    assert str(caught.value).startswith(f"{file}{said}")


def test_a_file_that_is_not_there_names_the_setting(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^PRICES_FILE: cannot read .*No such file"):
        load_prices(file)
