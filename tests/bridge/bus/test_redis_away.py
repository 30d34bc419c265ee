"""A Redis that is stopped, restarted empty, or hangs: what replicas do meanwhile and afterwards."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from app.bridge.bus.bus import LEASE_S, BusUnavailable, NoOwner, Owner
from app.bridge.bus.link import SETTLE_S
from app.bridge.bus.redis_bus import RedisBus
from app.config.redis_url import parse_redis_url
from app.errors import ConfigError
from tests.bridge.bus.buses import Clock, opened, until, until_away
from tests.ports import free_port
from tests.redis_server import RedisServer, redis_sentinel, redis_server

# Of localhost, self-signed, with its key; for these tests alone.
CERTIFICATE = Path(__file__).with_name("localhost.pem")
CALL, GONE = "CA1", "CA2"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as own:
        yield own


async def every_request_fails(bus: RedisBus) -> None:
    requests = (
        lambda: bus.spend("ticket", 30),
        lambda: bus.put("call:CA1", {}, 60),
        lambda: bus.get("call:CA1"),
        lambda: bus.owner(CALL),
        lambda: bus.ask(CALL, {}),
        lambda: bus.reserve("outbound", CALL, 1, 30),
        lambda: bus.once("outbound", CALL, 30),
    )
    for request in requests:
        with pytest.raises(BusUnavailable):
            await request()
    await bus.announce(CALL, 1)
    assert not await bus.others_ready() and await bus.differing_keys() == []


async def test_a_redis_that_is_stopped_is_away_at_once_and_then_costs_no_time(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    bus = await opened(server.url)
    assert bus.available
    server.stop()
    await every_request_fails(bus)
    assert not bus.available and bus.steady_s == 0
    (away,) = [record for record in caplog.records if record.message == "Redis is away"]
    assert f"127.0.0.1:{server.port}" in away.__dict__["fix"]
    await bus.aclose()


async def test_a_redis_that_hangs_costs_one_request_its_deadline_and_the_others_nothing(
    server: RedisServer,
) -> None:
    bus = await opened(server.url)
    server.pause()
    began_s = monotonic()
    with pytest.raises(BusUnavailable, match="try again later"):
        await bus.spend("ticket", 30)
    spent_s = monotonic() - began_s
    for _ in range(1000):
        with pytest.raises(BusUnavailable):
            await bus.spend("ticket", 30)
    assert monotonic() - began_s < 3 * spent_s  # not a thousand deadlines
    server.resume()
    await until(lambda: bus.available)
    assert await bus.spend("another", 30)
    await bus.aclose()


async def test_after_a_restart_owners_places_and_replicas_are_registered_anew(
    server: RedisServer,
) -> None:
    clock = Clock()
    a, b = await opened(server.url, clock), await opened(server.url)
    a.ready(True)
    a.own(CALL, 2)
    assert await a.reserve("outbound", CALL, 1, 60)
    server.stop()
    await until_away(a, b)
    a.own(GONE, 0)
    server.start()
    await until(lambda: a.available and b.available)
    await a._leases.written()
    assert await b.owner(CALL) == Owner(a.replica, 2)
    assert await b.owner(GONE) == Owner(a.replica, 0)
    assert await b.others_ready()
    assert not await b.reserve("outbound", "another", 1, 60)
    for bus in (a, b):
        await bus.aclose()


async def test_after_a_restart_no_lease_counts_as_expired_for_two_lease_lengths(
    server: RedisServer,
) -> None:
    clock = Clock()
    bus = await opened(server.url, clock)
    assert await bus.owner(GONE) is None
    server.stop()
    await until_away(bus)
    server.start()
    await until(lambda: bus.available)
    assert bus.steady_s < SETTLE_S
    with pytest.raises(BusUnavailable, match="register anew"):
        await bus.owner(GONE)
    with pytest.raises(BusUnavailable, match="register anew"):
        await bus.ask(GONE, {})
    clock.ahead_s += SETTLE_S
    assert bus.steady_s > SETTLE_S
    assert await bus.owner(GONE) is None
    with pytest.raises(NoOwner):
        await bus.ask(GONE, {})
    await bus.aclose()


async def test_orders_go_on_after_a_restart(server: RedisServer) -> None:
    a, b = await opened(server.url), await opened(server.url)

    async def on_order(call_sid: str, order: object) -> dict[str, str]:
        return {"call": call_sid}

    b.on_order = on_order
    b.own(CALL, 0)
    await b._leases.written()
    for restart in (server.stop, server.pause):
        restart()
        await until_away(a, b)
        server.start() if restart == server.stop else server.resume()
        await until(lambda: a.available and b.available)
        await b._leases.written()
        assert await a.ask(CALL, {}) == {"call": CALL}
    for bus in (a, b):
        await bus.aclose()


async def test_a_server_that_became_a_standby_is_away_until_it_may_be_written(
    server: RedisServer,
) -> None:
    bus = await opened(server.url)
    with redis_server() as primary, server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        await until_away(bus)
        late = await opened(server.url)  # no fault of the configuration
        assert not late.available
        bus.own(CALL, 0)
        client.execute_command("REPLICAOF", "NO", "ONE")
        await until(lambda: bus.available and late.available)
        await bus._leases.written()
        assert await late.owner(CALL) == Owner(bus.replica, 0)
        for each in (bus, late):
            await each.aclose()


async def test_a_replica_starts_while_redis_is_away_and_joins_when_it_comes(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    bus = await opened(server.url)
    assert not bus.available
    bus.own(CALL, 0)
    bus.ready(True)
    server.start()
    await until(lambda: bus.available)
    other = await opened(server.url)
    await bus._leases.written()
    assert await other.owner(CALL) == Owner(bus.replica, 0)
    assert await other.others_ready()
    for each in (bus, other):
        await each.aclose()


async def test_a_bus_closes_quickly_while_redis_hangs(server: RedisServer) -> None:
    tasks = asyncio.all_tasks()
    bus = await opened(server.url)
    bus.own(CALL, 0)
    server.pause()
    async with asyncio.timeout(5):
        await bus.aclose()
    assert asyncio.all_tasks() == tasks
    server.resume()


# --- how it is reached ---


async def works(url: str) -> None:
    """A whole order and a ticket over this URL."""
    bus, other = await opened(url), await opened(url)
    try:

        async def on_order(call_sid: str, order: object) -> dict[str, str]:
            return {"call": call_sid}

        bus.on_order = on_order
        bus.own(CALL, 0)
        await bus._leases.written()
        assert await other.ask(CALL, {}) == {"call": CALL}
        assert await other.spend(bus.replica, 30)
    finally:
        await bus.aclose()
        await other.aclose()


async def test_redis_is_reached_over_a_unix_socket_and_with_a_password_and_a_number() -> None:
    with redis_server("--requirepass", "p@ss:word/1") as server:
        secret = "p%40ss%3Aword%2F1"
        await works(f"redis://:{secret}@127.0.0.1:{server.port}/3")
        await works(f"redis://default:{secret}@localhost:{server.port}")
        await works(f"unix://:{secret}@{server.socket}?db=2")


@asynccontextmanager
async def with_tls(server: RedisServer) -> AsyncIterator[int]:
    """The port of a proxy before a server that has no TLS."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, answers = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, answers), copy(there, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    proxy = await asyncio.start_server(join, "127.0.0.1", 0, ssl=context)
    try:
        yield proxy.sockets[0].getsockname()[1]
    finally:
        proxy.close()


