"""`python -m bench`: the service compared with a bare relay, and the other measurements by name."""

import argparse
import asyncio
import sys
from datetime import date
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from bench import long_call, sound, tools, truth
from bench.console import report as console_report
from bench.console import run as console_run
from bench.coughs import run as coughs
from bench.load import peer, report
from bench.load import run as load
from bench.load.run import Measurement, Plan
from bench.load.series import BARGE_IN, CAPACITY, Series
from bench.process import CORES, Subject, machine, pin
from bench.proxies import run as proxies
from bench.replicas import judge, soak, stores
from bench.replicas import run as replicas
from bench.silences import lost_lines, omissions
from bench.silences import run as silences
from bench.softphone import run as softphone
from bench.strangers import lifetimes
from bench.strangers import run as strangers
from bench.strangers.attacks import ATTACKS
from bench.voices import cost as voices_cost
from bench.voices import run as voices

WIDE = 250  # characters

HELP = """\
Puts calls on the service and on a bare relay, one after the other, and compares them.

The load plays both ends: N telephones at Twilio and the Realtime model, over loopback, without
TLS. Every caller sends a frame each 20 ms, is answered every 4 s, and interrupts every third
answer. The relay (bench/load/relay.py) is the least that a Python process can do as a bridge, so a
ratio says what the service's own work costs, on any machine. Each run starts its subject afresh on
a core of its own; compare figures of one run only, and let nothing else work meanwhile.
Beside them runs another project's bridge, if `make peers` has installed it. The service runs once
more while pages of its console are open and its metrics are scraped, and with as many calls as a
core is to hold. Last, a call of an hour runs in virtual time: a delta at its end must cost what one
at its beginning does.
"""

LIMITS = f"""\
limits (exit status 1 when one is not kept):
  CPU per call-minute                       {report.CPU_RATIO:g} times the relay's, \
{report.CPU_OVER_PEER:g} times the peer's
  frames, either way                        p50 {report.P50_MS} ms, p99 the relay's \
+ {report.P99_OVER_RELAY_MS} ms, p99.9 + {report.P999_OVER_RELAY_MS} ms
  memory of a call                          {report.MEMORY_RATIO} times the relay's
  speech_started to clear, {BARGE_IN.calls} calls         p99 {report.CLEAR_P99_MS} ms
  a core with {CAPACITY.calls} calls                     {report.CAPACITY_PERCENT} %, frames' p99 \
{report.CAPACITY_P99_MS} ms, nothing lost
  pages open, metrics scraped               {report.WATCHED_RATIO} times the relay's CPU
  a delta at minute {long_call.COMPARED[0]}, {long_call.MINUTES}                   \
{long_call.LIMIT:g} times minute 1
  calls lost, frames lost, model sockets left open {load.LEFT_OPEN_AFTER_S} s after hang-up: none
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m bench",
        description=HELP,
        epilog=LIMITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        choices=["load", *OTHERS],
        default="load",
        help="load: what a call costs; truth: truncations at interruptions; sound: where a "
        "recording has what was heard; voices: truncation, latency and cost of external voices; "
        "coughs: sounds that are no interruption beside real ones; strangers: attacks at the port "
        "beside live calls; silences: responses without sound; lines: media streams that break; "
        "proxies: nginx, HAProxy and Caddy before the service; tools: tools that compute; "
        "replicas: three replicas that are killed, stopped and replaced; console: the page "
        "and its searches with many calls; softphone: its sound in a browser (default: load)",
    )
    add(
        "--interruptions",
        type=positive,
        metavar="N",
        help="for truth (200); for coughs, and as many sounds that are none (400)",
    )
    add("--seed", type=positive, default=coughs.SEED, help=f"for coughs ({coughs.SEED}), replicas")
    add(
        "--calls",
        type=positive,
        default=100,
        metavar="N",
        help="calls at once; for voices interruptions and answers, for each of them (100)",
    )
    add(
        "--seconds",
        type=positive,
        metavar="S",
        help="length of each run (15; for sound 180, for voices 6); for replicas: how long stores "
        f"are away ({stores.SECONDS}), or the length of soak ({soak.SECONDS})",
    )
    add("--runs", type=positive, metavar="R", help="of each, interleaved (3; for voices 2)")
    add(
        "--part",
        choices=[*voices.PARTS, *coughs.PARTS, *replicas.PARTS, *console_run.PARTS],
        help="for voices, coughs, replicas, console: only this part",
    )
    add(
        "--only",
        metavar="TEXT",
        default="",
        help="for strangers, silences, proxies, stores of replicas: only those with this in their "
        "name",
    )
    add("--json", type=Path, metavar="FILE", help="write every run's figures")
    add("--markdown", type=Path, metavar="FILE", help="write the table for a README")
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number above 0."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("expected a whole number, 1 or more")
    return number


def measure(todo: list[tuple[Subject, Plan]], console: Console) -> list[Measurement]:
    """Run one after the other, and show the progress.

    The bar is drawn between phases only: a drawing thread would disturb the measurement.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    done = []
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=len(todo))
        for subject, plan in todo:

            def say(phase: str, name: str = subject.name) -> None:
                progress.update(task, description=f"{name}: {phase}", refresh=True)

            run = uvloop.run(load.run(subject, plan, say))
            progress.console.print(
                f"{run.subject:8} {run.calls} calls: {run.cpu_s_per_call_minute:.3f} CPU s per "
                f"call-minute, p99 {run.uplink_ms.p99:.2f} ms up, {run.downlink_ms.p99:.2f} ms down"
            )
            progress.update(task, advance=1, refresh=True)
            done.append(run)
    return done


