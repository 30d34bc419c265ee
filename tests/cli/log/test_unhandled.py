"""An unhandled exception is one line of the log, not a traceback on stderr."""

import asyncio
import gc
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from app.cli.log import log_unhandled

MESSAGE = "fault that no code handled"


@pytest.fixture(autouse=True)
def hooks_as_they_were() -> Iterator[None]:
    before = threading.excepthook, sys.unraisablehook
    yield
    threading.excepthook, sys.unraisablehook = before
    logging.captureWarnings(False)


async def forgotten() -> None:
    raise ValueError("0171 2345678")


class Stubborn:
    def __del__(self) -> None:
        raise RuntimeError("stays")


def fails() -> None:
    raise OSError("in a thread")


async def test_each_unhandled_exception_is_one_line(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    loop = asyncio.get_running_loop()
    log_unhandled(loop)
    future = loop.create_future()
    future.set_exception(KeyError("of a future"))
    del future
    task = asyncio.create_task(forgotten())
    await asyncio.wait([task])
    del task
    loop.call_soon(fails)
    await asyncio.sleep(0)
    thread = threading.Thread(target=fails, name="worker")
    thread.start()
    thread.join()
    stubborn = Stubborn()
    del stubborn
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", ResourceWarning, stacklevel=1)

    lines = [record.__dict__ for record in caplog.records if record.message == MESSAGE]
    assert {line["error"] for line in lines} >= {
        "KeyError('of a future')",
        "ValueError('0171 2345678')",  # redacted when it is formatted
        "OSError('in a thread')",
        "RuntimeError('stays')",
    }
    assert len(lines) == 5 and all(record.exc_info is None for record in caplog.records)
    assert any("forgotten" in line.get("task", "") for line in lines)
    assert any(f"{__file__}:" in line["where"] for line in lines)
    assert "py.warnings" in {record.name for record in caplog.records}
    assert capfd.readouterr().err == ""