async def test_redis_is_reached_with_tls_if_its_certificate_is_good(server: RedisServer) -> None:
    async with with_tls(server) as port:
        await works(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={CERTIFICATE}")
        options = "ssl_cert_reqs=none&ssl_check_hostname=false"
        await works(f"rediss://localhost:{port}?{options}")
        with pytest.raises(ConfigError, match="^REDIS_URL: TLS fails: .*certificate") as caught:
            await opened(f"rediss://:secret@127.0.0.1:{port}")
        assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{port}",
        "redis://:wrong@127.0.0.1:{port}",
        "redis://:secret@127.0.0.1:{port}/999",
    ],
)
async def test_what_redis_refuses_stops_the_start_with_one_line(url: str) -> None:
    with redis_server("--requirepass", "secret") as server:
        with pytest.raises(ConfigError, match="^REDIS_URL: Redis refuses to work") as caught:
            await opened(url.format(port=server.port))
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value) and "wrong@" not in str(caught.value)


async def test_a_user_needs_no_more_than_the_keys_and_channels_of_the_service() -> None:
    rules = (
        "on",
        ">secret",
        "resetchannels",
        "~phone-agent:*",
        "&phone-agent:*",
        "+@all",
        "-@admin",
        "-@dangerous",
    )
    with redis_server() as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "phone", *rules)
            client.execute_command("ACL", "SETUSER", "default", "off")
        await works(f"redis://phone:secret@127.0.0.1:{server.port}")


