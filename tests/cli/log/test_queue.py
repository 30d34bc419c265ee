"""Logging never blocks on stderr, even if that is a pipe that is not read, or a full disk."""

import errno
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.cli.log.queue import LogQueue, Write
from app.cli.log.repeats import MOST

PATIENCE_S = 30


class Stderr:
    """Takes lines while `open` is set."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.fault: OSError | None = None

    def write(self, text: str) -> None:
        assert self.open.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        self.lines.append(text)


@contextmanager
def queue(write: Write, most: int) -> Iterator[tuple[LogQueue, logging.Logger]]:
    handler = LogQueue(write, "json", most)
    logger = logging.getLogger("app.test_queue")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler, logger
    finally:
        logger.removeHandler(handler)
        handler.stop()


def test_a_pipe_that_is_not_read_blocks_no_caller_and_lost_lines_are_counted() -> None:
    stderr = Stderr()
    with queue(stderr.write, most=10) as (log, logger):
        stderr.open.clear()
        for number in range(1000):  # waiting for the writer would hang here
            logger.info("line %s", number, extra={"request_id": str(number)})
        log.say("a plain line")
        assert not log.settle(0.05)
        stderr.open.set()
        assert log.settle(PATIENCE_S)
        assert log.settle(PATIENCE_S)

    told = [json.loads(line) for line in stderr.lines]
    lost = sum(each["lines"] for each in told if each["message"] == "log lines lost")
    kept = [each for each in told if each["message"].startswith("line ")]
    assert 10 <= len(kept) <= 12 and len(kept) + lost == 1001
    assert kept[0]["message"] == "line 0"


def test_a_full_disk_costs_lines_and_says_how_many_once_there_is_room() -> None:
    stderr = Stderr()
    with queue(stderr.write, most=100) as (log, logger):
        stderr.fault = OSError(errno.ENOSPC, "No space left on device")
        for number in range(5):
            logger.info("line %s", number)
        assert log.settle(PATIENCE_S)
        stderr.fault = None
        logger.info("room again")
        assert log.settle(PATIENCE_S)

    told = [json.loads(line) for line in stderr.lines]
    assert [each["message"] for each in told] == ["room again", "log lines lost"]
    assert told[1]["lines"] == 5


def test_what_is_repeated_is_summed_up_before_the_log_is_closed() -> None:
    stderr = Stderr()
    with queue(stderr.write, most=100) as (log, logger):
        for _ in range(50):
            logger.warning("webhook refused", extra={"reason": "signature missing", "path": "/x"})
        assert log.settle(PATIENCE_S)

    told = [json.loads(line) for line in stderr.lines]
    assert len(told) == MOST + 1
    assert told[-1]["repeated"] == 50 - MOST
    assert (told[-1]["level"], told[-1]["message"]) == ("WARNING", "webhook refused")
    assert told[-1]["reason"] == "signature missing" and "path" not in told[-1]


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("odd", [Odd(), {"a": Odd()}, [Odd()]])
def test_a_value_that_cannot_be_written_costs_its_line_alone(odd: object) -> None:
    stderr = Stderr()
    with queue(stderr.write, most=100) as (log, logger):
        log.handle(logging.makeLogRecord({"msg": "odd", "odd": odd}))
        log.handle(logging.makeLogRecord({"msg": "odd %s %s", "args": ("too few",)}))
        logger.info("fine")
        assert log.settle(PATIENCE_S)

    told = [json.loads(line) for line in stderr.lines]
    assert [each["message"] for each in told] == ["fine", "log lines lost"]
    assert told[1]["lines"] == 2


def test_many_threads_log_at_once_and_no_line_is_torn() -> None:
    stderr = Stderr()
    with queue(stderr.write, most=10_000) as (log, logger):

        def work(name: int) -> None:
            for number in range(200):
                logger.info("line %s %s", name, number, extra={"request_id": f"{name} {number}"})

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert log.settle(PATIENCE_S)

    told = [json.loads(line)["message"] for line in stderr.lines]
    assert len(set(told)) == 1600
