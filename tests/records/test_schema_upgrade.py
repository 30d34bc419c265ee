"""The schema of each version of the service becomes this version's, on both databases."""

import asyncio
import logging
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.records import migrations
from app.records.engines import open_engine
from app.records.schema import metadata
from app.records.store import Store, TurnRow
from tests.records.test_database import EARLIER_CALL, EARLIER_SCHEMA

EARLIER_ON_POSTGRES = EARLIER_SCHEMA.replace("DATETIME", "TIMESTAMP WITH TIME ZONE")


async def execute(url: str, *statements: str) -> None:
    engine = open_engine(url, busy_timeout_ms=1000)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
    await engine.dispose()


async def make_earlier(url: str) -> None:
    """Tables of before calls had a cost, a recording, a summary and reports; and a call."""
    schema = EARLIER_ON_POSTGRES if url.startswith("postgresql") else EARLIER_SCHEMA
    call = EARLIER_CALL.replace("?", "'CA1'")
    await execute(url, *filter(str.strip, schema.split(";")), call)


async def revision_of(url: str) -> list[str]:
    engine = open_engine(url, busy_timeout_ms=1000)
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        revisions = list(found.scalars())
    await engine.dispose()
    return revisions


async def differences(url: str) -> list[object]:
    """Between the database and the tables that the source declares."""

    def compare(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    engine = open_engine(url, busy_timeout_ms=1000)
    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found


def test_the_revisions_that_are_listed_are_those_that_there_are() -> None:
    scripts = ScriptDirectory(Path(migrations.__file__).parent)

    assert [each.revision for each in scripts.walk_revisions()][::-1] == [*migrations.REVISIONS]
    assert scripts.get_heads() == [migrations.HEAD]


async def test_an_empty_database_gets_the_whole_schema(database_url: str) -> None:
    await (await Store.open(database_url)).aclose()

    assert await differences(database_url) == []
    assert await revision_of(database_url) == [migrations.HEAD]


async def test_a_database_of_before_there_were_revisions_is_taken_over(database_url: str) -> None:
    await make_earlier(database_url)

    store = await Store.open(database_url)
    store.save_turns("CA1", [TurnRow(0, "user", "hello")])
    await store.flush()
    call = await store.get_call("CA1")
    await store.aclose()

    assert call is not None
    assert (call.cost, call.duration_s, call.epoch, call.status) == ({}, 12.5, 0, "completed")
    assert await differences(database_url) == []
    assert await revision_of(database_url) == [migrations.HEAD]


async def test_a_database_of_the_revision_before_gets_what_is_new(database_url: str) -> None:
    await (await Store.open(database_url)).aclose()
    columns = [
        f"ALTER TABLE calls DROP COLUMN {name}" for name in ("epoch", "adopted_by", "revision")
    ]
    await execute(database_url, *columns, "UPDATE alembic_version SET version_num = '0001'")

    await (await Store.open(database_url)).aclose()

    assert await differences(database_url) == []
    assert await revision_of(database_url) == [migrations.HEAD]


async def test_replicas_that_start_together_migrate_one_after_another(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.records.schema_upgrade")
    await make_earlier(database_url)

    opening = (Store.open(database_url, busy_timeout_ms=15_000) for _ in range(5))
    stores = await asyncio.gather(*opening)

    for store in stores:
        assert [call.call_sid for call in await store.list_calls()] == ["CA1"]
        await store.aclose()
    assert caplog.messages.count("database migrated") == 1
    assert await revision_of(database_url) == [migrations.HEAD]


async def test_a_replica_goes_on_beside_the_schema_of_a_newer_version(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    older = await Store.open(database_url)
    await execute(
        database_url,
        "ALTER TABLE calls ADD COLUMN mood TEXT DEFAULT 'calm' NOT NULL",
        "DROP INDEX ix_calls_status_created_at",  # the newer version has no use for it
        "UPDATE alembic_version SET version_num = '9999'",
    )
    again = await Store.open(database_url)
    for number, store in enumerate((older, again)):
        store.save_call(f"CA{number}", status="in-progress", agent_name="Ada")
        await store.flush()
        assert await store.adopt(f"CA{number}") == 1

    assert {call.call_sid for call in await again.list_calls()} == {"CA0", "CA1"}
    assert await revision_of(database_url) == ["9999"]
    assert await differences(database_url) != []  # nothing was put back
    (line,) = [r for r in caplog.records if "newer version" in r.message]
    assert vars(line)["revision"] == "9999"
    for store in (older, again):
        await store.aclose()