async def test_a_user_who_may_not_do_what_the_service_does_stops_the_start() -> None:
    with_password = ("on", ">secret", "resetchannels")
    for rules in (("~other:*", "&*", "+@all"), ("~*", "&other", "+@all"), ("~*", "&*", "+@read")):
        with redis_server() as server:
            with server.client() as client:
                client.execute_command("ACL", "SETUSER", "phone", *with_password, *rules)
            with pytest.raises(
                ConfigError, match="^REDIS_URL: .* allow its user at least ~phone-agent"
            ):
                await opened(f"redis://phone:secret@127.0.0.1:{server.port}")


async def test_an_address_that_does_not_exist_is_a_redis_that_is_away() -> None:
    for url in (f"redis://127.0.0.1:{free_port()}", "redis://no-such-host.invalid"):
        bus = await RedisBus.open(parse_redis_url(url))
        assert not bus.available
        await bus.aclose()


async def test_sentinels_name_the_server_and_another_one_when_it_fails(
    server: RedisServer,
) -> None:
    standby_of = ("--replicaof", "127.0.0.1", str(server.port))
    with redis_server(*standby_of) as standby, redis_sentinel(server) as sentinel:
        with sentinel.client() as client, standby.client() as there:
            await until(lambda: there.info("replication")["master_link_status"] == "up")
            await until(lambda: client.execute_command("SENTINEL", "REPLICAS", "main") != [])
        bus = await opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/1")
        bus.own(CALL, 0)
        await bus._leases.written()
        server.stop()
        await until_away(bus)
        await until(lambda: bus.available)
        with standby.client() as client:
            client.select(1)
            assert client.get(f"phone-agent:owner:{CALL}") == f"{bus.replica} 0"
        await bus.aclose()


async def test_a_redis_that_is_emptied_while_it_answers_has_everything_again(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await opened(server.url), await opened(server.url)
    first.own(CALL, 1)
    await first.hold("outbound", CALL, 60)
    assert await first.owner(GONE) is None
    with server.client() as client:
        client.flushall()
    for _ in range(2):  # it is noticed with one round, and mended with the next
        await first._leases.written()
    assert await second.owner(CALL) == Owner(first.replica, 1)
    assert not await second.reserve("outbound", GONE, 1, 60)
    with pytest.raises(BusUnavailable):  # its owner may not have registered anew
        await first.owner(GONE)
    assert first.steady_s < SETTLE_S
    said = [record.message for record in caplog.records]
    assert "Redis has lost its data" in said
    for bus in (first, second):
        await bus.aclose()


async def test_leases_that_were_not_renewed_for_long_may_belong_to_others(
    server: RedisServer,
) -> None:
    clock = Clock()
    bus = await opened(server.url, clock)
    assert bus.renewed
    clock.ahead_s += LEASE_S  # the process hung
    assert not bus.renewed
    await bus._leases.written()
    assert bus.renewed
    await bus.aclose()
