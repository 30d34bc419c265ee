"""The format of log lines, and what is redacted from them."""

import json
import logging
import re
from typing import Any

import pytest

from app.cli.log import configure_logging, redact, redact_foreign, settle

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")
logger = logging.getLogger("app.bridge.leg.leg")


def err_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Everything logged so far, as written to stderr."""
    assert settle(10)
    return capsys.readouterr().err


def test_a_line_says_when_what_and_with_which_data(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "text")
    extra = {"call_sid": "CA1", "count": 3, "why": 'said "no"', "empty": "", "list": [1, None]}
    logger.info("call started", extra=extra)

    line = err_of(capsys)

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO  app\.bridge\.leg\.leg call started call_sid=CA1 count=3 "
        r'why="said \\"no\\"" empty="" list="\[1, null\]"\n',
        line,
    )


def test_a_value_cannot_begin_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logger.info(
        "tool failed", extra={"cause": "x\n12:00:00.000 INFO  app.bridge.leg.leg all is well"}
    )

    assert err_of(capsys).count("\n") == 1


def test_a_json_line_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    logger.warning("call %s", "ended", extra={"call_sid": "CA1", "level": "loud", "ms": 1.5})

    line = json.loads(err_of(capsys))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("at"))
    assert line == {
        "level": "WARNING", "logger": "app.bridge.leg.leg", "message": "call ended",
        "call_sid": "CA1", "ms": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_comes_with_its_traceback(
    capsys: pytest.CaptureFixture[str], format: Any
) -> None:
    configure_logging("INFO", format)
    try:
        raise RuntimeError("cannot dial +15551230001")
    except RuntimeError:
        logger.exception("transfer failed", extra={"call_sid": "CA1"})

    written = err_of(capsys)

    assert "Traceback (most recent call last)" in written
    assert "RuntimeError: cannot dial +1555…01" in written
    assert "+15551230001" not in written
    if format == "json":
        assert json.loads(written)["exception"].startswith("Traceback")


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_number_of_a_caller_is_logged(capsys: pytest.CaptureFixture[str], format: Any) -> None:
    configure_logging("INFO", format)
    nested = {"To": "+442071838750", "uri": "sip:+4930123456@example.com"}
    logger.info("dialled", extra={"from": "+15551230001", "request": nested})

    written = err_of(capsys)

    assert "+1555…01" in written and "+4420…50" in written and "+493…56" in written
    assert not re.search(r"\d{5}", written.split("dialled")[1])


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("+12345678", "+1…78"),
        ("+123456789012345", "+1234…45"),
        ("To=%2B15551230001&x", "To=%2B1555…01&x"),
        ("+1234567 and 15551230001", "+1234567 and 15551230001"),
        ("path=/media-stream/secret-1 x", "path=/media-stream/… x"),
        ("https://a/outgoing-call/secret?x", "https://a/outgoing-call/…?x"),
    ],
)
def test_a_number_keeps_its_ends_and_hides_at_least_five_digits(line: str, redacted: str) -> None:
    assert redact(line) == redacted


def test_odd_values_cost_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    circle: list[Any] = []
    circle.append(circle)
    configure_logging("nonsense", "json")
    logger.info("odd", extra={"circle": circle, "key": {(1, 2): object()}, "half": "\ud83d"})

    line = json.loads(err_of(capsys))

    assert (line["message"], line["circle"]) == ("odd", "[[...]]")


def test_others_say_only_what_matters_and_requests_are_not_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("DEBUG")
    configure_logging("DEBUG")
    for name in ("app.bridge.leg.leg", "uvicorn.error", "twilio.http_client"):
        logging.getLogger(name).debug("detail")
        logging.getLogger(name).info("news", extra={"color_message": "red"})
        logging.getLogger(name).warning("trouble")
    logging.getLogger("uvicorn.access").info("GET /calls")

    said = [line.split(maxsplit=1)[1] for line in err_of(capsys).splitlines()]

    assert said == [
        "DEBUG app.bridge.leg.leg detail",
        "INFO  app.bridge.leg.leg news",
        "WARNING app.bridge.leg.leg trouble",
        "WARNING uvicorn.error trouble",
        "WARNING twilio.http_client trouble",
    ]
    assert not logging.getLogger("uvicorn.access").hasHandlers()


# --- texts from outside ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("call 0171 2345678 now", "call …78 now"),
        ("(415) 555-0123", "…23"),
        ("555-0123", "…23"),
        ("15551230001", "…01"),
        ("+15551230001", "+1555…01"),
        ("+1 (555) 123-0001", "…01"),
        ("tel:+49-30-123456", "tel:…56"),
        ("01.23.45.67.89", "…89"),
        ("请拨打13812345678。", "请拨打…78。"),
        ("card 4111 1111 1111 1111", "card …11"),
        ("tel5551234567", "tel…67"),
        ("ada.l+x@example.com", "…@…"),
        ("sip:desk@pbx.example.com", "sip:…@…"),
        ("provided: sk-proj-abc***def.", "provided: sk…."),
        ("Authorization: Bearer abc.d-e", "Authorization: Bearer …"),
        ('{"token": "x9y8z7", "api_key": "hush"}', '{"token": "…", "api_key": "…"}'),
        ("https://ann:hush@example.com/x", "https://…@example.com/x"),
    ],
)
def test_a_text_from_outside_shows_no_number_no_address_and_no_key(
    text: str, redacted: str
) -> None:
    assert redact_foreign(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "at 2024-11-21T10:00:00 and 2024-11-21",
        "10.0.0.1:5050 and 203.0.113.195",
        "CA" + "0" * 31 + "6",
        "resp_00123456789 and 550e8400-e29b-41d4-a716-446655440000",
        "code 20404 after 1500 ms, 128000 tokens",
    ],
)
def test_times_addresses_and_ids_in_it_stay(text: str) -> None:
    assert redact_foreign(text) == text


@pytest.mark.parametrize("evil", ["1 ", "+(1", "a@", "a.", "sk-", "token:", "- "])
def test_no_text_takes_long(evil: str) -> None:
    """Sixteen times the text takes some sixteen times the steps, not two hundred."""
    assert len(redact_foreign(evil * 10_000)) <= 2 * len(evil * 10_000)


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_others_say_is_redacted_and_what_we_say_is_not(
    capsys: pytest.CaptureFixture[str], format: Any
) -> None:
    configure_logging("INFO", format)
    words = "no such caller: 0171 2345678, ada@example.com"
    logger.warning("model reported an error", extra={"error": words, "sent_bytes": 12345678})
    logging.getLogger("websockets").warning("refused by 0171 2345678")
    try:
        raise ValueError(f"{words}\x1b[31m") from KeyError("sk-live-0123456789")
    except ValueError:
        logger.exception("tool failed")

    written = err_of(capsys).replace("\\u2026", "…")

    assert "sent_bytes" in written and "12345678" in written
    assert written.count("no such caller: …78, …@…") == 2 and "refused by …78" in written
    for hidden in ("0171", " 2345678", "ada@", "0123456789", "\x1b"):
        assert hidden not in written


def test_what_changes_after_it_was_logged_is_written_as_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO", "json")
    calls = {"live": [1, 2]}
    logger.info("draining", extra={"calls": calls})
    calls["live"].clear()

    assert json.loads(err_of(capsys))["calls"] == {"live": [1, 2]}


def test_a_message_of_a_librarys_cannot_begin_a_line_or_colour_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()
    logging.getLogger("peer").warning("said %s", "x\n12:00:00.000 INFO  all is well \x1b[2J")

    written = err_of(capsys)

    assert written.count("\n") == 1 and "\\n12:00" in written and "\\x1b[2J" in written


def test_long_values_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logger.info("much", extra={"error": "x" * 100_000, "list": ["y" * 100_000]})
    logger.info("m" * 100_000)

    assert len(err_of(capsys)) < 7000
