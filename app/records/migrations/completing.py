"""Creates what a database does not have: tables, columns, indexes."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable


def complete_tables(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Create the tables, columns and indexes of `metadata` that are missing. What there is stays as
    it is. Others may go on using the tables with the columns that they know."""
    create_tables(connection, metadata)
    add_columns(connection, missing_columns(connection, metadata))
    create_indexes(connection, metadata)


def create_tables(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Create the tables that are missing."""
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))


def create_indexes(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Create the indexes that are missing."""
    for table in metadata.sorted_tables:
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))


def missing_columns(connection: sa.Connection, metadata: sa.MetaData) -> list[sa.Column[Any]]:
    """The columns that the database's tables do not have."""
    inspector = sa.inspect(connection)
    return [
        column
        for table in metadata.sorted_tables
        for known in [{each["name"] for each in inspector.get_columns(table.name)}]
        for column in table.columns
        if column.name not in known
    ]


def add_columns(connection: sa.Connection, columns: list[sa.Column[Any]]) -> None:
    """Add columns to their tables."""
    for column in columns:
        name = connection.dialect.identifier_preparer.format_table(column.table)
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
