"""The network between Twilio and the bridge: delays, order and pace."""

import asyncio

import pytest

from app.simulator.twilio.network import Arrivals, Link, Network, Pacer, now_ms


def arrivals(network: Network, sent_ms: list[float]) -> list[float]:
    link = Arrivals(network, "to the bridge")
    return [link.arrival_ms(at_ms) for at_ms in sent_ms]


def test_every_message_takes_the_delay() -> None:
    assert arrivals(Network(delay_ms=30), [0, 20, 40]) == [30, 50, 70]


def test_jitter_stays_in_its_bounds_and_keeps_the_order() -> None:
    sent_ms = [float(at_ms) for at_ms in range(0, 2000, 20)]
    arrived_ms = arrivals(Network(delay_ms=60, jitter_ms=50), sent_ms)
    assert arrived_ms == sorted(arrived_ms)
    delays = [arrived - sent for sent, arrived in zip(sent_ms, arrived_ms, strict=True)]
    assert min(delays) >= 10
    assert max(delays) <= 110
    assert max(delays) - min(delays) > 50, "there is jitter at all"


def test_jitter_beyond_the_delay_never_arrives_before_it_was_sent() -> None:
    sent_ms = [float(at_ms) for at_ms in range(0, 2000, 20)]
    arrived_ms = arrivals(Network(delay_ms=1, jitter_ms=50), sent_ms)
    assert all(arrived >= sent for sent, arrived in zip(sent_ms, arrived_ms, strict=True))


def test_the_same_seed_gives_the_same_delays() -> None:
    sent_ms = [float(at_ms) for at_ms in range(0, 200, 20)]
    one = arrivals(Network(50, 40, seed=1), sent_ms)
    assert one == arrivals(Network(50, 40, seed=1), sent_ms)
    assert one != arrivals(Network(50, 40, seed=2), sent_ms)


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Network(delay_ms=-1)


async def test_a_link_delivers_late_and_in_order() -> None:
    arrived: list[tuple[int, float]] = []
    done = asyncio.Event()

    def deliver(number: int) -> None:
        arrived.append((number, now_ms()))
        if number == 49:
            done.set()

    link = Link(Network(delay_ms=40, jitter_ms=30), "up", deliver)
    began_ms = now_ms()
    for number in range(50):
        link.send(number)
    assert not arrived
    await done.wait()
    assert [number for number, _ in arrived] == list(range(50))
    assert arrived[0][1] - began_ms >= 10


async def test_a_link_without_delay_delivers_at_once() -> None:
    arrived: list[int] = []
    link = Link(Network(), "up", arrived.append)
    link.send(1)
    assert arrived == [1]


async def test_a_closed_link_drops_what_has_not_arrived() -> None:
    arrived: list[int] = []
    done = asyncio.Event()
    lost = Link(Network(delay_ms=1), "up", arrived.append)
    other: Link[int] = Link(Network(delay_ms=20), "up", lambda _: done.set())
    lost.send(1)
    other.send(1)
    lost.close()
    await done.wait()
    assert arrived == []


async def test_streams_tick_every_20_ms_without_drift() -> None:
    pacer = Pacer()
    ticks: dict[int, list[float]] = {stream: [] for stream in range(5)}
    done = asyncio.Event()

    def tick(stream: int) -> None:
        ticks[stream].append(now_ms())
        if len(ticks[stream]) == 20 and all(len(times) >= 20 for times in ticks.values()):
            done.set()

    streams = [lambda stream=stream: tick(stream) for stream in ticks]
    began_ms = now_ms()
    for stream in streams:
        pacer.add(stream)
    await done.wait()
    for stream in streams:
        pacer.remove(stream)
    for times in ticks.values():
        # Never early: the n-th tick is n * 20 ms after the start, but for the width of a slot.
        assert all(
            at_ms - began_ms >= 20 * number - 4 for number, at_ms in enumerate(times, start=1)
        )


async def test_missed_ticks_are_made_up_for() -> None:
    pacer = Pacer()
    ticks: list[float] = []
    done = asyncio.Event()

    def tick() -> None:
        ticks.append(now_ms())
        if len(ticks) == 1:
            stalled_until_ms = now_ms() + 150
            while now_ms() < stalled_until_ms:
                pass
        if len(ticks) == 6:
            done.set()

    pacer.add(tick)
    await done.wait()
    pacer.remove(tick)
    assert ticks[5] - ticks[1] < 60, "five ticks were late and came at once"


async def test_a_stream_added_by_a_tick_keeps_the_pace() -> None:
    pacer = Pacer()
    ticks: list[float] = []
    done = asyncio.Event()

    def second() -> None:
        ticks.append(now_ms())
        if len(ticks) == 5:
            done.set()

    def first() -> None:
        pacer.remove(first)
        pacer.add(second)

    began_ms = now_ms()
    pacer.add(first)
    await done.wait()
    pacer.remove(second)
    assert ticks[4] - began_ms >= 6 * 20 - 6
