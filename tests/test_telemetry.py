import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.telemetry import configure_logging, redact

NAMES = ("", "app", "uvicorn", "uvicorn.error", "uvicorn.access")
logger = logging.getLogger("app.bridge")


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(log, log.handlers, log.level, log.propagate) for log in loggers]
    yield
    for log, handlers, level, propagate in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


def test_a_line_says_when_what_and_with_which_data(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "text")
    extra = {"call_sid": "CA1", "count": 3, "why": 'said "no"', "empty": "", "list": [1, None]}
    logger.info("call started", extra=extra)

    line = capsys.readouterr().err

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO  app\.bridge call started call_sid=CA1 count=3 "
        r'why="said \\"no\\"" empty="" list="\[1, null\]"\n',
        line,
    )


def test_a_value_cannot_begin_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logger.info("tool failed", extra={"cause": "x\n12:00:00.000 INFO  app.bridge all is well"})

    assert capsys.readouterr().err.count("\n") == 1


def test_a_json_line_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    logger.warning("call %s", "ended", extra={"call_sid": "CA1", "level": "loud", "ms": 1.5})

    line = json.loads(capsys.readouterr().err)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("at"))
    assert line == {
        "level": "WARNING", "logger": "app.bridge", "message": "call ended",
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

    written = capsys.readouterr().err

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

    written = capsys.readouterr().err

    assert "+1555…01" in written and "+4420…50" in written and "+493…56" in written
    assert not re.search(r"\d{5}", written.split("dialled")[1])


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("+12345678", "+1…78"),
        ("+123456789012345", "+1234…45"),
        ("To=%2B15551230001&x", "To=%2B1555…01&x"),
        ("+1234567 and 15551230001", "+1234567 and 15551230001"),
    ],
)
def test_a_number_keeps_its_ends_and_hides_at_least_five_digits(line: str, redacted: str) -> None:
    assert redact(line) == redacted


def test_odd_values_cost_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    circle: list[Any] = []
    circle.append(circle)
    configure_logging("nonsense", "json")
    logger.info("odd", extra={"circle": circle, "key": {(1, 2): object()}, "half": "\ud83d"})

    line = json.loads(capsys.readouterr().err)

    assert (line["message"], line["circle"]) == ("odd", "[[...]]")


def test_others_say_only_what_matters_and_requests_are_not_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("DEBUG")
    configure_logging("DEBUG")
    for name in ("app.bridge", "uvicorn.error", "twilio.http_client"):
        logging.getLogger(name).debug("detail")
        logging.getLogger(name).info("news", extra={"color_message": "red"})
        logging.getLogger(name).warning("trouble")
    logging.getLogger("uvicorn.access").info("GET /calls")

    said = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines()]

    assert said == [
        "DEBUG app.bridge detail",
        "INFO  app.bridge news",
        "WARNING app.bridge trouble",
        "WARNING uvicorn.error trouble",
        "WARNING twilio.http_client trouble",
    ]
    assert not logging.getLogger("uvicorn.access").hasHandlers()