def show(rows: list[report.Row], caption: str, console: Console) -> None:
    """Print the table."""
    table = Table(caption=caption, caption_justify="left")
    for number, heading in enumerate(report.HEADINGS):
        table.add_column(heading, justify="right" if 0 < number < 4 else "left")
    for row in rows:
        table.add_row(*row.cells, style={None: "", True: "green", False: "bold red"}[row.kept])
    console.print(table)


def tell_truth(options: argparse.Namespace, console: Console) -> int:
    """Measure truncations. Returns the exit status."""
    done = []
    for number, condition in enumerate(truth.CONDITIONS):
        interruptions = options.interruptions or 200
        console.print(f"{condition.name}: {interruptions} interruptions …")
        done.append(uvloop.run(truth.measure(condition, interruptions, seed=number)))
    show_limits_kept(truth.HEADINGS, truth.rows(done), options)
    return 0 if all(each.kept for each in done) else 1


def show_limits_kept(
    headings: tuple[str, ...], rows: list[tuple[str, ...]], options: argparse.Namespace
) -> None:
    """Print a table whose last column is PASS or FAIL, and write it if the options say."""
    show_verdicts(headings, rows)
    if options.markdown:
        options.markdown.write_text(markdown_of(headings, rows))


def show_verdicts(headings: tuple[str, ...], rows: list[tuple[str, ...]], title: str = "") -> None:
    """Print a table whose last column is PASS, FAIL, or empty where there is no limit."""
    table = Table(*headings, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*row, style={"PASS": "green", "FAIL": "bold red"}.get(row[-1], ""))
    new_console().print(table)


