"""What the doctor says of database, Redis, disk, clock and external voices."""

import re
import sqlite3
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.cli.doctor.machine import check_clock, check_database, check_disk, check_redis
from app.cli.doctor.voices import check_voices
from app.records.store import Store
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Plan, tones
from tests.cli.doctor.scene import SID, TOKEN, found, states, subject
from tests.ports import free_port
from tests.redis_server import redis_server

Usage = namedtuple("Usage", "total used free")


async def test_a_database_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    [check] = await check_database(subject(tmp_path))

    assert check.state == "ok" and "first start" in check.detail
    assert not (tmp_path / "calls.db").exists()


async def test_the_schema_of_a_database_is_named(tmp_path: Path) -> None:
    checked, file = subject(tmp_path), tmp_path / "calls.db"
    await (await Store.open(f"sqlite:///{file}")).aclose()
    assert states(await check_database(checked)) == {"database": "ok", "migrations": "ok"}

    for revision, words in (("0001", "migrates it"), ("9999", "newer version")):
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.close()
        check = found(await check_database(checked), "migrations")
        assert check.state == "warning" and revision in check.detail and words in check.fix


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_text("this is a letter to my aunt" * 100)
    [check] = await check_database(subject(tmp_path))

    assert check.state == "fault" and "DATABASE_URL" in check.fix


async def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    checked = subject(tmp_path, database_url=f"sqlite:///{folder}/calls.db")
    folder.rmdir()
    [check] = await check_database(checked)

    assert check.state == "fault" and "create it first" in check.detail


async def test_a_postgresql_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path,
) -> None:
    url = f"postgresql://me:s3cret@127.0.0.1:{free_port()}/calls"
    [check] = await check_database(subject(tmp_path, database_url=url))

    assert check.state == "fault" and "s3cret" not in f"{check}" and "127.0.0.1" in check.detail


async def test_redis_answers_or_is_named(tmp_path: Path) -> None:
    values = {"api_token": "the token of the operators", "database_url": "postgresql://h/calls"}
    away = subject(tmp_path, redis_url=f"redis://127.0.0.1:{free_port()}", **values)
    [check] = await check_redis(away)
    assert check.state == "fault" and "REDIS_URL" in check.fix

    with redis_server() as server:
        [check] = await check_redis(subject(tmp_path, redis_url=server.url, **values))
    assert check.state == "ok"
    assert await check_redis(subject(tmp_path)) == []


@pytest.mark.parametrize(
    ("free", "state"), [(5 << 30, "ok"), (500 << 20, "warning"), (50 << 20, "fault")]
)
async def test_little_room_on_the_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1, 1, free))

    assert states(await check_disk(subject(tmp_path))) == {"disk": state}


async def test_a_folder_for_recordings_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("")
    check = (await check_disk(subject(tmp_path, "[recording]\nenabled = true\n")))[0]

    assert check.state == "fault" and "RECORDINGS_DIR" in check.fix


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [(0, "ok", "agrees"), (20, "warning", "20 s ahead"), (-300, "fault", "300 s behind")],
)
async def test_a_clock_that_is_wrong_is_named(
    tmp_path: Path, seconds: int, state: str, words: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        there = datetime.now(UTC) - timedelta(seconds=seconds)
        return web.Response(status=404, headers={"Date": format_datetime(there, usegmt=True)})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        account = {"twilio_account_sid": SID, "twilio_auth_token": TOKEN}
        [check] = await check_clock(subject(tmp_path, twilio_api_base_url=url, **account))

    shown = re.sub("21|19", "20", re.sub("301|299", "300", check.detail))  # whole seconds
    assert check.state == state and words in shown


# --- voices ---------------------------------------------------------------------------------------


async def test_the_models_own_voice_is_named(tmp_path: Path) -> None:
    [check] = await check_voices(subject(tmp_path))

    assert check.state == "ok" and "the model speaks itself" in check.detail


async def test_each_external_voice_says_a_word(tmp_path: Path) -> None:
    async with HttpStandIn(tones, lambda _: Plan()) as playing:
        agent = (
            f'[voice]\nprovider = "http"\nname = "Ann"\nurl = "{playing.url}"\n'
            f'[[voice.fallback]]\nprovider = "http"\nname = "Bob"\n'
            f'url = "http://127.0.0.1:{free_port()}/stream-audio"\n'
            '[[voice.fallback]]\nprovider = "qwen"\nname = "Ethan"\n'
        )
        checks = await check_voices(subject(tmp_path, agent))

    assert [each.state for each in checks] == ["ok", "fault", "fault"]
    assert "first sound" in checks[0].detail
    assert "DASHSCOPE_API_KEY" in checks[2].detail
