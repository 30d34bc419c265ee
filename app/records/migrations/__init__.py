"""The revisions of the schema, for Alembic; `app/records/schema_upgrade.py` runs them.

To change the schema: change `app/records/record.py` or `schema.py`, write the next module in
`versions/`, and append its revision here. Its `upgrade` takes Alembic's `Operations`, and leaves
alone what the database has already. Replicas of the version before go on using the schema
meanwhile: a new column takes NULL or has a server default, and nothing that they use is removed.
"""

#: All revisions, the first one first.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
#: The revision of the schema in `app/records/schema.py`.
HEAD = REVISIONS[-1]
