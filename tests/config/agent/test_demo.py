"""The agent file's [demo]: lines for the embedded model, and the errors for faulty ones."""

import sys
from pathlib import Path

import pytest

from app.config.agent.demo import Demo, DemoLine
from app.config.agent.file import LoadedAgent, load_agent
from app.errors import ConfigError

HEAD = 'name = "Mia"\ninstructions = """\nBe [nice].\nthreshold = 1\n"""\n'  # five lines
TOOLS = """\
from app.tools import tool
@tool
def book(name: str, notes: list[str] = []) -> int:
    return 3
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())


def loaded(text: str) -> LoadedAgent:
    Path("agent.toml").write_text(text, encoding="utf-8")
    return load_agent(Path("agent.toml"))


def faults(text: str) -> list[str]:
    """The error messages for a file, each from its line number on."""
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert not any("\n" in line for line in caught.value.problems)
    return [line.removeprefix("agent.toml:") for line in caught.value.problems]


def test_every_key_of_demo_reaches_the_embedded_model() -> None:
    assert loaded(HEAD).demo == Demo("en-us+f3", (), ())
    Path("my_tools.py").write_text(TOOLS)
    demo = loaded(
        'tools = "my_tools.py"\n'
        + HEAD
        + """
        [demo]
        voice = "en-gb-x-rp"
        names = ["Ada", "Bo"]
        [[demo.lines]]
        hears = ["book  a table [please] for {name}", "a table for {size:two|four} for {name}"]
        keywords = ["table"]
        says = "A table for {name}."
        tool = "book"
        arguments = { name = "{name}", notes = ["for {size}"] }
        then = "It is number {result.number:digits}, {name}, at {result}."
        otherwise = "No table, {name}."
        [[demo.lines]]
        keywords = ["goodbye"]
        ends_call = true
        """
    ).demo
    assert (demo.voice, demo.names) == ("en-gb-x-rp", ("Ada", "Bo"))
    assert demo.lines == (
        DemoLine(
            hears=(
                "book a table [please] for {name}",
                "a table for {size:two|four} for {name}",
            ),
            keywords=("table",),
            says="A table for {name}.",
            tool="book",
            arguments={"name": "{name}", "notes": ["for {size}"]},
            then="It is number {result.number:digits}, {name}, at {result}.",
            otherwise="No table, {name}.",
        ),
        DemoLine(keywords=("goodbye",), ends_call=True),
    )


LINE = '[[demo.lines]]\nhears = ["one {name}"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[recording]\nenabled = 1\n", "9: recording.enabled: expected true or false, got 1"),
        (
            "[recording]\nannounce = ''\n",
            "9: recording.announce: unknown key; did you mean 'announcement'?",
        ),
        (
            "demo.voice = ' '\n",
            "8: demo.voice: expected an espeak-ng voice, such as 'en-us+f3', got ' '",
        ),
        (
            "[demo]\nnames = ['Ada', 'Mr. Bo']\n",
            "9: demo.names: expected an array of first names, such as ['Ada'], got 'Mr. Bo'",
        ),
        ("[demo]\nlines = 3\n", "9: demo.lines: expected tables: [[demo.lines]], got 3"),
        (
            "[[demo.lines]]\nsays = 'Hello.'\n",
            "8: demo.lines: needs hears = ['…'] or keywords = ['…']; add one of them",
        ),
        (
            "[[demo.lines]]\nhears = ['hello']\n",
            "8: demo.lines: needs says = '…' or tool = '…'; add one of them",
        ),
        (
            LINE + "tool = 'book'\n",
            "8: demo.lines: calls book and does not say its result; add then = '…'",
        ),
        (
            "[[demo.lines]]\nhears = ['hello']\nsays = 'Hi.'\n[[demo.lines]]\nhears = 'bye'\n",
            "12: demo.lines.hears: expected an array of phrases, such as ['what is on the menu'], "
            "got 'bye'",
        ),
        (
            LINE + "sais = 'Hi.'\nsays = 'Hi.'\n",
            "10: demo.lines.sais: unknown key; did you mean 'says'?",
        ),
        (
            LINE.replace("one", "2 pizzas for") + "says = 'Hi.'\n",
            "9: demo.lines.hears: expected words, {slots} and [optional words], got '2'; write "
            "numbers as words and leave out punctuation",
        ),
        (
            LINE.replace("{name}", "{name") + "says = 'Hi.'\n",
            "9: demo.lines.hears: expected words, {slots} and [optional words], got '{'; write "
            "numbers as words and leave out punctuation",
        ),
        (
            LINE.replace("{name}", "{size}") + "says = 'Hi.'\n",
            "9: demo.lines.hears: unknown slot {size}; known: {name}, {number}, {digits} and "
            "choices such as {size:small|large}",
        ),
        (
            LINE.replace("one", "{name}") + "says = 'Hi.'\n",
            "9: demo.lines.hears: the slot {name} is used twice",
        ),
        (
            LINE.replace("{name}", "{result:a|b}") + "says = 'Hi.'\n",
            "9: demo.lines.hears: a choice cannot be named result; choose another name",
        ),
        (
            "[[demo.lines]]\nkeywords = ['wi-fi', '#1']\nsays = 'Hi.'\n",
            "9: demo.lines.keywords: expected an array of words, such as ['menu'], got '#1'",
        ),
        (
            LINE + "says = 'Hi {nam}.'\n",
            "10: demo.lines.says: no phrase of this line has the slot {nam}; known here: {name}",
        ),
        (
            "[[demo.lines]]\nkeywords = ['hello']\nsays = 'Hi {name}.'\n",
            "10: demo.lines.says: no phrase of this line has the slot {name}; they have no slots",
        ),
        (
            LINE + "says = 'It is {result}.'\n",
            "10: demo.lines.says: no phrase of this line has the slot {result}; known here: {name}",
        ),
        (
            LINE + "says = 'Hi {name:loud}.'\n",
            "10: demo.lines.says: {name:loud} has an unknown format; known: price, digits",
        ),
        (
            LINE + "says = 'Hi {name.'\n",
            "10: demo.lines.says: unmatched brace in 'Hi {name.'",
        ),
        (
            LINE + "says = 'Hi.'\nthen = 'Done.'\n",
            "11: demo.lines.then: belongs to a tool; name it with tool = '…'",
        ),
        (
            LINE + "tool = 'book'\narguments.notes = ['{nam}']\nthen = 'Done.'\n",
            "11: demo.lines.arguments: no phrase of this line has the slot {nam}; known here: "
            "{name}",
        ),
        (
            LINE + "tool = 'book'\narguments.name = '{name:digits}'\nthen = 'Done.'\n",
            "11: demo.lines.arguments: {name:digits}: arguments have no format; write {name}",
        ),
        (
            LINE + "tool = 'book'\narguments.name = '{name}'\nthen = '{results}'\n",
            "12: demo.lines.then: no phrase of this line has the slot {results}; known here: "
            "{name}, {result}",
        ),
        (
            LINE + "tool = 'boko'\nthen = 'Done.'\n",
            "10: demo.lines.tool: there is no tool 'boko'; did you mean 'book'?",
        ),
        (
            LINE + "tool = 'zzz'\nthen = 'Done.'\n",
            "10: demo.lines.tool: there is no tool 'zzz'; known here: send_digits, book, "
            "transfer_to_human",
        ),
        (
            LINE + "tool = 'end_call'\nthen = 'Done.'\n",
            "10: demo.lines.tool: write ends_call = true in place of tool = 'end_call'",
        ),
        (
            LINE + "ends_call = true\n[builtin_tools]\nend_call = false\n",
            "10: demo.lines.ends_call: end_call is switched off in [builtin_tools]",
        ),
        (
            LINE + "tool = 'book'\narguments = { nome = '{name}', name = 'x' }\nthen = 'Done.'\n",
            "11: demo.lines.arguments: book has no argument 'nome'; it takes name, notes",
        ),
        (
            LINE + "tool = 'book'\nthen = 'Done.'\n",
            "8: demo.lines.arguments: book needs the argument 'name'",
        ),
        (
            LINE + "says = 'Hi.'\n" + LINE.replace("one", "ONE") + "says = 'Hi again.'\n",
            "12: demo.lines.hears: a line above has 'ONE {name}' already; remove one of them",
        ),
        (
            "demo.lines = [\n{ hears = ['a'], says = 'b' },\n{ says = 'b' } ]\n",
            "8: demo.lines: needs hears = ['…'] or keywords = ['…']; add one of them",
        ),
    ],
)
def test_a_fault_of_demo_names_its_line(text: str, message: str) -> None:
    Path("my_tools.py").write_text(TOOLS)
    assert faults(HEAD + 'tools = "my_tools.py"\n\n' + text) == [message]


def test_a_keyword_may_also_be_a_phrase_of_its_line() -> None:
    text = "[[demo.lines]]\nhears = ['goodbye']\nkeywords = ['goodbye']\nends_call = true\n"
    (line,) = loaded(HEAD + text).demo.lines
    assert line.hears == line.keywords == ("goodbye",)
