"""Finds the row of a call that may have begun this moment."""

from app.records.record import CallRow
from app.records.store import Store

NO_RECORD = "there is no record of this call; see GET /calls"
WRITTEN_S = 2.0  # for the store to write the record of a call that has just begun


async def find_row(store: Store, call_sid: str) -> CallRow | None:
    """The row of a call; if there is none yet, flushes the store and looks again. None: there is
    no such call.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    row = await store.get_call(call_sid)
    if row is None:
        await store.flush(WRITTEN_S)
        row = await store.get_call(call_sid)
    return row
