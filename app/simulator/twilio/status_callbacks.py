"""The status callbacks of a call, one for each event."""

from email.utils import formatdate

from app.simulator.twilio.record import CallRecord
from app.simulator.twilio.trunk import StatusReport
from app.simulator.twilio.webhook import Callbacks, Delivery


class Progress:
    """Reports the progress of a call. (Twilio: Call resource, "StatusCallback")"""

    def __init__(
        self,
        call: CallRecord,
        report: StatusReport | None,
        callbacks: Callbacks,
        delivery: Delivery,
    ) -> None:
        self._call = call
        self._report = report
        self._callbacks = callbacks
        self._delivery = delivery
        self._sequence = 0

    def tell(self, event: str) -> None:
        """Report the call's state now. `event`: one of `CALL_EVENTS`; every end is completed."""
        report = self._report
        if report is None or event not in report.events:
            return
        params = {
            **self._call.parameters(),
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._sequence),
            "Timestamp": formatdate(),
        }
        if event == "completed":
            seconds = self._call.duration_s()
            params["CallDuration"] = str(seconds)
            params["Duration"] = str(-(-seconds // 60))
        self._sequence += 1
        self._callbacks.deliver(self._delivery, report.url, params, report.method)
