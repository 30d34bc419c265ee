"""The demo on the terminal: the call's events as they happen, and its figures at the end."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.call import commands as do
from app.call import events as ev
from app.records.report.call_report import CallReport
from app.records.report.call_text import no_interruption
from app.records.report.terminal import facts, transcript
from app.records.visible import one_line, visible
from app.records.watching import Watched
from app.wires.twilio.call import CallInfo
from app.wires.voices.voice import Voice


class Screen:
    """Prints the call. `watch` goes into `Services.watchers`; `line_says` shows what the service
    does not see; call `summary` after the call."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turn_ended_ms: float | None = None
        self._away = False
        self._ready = False  # the present session is
        self._messages = 0  # of the earlier conversation, added to a new session
        self._voices: Sequence[str] = ()
        self._voice: int | None = None  # index of the one that spoke last

    def begin(self, agent: str, file: str, voices: Sequence[Voice], note: str) -> None:
        """Call it before the call. `voices`: the external voices, in the order in which they take
        over. `note`: a sentence about them."""
        self._voices = [voice.label for voice in voices]
        self.say(f"A simulated caller rings {agent} of {file} …")
        self.say("The line and the humans on it are simulated too, with shortened waits.")
        self.say(f"{note}\n" if note else "")

    def watch(self, _call: CallInfo, message: Watched, now_ms: float) -> None:
        match message:
            case ev.ModelOpened():
                self._ready = False
            case ev.SessionConfigured() if not self._ready:
                self._ready = True  # later ones confirm changes
                self._line(now_ms, "bridge", "the model's session is ready", "yellow")
            case ev.LegOpened(tool=tool, output=output) if tool:
                self._line(now_ms, "tool", f"→ {output}", "blue")
            case do.ConfigureSession(speaks=True) if self._voices:
                self._line(now_ms, "bridge", "no voice is left: the model speaks itself", "red")
            case do.Synthesize(voice=voice) if voice != self._voice:
                self._voice = voice
                self._line(now_ms, "voice", f"{self._voices[voice]} speaks", "yellow")
            case ev.VoiceFailed(_, reason):
                self._line(now_ms, "voice", reason, "red")
            case do.AddMessage(_, "assistant", text, item_id) if item_id:
                note = f"its answer in the conversation becomes what was heard: “{text}”"
                self._line(now_ms, "bridge", note, "yellow")
            case do.AddMessage():
                self._messages += 1
            case do.CreateResponse() if self._messages:
                note = f"the new session gets the conversation, in {self._messages} messages"
                self._line(now_ms, "bridge", note, "yellow")
                self._messages = 0
            case ev.StreamStarted():
                note = "is back with the agent, in a new stream" if self._away else "is connected"
                self._line(now_ms, "line", f"the caller {note}", "green")
            case ev.SpeechStarted():
                self._line(now_ms, "caller", "…", "cyan")
            case ev.SpeechStopped():
                self._turn_ended_ms = now_ms
            case ev.CallerTranscribed(_, text):
                self._line(now_ms, "caller", text or "(no words)", "bold cyan")
            case do.PlayAudio() if self._turn_ended_ms is not None:
                after_ms = now_ms - self._turn_ended_ms
                note = f"first audio {after_ms:.0f} ms after the caller's turn was over"
                self._line(now_ms, "bridge", note, "yellow")
                self._turn_ended_ms = None
            case ev.TranscriptCompleted(_, text):
                self._line(now_ms, "agent", text, "bold magenta")
            case do.ClearAudio():
                note = "the agent falls silent: Twilio's buffer cleared"
                self._line(now_ms, "bridge", note, "yellow")
            case do.ReportInterruption("false", reason, paused_ms):
                self._turn_ended_ms = None
                note = f"{no_interruption(reason)}: the agent went on after {paused_ms:.0f} ms"
                self._line(now_ms, "bridge", note, "yellow")
            case do.ReportInterruption("confirmed", reason):
                self._line(now_ms, "bridge", f"an interruption: {reason}", "yellow")
            case do.TruncateItem(_, _, audio_end_ms):
                note = f"its answer is truncated to the {audio_end_ms} ms that were heard"
                self._line(now_ms, "bridge", note, "yellow")
            case do.RunTool(_, name, arguments):
                self._line(now_ms, "tool", f"{name} {arguments}", "blue")
            case ev.ToolReturned(_, output) | ev.ToolFailed(_, output):
                self._line(now_ms, "tool", f"→ {output}", "blue")
            case do.HangUp(reason):
                note = f"the goodbye was heard to its last mark; hanging up ({reason})"
                self._line(now_ms, "bridge", note, "yellow")
            case do.TransferCall(route=route):
                note = "the announcement was heard to its last mark; Twilio rings "
                self._line(now_ms, "bridge", note + ", ".join(route), "yellow")
            case do.EndLeg(reason):
                self._away = reason == "transfer"
                self._line(now_ms, "line", f"the stream is over ({reason})", "green")
            case ev.ModelLost(reason):
                self._line(now_ms, "bridge", f"model lost: {reason}", "red")

    def line_says(self, now_ms: float, who: str, what: str) -> None:
        """Show something that happened on the line. `now_ms`: since the call began."""
        self._line(now_ms, who, what, "green")

    def say(self, text: str) -> None:
        """Print a note about the demo as a whole."""
        self._console.print(
            "\n".join(map(visible, text.split("\n"))), highlight=False, markup=False
        )

    def _line(self, now_ms: float, who: str, what: str, style: str) -> None:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=8, justify="right")
        row.add_column(width=7)
        row.add_column(ratio=1)
        row.add_row(
            Text(f"{now_ms / 1000:.2f} s", "dim"), Text(who, "bold"), Text(one_line(what), style)
        )
        self._console.print(row)

    def summary(self, report: CallReport) -> None:
        """Print the transcript, the response times, and what the call would have cost."""
        self._console.print("\nWhat both sides heard:\n", style="bold")
        self._console.print(transcript(report))
        self._console.print()
        self._console.print(facts(report))
        beside = "; without the price of the external voice" if self._voices else ""
        self._console.print(
            f"The cost is what OpenAI and Twilio would charge for such a call{beside}.\n",
            style="dim",
        )
