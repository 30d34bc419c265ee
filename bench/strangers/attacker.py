"""`python -m bench.strangers.attacker NAME --port PORT`: one attack, in a process of its own.

Prints "done" when the attack is over and keeps its sockets open. It answers each line on stdin with
the state of its sockets, and exits at the end of stdin. `--innocent` attacks a sink in this process
instead.
"""

import argparse
import asyncio
import logging
import os
import sys
from contextlib import suppress

import msgspec
import uvloop

from bench.strangers import sink
from bench.strangers.attacks import ATTACKS, Attack
from bench.strangers.target import Target

MOST_S = 12.0


class Sockets(msgspec.Struct):
    """The state of the attacker's sockets."""

    opened: int
    #: Of those opened: still open.
    open: int
    #: Connections that failed.
    refused: int
    #: The longest time until the service closed one.
    longest_s: float


def sockets(target: Target) -> Sockets:
    lived = [each.closed_s - each.opened_s for each in target.connections if each.closed_s]
    lines = [line.call.stream_open for line in target.lines]
    return Sockets(
        opened=len(target.connections) + len(lines),
        open=len(target.connections) - len(lived) + sum(lines),
        refused=target.refused,
        longest_s=round(max(lived, default=0.0), 1),
    )


async def main(attack: Attack, port: int, *, innocent: bool) -> None:
    if innocent:
        server, port = await sink.listen()
    target = Target(port)
    with suppress(TimeoutError):
        async with asyncio.timeout(MOST_S):
            await attack.action(target)
    print("done", flush=True)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while await reader.readline():
        print(msgspec.json.encode(sockets(target)).decode(), flush=True)
    os._exit(0)  # closes all sockets at once


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[attack.name for attack in ATTACKS])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--innocent", action="store_true")
    arguments = parser.parse_args()
    os.nice(19)
    logging.getLogger("picows").setLevel(logging.ERROR)  # full buffers are expected
    chosen = next(attack for attack in ATTACKS if attack.name == arguments.name)
    uvloop.run(main(chosen, arguments.port, innocent=arguments.innocent))
