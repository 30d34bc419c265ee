"""GET /calls/{call_sid}/recording: the sound of a call, from whichever replica has its files."""

import asyncio
import io
import wave
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.simulator.realtime import RealtimeServer, Reply, Script
from app.simulator.twilio import Call
from tests.redis_server import redis_server, shared_redis
from tests.service.api import Told, api
from tests.service.routed_replicas import Replicas, by_path, replicas
from tests.service.test_service_recording import RECORDED, sounds
from tests.service.world import API_TOKEN, World, noise, world

HELLO = Reply("Hello.", audio=noise(400, "greeting"), speed=float("inf"))
AGAIN = Reply("Are you there?", audio=noise(300, "again"), speed=float("inf"))
HERE, OTHER = 1, 0


@pytest.fixture
def redis_url() -> str:
    return shared_redis().url


class Fetched:
    """An answer with its body."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


async def fetch(w: World, call_sid: str, method: str = "GET", **headers: str) -> Fetched:
    given = {"Authorization": f"Bearer {API_TOKEN}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{w.url}/calls/{call_sid}/recording"
    async with w.http.request(method, url, headers=given) as answer:
        return Fetched(answer.status, answer.headers, await answer.read())


async def refused(w: World, call_sid: str) -> Told:
    return await api(w, "GET", f"/calls/{call_sid}/recording")


def file_of(record: dict[str, Any]) -> bytes:
    return Path(record["recording"]).read_bytes()


def rename(path: str, to: str) -> None:
    Path(path).rename(to)


async def over(w: World | Replicas, call: Call) -> dict[str, Any]:
    call.hang_up()
    await call.wait_ended()
    await w.settled()
    return await w.record(call.call_sid)


async def talked(r: Replicas) -> tuple[Call, dict[str, Any]]:
    """A call at replica `HERE`, that is over."""
    r.route = by_path({}, otherwise=HERE)
    call = await r.connected()
    await call.wait_quiet(100)
    return call, await over(r, call)


def agent_sounds(wav: bytes) -> list[tuple[float, float]]:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        return sounds(memoryview(file.readframes(file.getnframes())).cast("h")[1::2])


# --- one process ----------------------------------------------------------------------------------


async def test_a_recording_is_served_whole_and_by_ranges(tmp_path: Path) -> None:
    async with world(Script(HELLO), agent=RECORDED, recordings_dir=tmp_path) as w:
        call = await w.connected()
        await call.wait_quiet(100)
        sid = call.call_sid
        record = await over(w, call)
        wav = file_of(record)

        whole = await fetch(w, sid)
        assert (whole.status, whole.body) == (200, wav)
        assert whole.headers["Content-Type"] == "audio/wav"
        assert whole.headers["Accept-Ranges"] == "bytes"
        assert whole.headers["Cache-Control"] == "no-store"
        tag = whole.headers["ETag"]

        head = await fetch(w, sid, "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(wav)) and head.headers["ETag"] == tag

        size = len(wav)
        for asked, begin, end in (
            ("bytes=0-0", 0, 1),
            ("bytes=0-", 0, size),
            ("bytes=10-99", 10, 100),
            ("bytes=43-45", 43, 46),
            ("bytes=1001-3006", 1001, 3007),
            ("bytes=-7", size - 7, size),
            (f"bytes=5-{size * 2}", 5, size),
            (f"bytes=-{size * 2}", 0, size),
        ):
            part = await fetch(w, sid, Range=asked)
            assert part.status == 206, asked
            assert part.body == wav[begin:end], asked
            assert part.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{size}"
        head = await fetch(w, sid, "HEAD", Range="bytes=10-99")
        assert (head.status, head.headers["Content-Length"]) == (206, "90")

        for ignored in (
            "bytes=9-3",
            "bytes=",
            "bytes=-",
            "items=0-1",
            "bytes=0-1,5-6",
            "bytes=x-1",
        ):
            assert (await fetch(w, sid, Range=ignored)).status == 200, ignored
        for asked in (f"bytes={size}-", "bytes=-0", "bytes=999999999999999999-"):
            none = await fetch(w, sid, Range=asked)
            assert none.status == 416, asked
            assert none.headers["Content-Range"] == f"bytes */{size}"
            assert none.headers["Content-Type"] == "application/problem+json"
        assert (await fetch(w, sid, Range="bytes=0-9", If_Range=tag)).status == 206
        assert (await fetch(w, sid, Range="bytes=0-9", If_Range='"other"')).status == 200


async def test_a_recording_of_a_live_call_grows(tmp_path: Path) -> None:
    async with world(Script(HELLO), agent=RECORDED, recordings_dir=tmp_path) as w:
        call = await w.connected()
        leg = w.switchboard.leg(call.call_sid)
        assert leg is not None
        await call.wait_quiet(100)
        await leg.seed.recorder.save_recording(50.0)
        await w.store.flush()
        first = await fetch(w, call.call_sid)
        assert first.status == 200 and first.body.startswith(b"RIFF")
        await leg.seed.recorder.save_recording(400.0)
        more = await fetch(w, call.call_sid)
        assert len(more.body) > len(first.body) and more.headers["ETag"] != first.headers["ETag"]
        await over(w, call)


async def test_calls_without_a_recording_have_none_to_serve(tmp_path: Path) -> None:
    async with world(Script(HELLO), recordings_dir=tmp_path) as w:
        told = await refused(w, "CA" + "9" * 32)
        assert told.status == 404 and "GET /calls" in told.detail
        call = await w.connected()
        told = await refused(w, call.call_sid)
        assert (told.status, told.detail) == (404, "this call has no recording")
        record = await over(w, call)
        assert record["recording"] is None
        outside = tmp_path.parent / "outside.txt"
        outside.write_text("secret")
        (tmp_path / "text.wav").write_text("no sound")
        for path in (outside, tmp_path / "text.wav", "../../etc/passwd", "gone.wav"):
            w.store.save_call(call.call_sid, recording=str(path))
            await w.store.flush()
            told = await refused(w, call.call_sid)
            assert told.status == 404 and "does not exist any more" in told.detail
        assert (await api(w, "GET", f"/calls/{call.call_sid}/recording", token=None)).status == 401


async def test_a_recording_of_an_earlier_version_is_found_where_it_was_written(
    tmp_path: Path,
) -> None:
    async with world(Script(HELLO), agent=RECORDED, recordings_dir=tmp_path / "now") as w:
        call = await w.connected()
        await call.wait_quiet(100)
        record = await over(w, call)
        wav, before = file_of(record), tmp_path / "before.wav"
        rename(record["recording"], str(before))
        w.store.save_call(call.call_sid, recording=str(before), recordings=[])
        await w.store.flush()
        assert (await fetch(w, call.call_sid)).body == wav


# --- replicas -------------------------------------------------------------------------------------


async def test_every_replica_serves_a_recording_that_one_of_them_has(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url, count=3, agent=RECORDED) as r:
        call, record = await talked(r)
        wav = file_of(record)
        assert len(wav) > 5000
        for each in r.worlds:
            whole, part, head = await asyncio.gather(
                fetch(each, call.call_sid),
                fetch(each, call.call_sid, Range="bytes=1001-3006"),
                fetch(each, call.call_sid, "HEAD"),
            )
            assert (whole.status, whole.body) == (200, wav)
            assert (part.status, part.body) == (206, wav[1001:3007])
            assert head.headers["Content-Length"] == str(len(wav))
            assert head.headers["ETag"] == whole.headers["ETag"]


async def test_a_long_recording_comes_in_pieces(postgres_url: str, redis_url: str) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url, agent=RECORDED) as r:
        call, record = await talked(r)
        with wave.open(record["recording"], "wb") as file:
            file.setparams((2, 2, 8000, 0, "NONE", ""))
            file.writeframes(noise(50_000, "long") * 4)
        wav = file_of(record)
        assert len(wav) > 40 * (32 << 10)
        assert (await fetch(r[OTHER], call.call_sid)).body == wav


async def test_files_in_a_shared_folder_need_no_other_replica(
    postgres_url: str, tmp_path: Path
) -> None:
    with redis_server() as redis:
        async with replicas(
            Script(HELLO), postgres_url, redis.url, agent=RECORDED, recordings_dir=tmp_path
        ) as r:
            call, record = await talked(r)
            redis.stop()
            wav = file_of(record)
            for each in r.worlds:
                assert (await fetch(each, call.call_sid)).body == wav


async def test_the_parts_that_replicas_recorded_of_one_call_are_one_recording(
    postgres_url: str, redis_url: str
) -> None:
    server = RealtimeServer(lambda turn: HELLO if "first time" in turn.instructions else AGAIN)
    async with replicas(server, postgres_url, redis_url, count=3, agent=RECORDED) as r:
        r.route = by_path({"/media-stream": HERE})
        call = await r.connected()
        await call.wait_quiet(100)
        r.route = by_path({"/media-stream": OTHER})
        await call.drop()
        await call.wait_connected(2)
        heard = len(call.heard)
        await call.wait_heard(heard + len(AGAIN.audio or b""))
        await call.wait_quiet(100)
        record = await over(r, call)
        row = await r[2].store.get_call(call.call_sid)
        assert row is not None and len(row.recordings) == 2
        assert len({each["at"] for each in row.recordings}) == 2
        found = [await fetch(each, call.call_sid) for each in r.worlds]
        assert len({each.body for each in found}) == 1
        played = [e["at_ms"] for e in record["events"] if e["name"] == "PlayAudio"]
        first, second = agent_sounds(found[0].body)
        assert abs(first[0] - played[0]) < 20 and second[0] > first[1]
        assert first[1] - first[0] > 350 and second[1] - second[0] > 250
        last = row.recordings[-1]["path"]
        assert last == record["recording"]
        assert agent_sounds(file_of(record)) == [second]  # a WAV file by itself


async def test_a_recording_at_a_replica_that_is_away_says_which(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(
        Script(HELLO), postgres_url, redis_url, agent=RECORDED, own_addresses=True, fails=True
    ) as r:
        call, record = await talked(r)
        path, wav = record["recording"], file_of(record)
        bus = r[HERE].state.services.bus
        answering = bus.on_request

        async def fails(request: Any) -> Any:
            raise OSError("the disk is gone")

        bus.on_request = fails
        told = await refused(r[OTHER], call.call_sid)
        assert told.status == 503 and "https://replica-1.example.com" in told.detail
        bus.on_request = answering
        rename(path, f"{path}.kept")
        told = await refused(r[OTHER], call.call_sid)
        assert told.status == 404 and "does not exist any more" in told.detail
        rename(f"{path}.kept", path)
        assert (await fetch(r[OTHER], call.call_sid)).body == wav

        r[HERE].server.should_exit = True
        while (await fetch(r[OTHER], call.call_sid, "HEAD")).status == 200:
            pass
        told = await refused(r[OTHER], call.call_sid)
        assert told.status == 503 and "https://replica-1.example.com" in told.detail


async def test_a_replica_that_goes_away_meanwhile_ends_the_body_early(
    postgres_url: str, redis_url: str
) -> None:
    async with replicas(Script(HELLO), postgres_url, redis_url, agent=RECORDED, fails=True) as r:
        call, record = await talked(r)
        with wave.open(record["recording"], "wb") as file:
            file.setparams((2, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(200_000))
        bus = r[HERE].state.services.bus
        answering, asked = bus.on_request, 0

        async def fails_later(request: Any) -> Any:
            nonlocal asked
            asked += request["request"] == "read"
            if asked > 2:
                raise OSError("the disk is gone")
            return await answering(request)

        bus.on_request = fails_later
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(r[OTHER], call.call_sid)
        (line,) = r.log.of("recording not sent to its end")
        assert "does not answer" in line["cause"]


async def test_while_redis_is_away_a_recording_of_another_replica_waits_for_it(
    postgres_url: str,
) -> None:
    with redis_server() as redis:
        async with replicas(Script(HELLO), postgres_url, redis.url, agent=RECORDED) as r:
            call, record = await talked(r)
            redis.stop()
            told = await refused(r[OTHER], call.call_sid)
            assert told.status == 503 and "Redis is away" in told.detail
            assert (await fetch(r[HERE], call.call_sid)).body == file_of(record)
