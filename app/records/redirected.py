"""What the record of a call says of its redirects to other TwiML: keys, and transfers to humans."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.call import commands as do
from app.call import events as ev
from app.call.events import STREAM_LOST, ResumeCause
from app.call.exits.attempts import FAILED, TransferAttempts, back_after
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.prompts import DIGITS_SENT
from app.records.record import CallRow, TimelineRow
from app.records.stored_records import StoredRecords

_REDIRECTS = {each.__name__ for each in (do.TransferCall, do.PlayDigits)}
#: After these the redirect before does not matter any more.
_OVER = {each.__name__ for each in (ev.LegOpened, ev.RedirectFailed)}


@dataclass(frozen=True, slots=True)
class Redirect:
    """The redirect that ended a call's last leg, or is about to."""

    #: The tool call that asked for it.
    call_id: str
    #: What Twilio plays; empty: it is a transfer.
    digits: str = ""


def last_redirect(entries: Iterable[TimelineRow]) -> Redirect | None:
    """The redirect that the last leg of a timeline ordered; None: none, or it failed."""
    last: TimelineRow | None = None
    for entry in entries:
        if entry.name in _REDIRECTS:
            last = entry
        elif entry.name in _OVER:
            last = None
    if last is None:
        return None
    return Redirect(str(last.data.get("call_id", "")), str(last.data.get("digits", "")))


async def is_redirected(store: StoredRecords, row: CallRow) -> bool:
    """Whether the caller of a live call is not with an agent, but rings or talks with a human, or
    Twilio plays keys.

    Raises:
        StoreUnavailable: the call's timeline cannot be read.
    """
    attempts = TransferAttempts.restore(row.transfers, ())
    if attempts is not None and attempts.pending:
        return True
    return last_redirect(await store.timeline(row.call_sid)) is not None


def resume_cause(row: CallRow, entries: Iterable[TimelineRow]) -> ResumeCause:
    """Why the caller left the agent, for the next leg of the call."""
    redirect = last_redirect(entries)
    if redirect is None:
        return STREAM_LOST
    if redirect.digits:
        return ResumeCause(SEND_DIGITS, redirect.call_id, DIGITS_SENT)
    attempts = TransferAttempts.restore(row.transfers, ())
    words = attempts.in_words() if attempts is not None else back_after(FAILED)
    return ResumeCause(TRANSFER, redirect.call_id, words)
