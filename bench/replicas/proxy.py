"""A load balancer without stickiness: each request and each WebSocket reaches a random replica."""

import asyncio
import random
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

STREAM = "/media-stream"
CHUNK_BYTES = 65536
PROBE_EVERY_S = 0.5
PROBE_WITHIN_S = 1.0
#: Probes that fail one after the other before a replica gets no more connections.
FALLS = 2


class RandomProxy:
    """Passes each request and each WebSocket to a replica at random.

    Another replica is tried only when a connection is refused. A replica whose `/readyz` fails
    twice gets no connections until it answers again; without any that is ready, all are tried.

    Args:
        ports: of the replicas, on loopback.
        seed: makes the choices repeatable.
    """

    def __init__(self, ports: list[int], seed: object = 0) -> None:
        #: Where it listens.
        self.port = 0
        #: The replica that got each media stream, by the path of the stream's URL.
        self.holders: dict[str, int] = {}
        #: Media streams go only to these, unless none of them is ready; None: to all.
        self.for_streams: set[int] | None = None
        #: Connections that no replica took.
        self.refused = 0
        self._ports = ports
        self._fallen = dict.fromkeys(range(len(ports)), 0)
        self._dice = random.Random(str(seed))
        self._server: asyncio.Server | None = None
        self._probes: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._probes = [asyncio.create_task(self._probe(n)) for n in range(len(self._ports))]

    async def aclose(self) -> None:
        """Stop listening."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    def holder(self, stream_url: str) -> int | None:
        """The replica that got the stream of this URL; None: no replica has."""
        return self.holders.get(urlsplit(stream_url).path)

    def is_up(self, replica: int) -> bool:
        """Whether a replica gets connections."""
        return self._fallen[replica] < FALLS

    def order(self, is_stream: bool) -> list[int]:
        """All replicas in the order in which they are tried, those that are ready first."""
        shuffled = self._dice.sample(range(len(self._ports)), len(self._ports))
        wanted = self.for_streams if is_stream else None
        return sorted(
            shuffled, key=lambda n: (not self.is_up(n), wanted is not None and n not in wanted)
        )

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        service: asyncio.StreamReader | None = None
        requests: asyncio.StreamWriter | None = None
        pumps: list[asyncio.Task[None]] = []
        try:
            head = await client.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode("latin-1")
            is_stream = path.startswith(STREAM)
            for number in self.order(is_stream):
                with suppress(OSError):
                    port = self._ports[number]
                    service, requests = await asyncio.open_connection("127.0.0.1", port)
                    break
            if service is None or requests is None:
                self.refused += 1
                return
            if is_stream:
                self.holders[urlsplit(path).path] = number
            else:  # one request for each connection: each may reach another replica
                head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            requests.write(head)
            pumps = [
                asyncio.create_task(_pump(client, requests)),
                asyncio.create_task(_pump(service, answers)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            for each in (answers, requests):
                if each is not None:
                    each.close()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _probe(self, number: int) -> None:
        """Ask a replica again and again whether it takes calls."""
        timeout = aiohttp.ClientTimeout(total=PROBE_WITHIN_S)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            while True:
                ready = False
                with suppress(OSError, TimeoutError, aiohttp.ClientError):
                    url = f"http://127.0.0.1:{self._ports[number]}/readyz"
                    async with http.get(url) as answer:
                        ready = answer.status == 200
                self._fallen[number] = 0 if ready else self._fallen[number] + 1
                await asyncio.sleep(PROBE_EVERY_S)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
