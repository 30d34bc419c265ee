"""What is heard on a live call, for those who listen in: both sides, placed as in a recording."""

from binascii import a2b_base64, b2a_base64

from app.audio import ULAW_BYTES_PER_MS
from app.call import commands as do
from app.records.recording import CallSound

#: A listener hears a call so much later than it happens: frames of the caller's may be late.
DELAY_MS = 200.0
#: A listener that took nothing for longer skips what came before.
MOST_MS = 2000.0

#: The commands that change what the caller hears.
AUDIBLE = frozenset({do.PlayAudio, do.ClearAudio, do.EndLeg})


class Listener:
    """One who listens in on a call, from now on. Call `take` several times a second."""

    def __init__(self, now_ms: float) -> None:
        #: There is nothing more to hear on this call in this process.
        self.over = False
        self._sound = CallSound()
        self._sound.stream_started(now_ms)
        self._taken_ms = max(0.0, now_ms - DELAY_MS)
        self._sound.skip(self._taken_ms)

    def stream_started(self, now_ms: float) -> None:
        """Another media stream carries the call."""
        self._sound.stream_started(now_ms)

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        """See `CallSound.caller_frame`."""
        self._sound.caller_frame(payload, timestamp, now_ms)

    def command(self, command: do.Command, now_ms: float) -> None:
        """See `CallSound.command`."""
        self._sound.command(command, now_ms)

    def take(self, now_ms: float) -> bytes:
        """What was heard since the last time: two bytes of µ-law for each sample at 8000 Hz, the
        caller's and the agent's."""
        until_ms = now_ms - DELAY_MS
        if until_ms - self._taken_ms > MOST_MS:
            self._sound.take_ulaw(until_ms - MOST_MS)
        self._taken_ms = max(self._taken_ms, until_ms)
        return self._sound.take_ulaw(self._taken_ms)


class LiveSound:
    """The listeners of a call. Give it every command of `AUDIBLE`, listeners or not: what was sent
    already may play for many seconds. Call `forget_played` as it plays."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        # What was sent and has not played, with its end in ms of the call's clock.
        self._sent: list[tuple[float, do.PlayAudio]] = []
        self._closed = False

    def listen(self, now_ms: float) -> Listener:
        """Begin to listen in. Call `leave` at the end."""
        listener = Listener(now_ms)
        listener.over = self._closed
        for to_ms, audio in self._sent:
            listener.command(audio, to_ms - audio.size_bytes / ULAW_BYTES_PER_MS)
        self.listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """A listener listens no more."""
        if listener in self.listeners:
            self.listeners.remove(listener)

    def close(self) -> None:
        """The call has ended, or goes on without this process."""
        self._closed = True
        self._sent.clear()
        for listener in self.listeners:
            listener.over = True

    def stream_started(self, now_ms: float) -> None:
        """A media stream carries the call from now on: nothing of the one before plays."""
        self._sent.clear()
        for listener in self.listeners:
            listener.stream_started(now_ms)

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        """A frame of the caller's. Needed only while there are listeners."""
        for listener in self.listeners:
            listener.caller_frame(payload, timestamp, now_ms)

    def forget_played(self, now_ms: float) -> None:
        """Keep no audio that has played. Call it when a mark has come back."""
        sent = self._sent
        played = next((i for i, (to_ms, _) in enumerate(sent) if to_ms > now_ms), len(sent))
        del sent[:played]

    def command(self, command: do.Command, now_ms: float) -> None:
        """Audio was sent, or what was not heard of it was cleared."""
        match command:
            case do.PlayAudio():
                self.forget_played(now_ms)
                sent = self._sent
                from_ms = sent[-1][0] if sent else now_ms
                sent.append((from_ms + command.size_bytes / ULAW_BYTES_PER_MS, command))
            case do.ClearAudio(dropped_bytes) | do.EndLeg(_, dropped_bytes):
                self._take_back(dropped_bytes)
        for listener in self.listeners:
            listener.command(command, now_ms)

    def _take_back(self, dropped_bytes: int) -> None:
        """The last `dropped_bytes` that were sent were not heard."""
        while dropped_bytes > 0 and self._sent:
            to_ms, last = self._sent.pop()
            kept = max(0, last.size_bytes - dropped_bytes)
            if kept:
                ulaw = a2b_base64(last.payload)[:kept]
                payload = b2a_base64(ulaw, newline=False).decode("ascii")
                to_ms -= dropped_bytes / ULAW_BYTES_PER_MS
                self._sent.append((to_ms, do.PlayAudio(last.item_id, payload, kept)))
            dropped_bytes -= last.size_bytes - kept
