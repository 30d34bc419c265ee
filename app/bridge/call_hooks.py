"""Functions that other parts of the service want called when something becomes of a call."""

from collections.abc import Callable


class CallHooks:
    """The `Switchboard` is one, and calls them. Append to the lists at the start."""

    def __init__(self) -> None:
        #: Called with the SID of each call that has ended, once the store has its whole record.
        self.on_call_ended: list[Callable[[str], None]] = []
        #: Called with the SID of each call whose stream has been lost for `ExpiryLimits.slot_s`. It
        #: does not count as live any more, and may still reconnect.
        self.on_slot_freed: list[Callable[[str], None]] = []
        #: Called with (call_sid, lost) of each call that goes on without this process, also if it
        #: had no leg here: `lost` to another replica; otherwise with other TwiML, by its record.
        self.on_call_left: list[Callable[[str, bool], None]] = []
        #: Called with the SID of each outbound call whose first leg in this process is opened.
        self.on_outbound_leg: list[Callable[[str], None]] = []
        #: Each returns how many calls without a leg keep `drain` waiting: outbound calls that ring.
        self.also_live: list[Callable[[], int]] = []


def call_all(hooks: list[Callable[[str], None]], call_sid: str) -> None:
    """Call each with the SID of a call."""
    for hook in hooks:
        hook(call_sid)