def new_console() -> Console:
    """A console for plain text, `WIDE` unless it is a terminal."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def markdown_of(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def hear_sound(options: argparse.Namespace, console: Console) -> int:
    """Measure a recording. Returns the exit status."""
    seconds = options.seconds or 180
    console.print(f"One call of {seconds} s, recorded …")
    done = uvloop.run(sound.run(seconds))
    show_limits_kept(sound.HEADINGS, sound.rows(done), options)
    return 0 if done.kept else 1


def compare_voices(options: argparse.Namespace, console: Console) -> int:
    """Measure external voices. Returns the exit status."""
    parts = (options.part,) if options.part else voices.PARTS
    seconds, runs = options.seconds or voices_cost.SECONDS, options.runs or voices.RUNS
    kept, written = True, []
    for part in voices.measure(parts, options.calls, seconds, runs, console.print):
        show_verdicts(part.headings, part.rows, part.title)
        for remark in part.remarks:
            console.print(remark)
        kept = kept and part.kept
        written.append(f"{part.title}:\n\n{markdown_of(part.headings, part.rows)}")
    if options.markdown:
        options.markdown.write_text("\n".join(written))
    return 0 if kept else 1


def hear_coughs(options: argparse.Namespace, console: Console) -> int:
    """Measure sounds that are no interruption, beside real ones. Returns the exit status."""
    parts = (options.part,) if options.part else coughs.PARTS
    kept, written = True, []
    for part in coughs.measure(parts, options.interruptions or 400, options.seed, console.print):
        show_verdicts(part.headings, part.rows, part.title)
        for remark in part.remarks:
            console.print(remark)
        kept = kept and part.kept
        written.append(f"{part.title}:\n\n{markdown_of(part.headings, part.rows)}")
    if options.markdown:
        options.markdown.write_text("\n".join(written))
    return 0 if kept else 1


def meet_strangers(options: argparse.Namespace, console: Console) -> int:
    """Run all attacks. Returns the exit status."""
    chosen = [attack for attack in ATTACKS if options.only in attack.name]
    if CORES:
        pin(0, CORES[1])
    done, failed = [], 0
    for attack in chosen:
        try:
            done.append(uvloop.run(strangers.measure(attack)))
        except (RuntimeError, TimeoutError) as error:
            console.print(f"{attack.name}: the run failed: {error}")
            failed += 1
        else:
            console.print("  ".join(done[-1].row))
    show_limits_kept(strangers.HEADINGS, [outcome.row for outcome in done], options)
    lived = uvloop.run(lifetimes.measure()) if not options.only else []
    if lived:
        show_verdicts(lifetimes.HEADINGS, [each.row for each in lived])
    for remark in [remark for outcome in done for remark in outcome.remarks]:
        console.print(remark)
    broken = any(each.broken for each in done) or any(each.broken for each in lived)
    return 1 if broken or failed else 0


def meet_silences(options: argparse.Namespace, console: Console) -> int:
    """Play all forms of responses without sound. Returns the exit status."""
    if CORES:
        pin(0, CORES[1])
    wanted = silences.places(options.only)
    console.print(f"{len(wanted)} calls …")
    done = uvloop.run(silences.measure(wanted))
    show_limits_kept(silences.HEADINGS, silences.rows(done), options)
    omitted = uvloop.run(omissions.measure())
    show_verdicts(omissions.HEADINGS, [each.row for each in omitted])
    for remark in (silences.LEGEND, *silences.remarks(done)):
        console.print(remark)
    if options.json:
        options.json.write_bytes(silences.as_json(done))
    broken = any(each.broken for each in done) or any(each.broken for each in omitted)
    return 1 if broken else 0


def lose_lines(options: argparse.Namespace, console: Console) -> int:
    """Break media streams in each way. Returns the exit status."""
    if CORES:
        pin(0, CORES[1])
    console.print(f"{lost_lines.CUTS} minutes …")
    done = uvloop.run(lost_lines.measure())
    show_limits_kept(lost_lines.HEADINGS, [each.row for each in done], options)
    return 1 if any(each.broken for each in done) else 0


def compute_tools(options: argparse.Namespace, console: Console) -> int:
    """Run tools that compute beside calls that talk. Returns the exit status."""
    console.print("Three services, a minute each …")
    done = uvloop.run(tools.run())
    show_limits_kept(tools.HEADINGS, [each.row for each in done], options)
    return 1 if any(each.kept is False for each in done) else 0


def stay_behind_proxies(options: argparse.Namespace, console: Console) -> int:
    """Check the service behind each proxy. Returns the exit status."""
    try:
        done = uvloop.run(proxies.measure(options.only, console.print))
    except RuntimeError as error:
        console.print(f"The run failed: {error}")
        return 1
    show_limits_kept(proxies.HEADINGS, [each.row for each in done], options)
    return 1 if any(each.kept is False for each in done) else 0


def lose_replicas(options: argparse.Namespace, console: Console) -> int:
    """Kill, stop and replace replicas, and take their stores away. Returns the exit status."""
    parts = (options.part,) if options.part else replicas.PARTS
    rows: list[judge.Row] = []
    try:
        for row in replicas.measure(
            parts, options.seconds, options.only, options.seed, console.print
        ):
            rows.append(row)
            for remark in row.remarks:
                console.print(f"  {remark}")
    except (RuntimeError, TimeoutError) as error:
        console.print(f"The run failed: {error!r}")
        return 1
    show_limits_kept(judge.HEADINGS, [each.row for each in rows], options)
    return 1 if any(each.kept is False for each in rows) else 0


def open_console(options: argparse.Namespace, console: Console) -> int:
    """Measure the console. Returns the exit status."""
    parts = (options.part,) if options.part else console_run.PARTS
    done = list(console_run.measure(parts, options.only, console.print))
    show_limits_kept(console_report.HEADINGS, [each.row for each in done], options)
    return 0 if all(each.kept for each in done) else 1


def listen_to_softphone(options: argparse.Namespace, console: Console) -> int:
    """Measure the softphone. Returns the exit status."""
    done = []
    for each in softphone.measure(console.print):
        console.print("  ".join(each.row))
        done.append(each)
    show_limits_kept(console_report.HEADINGS, [each.row for each in done], options)
    return 0 if all(each.kept for each in done) else 1


OTHERS = {
    "console": open_console,
    "softphone": listen_to_softphone,
    "truth": tell_truth,
    "sound": hear_sound,
    "voices": compare_voices,
    "coughs": hear_coughs,
    "strangers": meet_strangers,
    "silences": meet_silences,
    "lines": lose_lines,
    "tools": compute_tools,
    "proxies": stay_behind_proxies,
    "replicas": lose_replicas,
}


def main() -> int:
    """Run the measurement that the command line names. Returns the exit status."""
    options = arguments()
    console = new_console()
    if options.what in OTHERS:
        return OTHERS[options.what](options, console)
    series = Series(Plan(options.calls, options.seconds or 15), options.runs or 3, peer.installed())
    if not series.peer:
        console.print("Without the Node peer: make peers installs it.")
    if CORES:
        pin(0, CORES[1])
    else:
        console.print("Cannot pin processes to cores here: latencies will vary more.")
    try:
        done = measure(series.steps, console)
        rows = series.rows(done)
    except (RuntimeError, TimeoutError) as error:
        console.print(f"The run failed: {error or 'the subject did not start in time'}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped.")
        return 130
    caption = (
        f"{date.today()}, {machine()}: {series.plan.calls} calls, {series.plan.seconds:g} s, "
        f"medians of {series.runs} runs of each; one core, loopback, no TLS, "
        f"Python {sys.version.split()[0]}"
    )
    show(rows, caption, console)
    for remark in report.remarks(done):
        console.print(remark)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(done)))
    if options.markdown:
        options.markdown.write_text(report.markdown(rows, caption))
    return 1 if any(row.kept is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
