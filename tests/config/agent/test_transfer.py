"""The agent file's [transfer] and small tables: what they give, and the errors for faulty ones."""

from pathlib import Path

import pytest

from app.call.agent import Outbound
from app.call.destinations import Destination, Hours
from app.call.exits.built_in_tools import BUILT_IN, offered, transfer_spec
from app.config.agent.file import LoadedAgent, load_agent
from app.errors import ConfigError

END_CALL, SEND_DIGITS = offered([*BUILT_IN], ())
EXAMPLES = Path(__file__).parents[3] / "examples"
HEAD = 'name = "Mia"\ninstructions = "Be nice."\n'  # two lines
DESK = '[[transfer.destinations]]\nname = "desk"\nnumber = "+14155550101"\n'  # three lines


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, transfer_number: str | None = None) -> LoadedAgent:
    Path("agent.toml").write_text(HEAD + text, encoding="utf-8")
    return load_agent(Path("agent.toml"), transfer_number)


def faults(text: str) -> list[str]:
    """The error messages for a file, each from its line number on."""
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert not any("\n" in line for line in caught.value.problems)
    return [line.removeprefix("agent.toml:") for line in caught.value.problems]


def spans_of(*hours: str) -> tuple[tuple[int, int, int], ...]:
    (desk,) = loaded(f"{DESK}timezone = 'UTC'\nhours = {[*hours]}\n").agent.destinations
    return desk.hours.spans


# --- destinations ---------------------------------------------------------------------------------


def test_every_key_reaches_the_agent() -> None:
    agent = loaded(
        """
        [transfer]
        hold_music = "https://example.com/music.mp3?loud=no"
        [[transfer.destinations]]
        name = " orders "
        description = " whatever is about\\n an order "
        number = "+14155550101"
        hours = ["Mon-Fri 09:00-17:30", "Sat 10:00-14:00"]
        timezone = "Europe/Berlin"
        ring_seconds = 30
        then = ["front desk"]
        warm = true
        [[transfer.destinations]]
        name = "front desk"
        sip = "sip:desk@example.com;transport=tls"
        [outbound]
        greeting = " Hello, this is Mia. "
        voicemail = " Please call back. "
        [after_call]
        summary = true
        """,
        "+14155550199",
    )
    week = tuple((day, 540, 1050) for day in range(5))
    assert agent.agent.destinations == (
        Destination(
            "orders",
            "+14155550101",
            "whatever is about an order",
            Hours("Europe/Berlin", (*week, (5, 600, 840))),
            30_000,
            ("front desk",),
            warm=True,
        ),
        Destination("front desk", "sip:desk@example.com;transport=tls"),
    )
    assert agent.agent.outbound == Outbound("Hello, this is Mia.", "Please call back.")
    assert agent.hold_music == "https://example.com/music.mp3?loud=no"
    assert agent.summary
    offered = (END_CALL, transfer_spec(agent.agent.destinations), SEND_DIGITS)
    assert agent.agent.tools == offered


def test_transfer_number_is_the_only_destination_of_a_file_without_any() -> None:
    (human,) = loaded("", "+14155550199").agent.destinations
    assert (human.name, human.address, human.then) == ("human", "+14155550199", ())
    assert human.hours == Hours()
    names = [spec.name for spec in loaded("", "+14155550199").agent.tools]
    assert names == ["end_call", "transfer_to_human", "send_digits"]
    (desk,) = loaded(DESK, "+14155550199").agent.destinations
    assert desk.address == "+14155550101"


def test_without_a_destination_there_is_no_transfer_tool() -> None:
    agent = loaded("").agent
    assert agent.destinations == ()
    assert agent.tools == (END_CALL, SEND_DIGITS)


def test_built_in_tools_can_be_switched_off() -> None:
    off = "[builtin_tools]\ntransfer_to_human = false\nsend_digits = false\n"
    agent = loaded(DESK + off).agent
    assert agent.tools == (END_CALL,)
    assert [each.name for each in agent.destinations] == ["desk"]


def test_summaries_are_off_by_default() -> None:
    agent = loaded("")
    assert not agent.summary
    assert agent.hold_music == ""
    assert agent.agent.outbound == Outbound()


@pytest.mark.parametrize(
    ("hours", "spans"),
    [
        (["Mon,Wed 09:00-12:00"], ((0, 540, 720), (2, 540, 720))),
        (["mon , wed-FRI 09:00 - 12:00"], tuple((day, 540, 720) for day in (0, 2, 3, 4))),
        (["Sat-Mon 00:00-24:00"], ((0, 0, 1440), (5, 0, 1440), (6, 0, 1440))),
        (["Fri 22:00-24:00"], ((4, 1320, 1440),)),
        (["Fri 22:00-00:00"], ((4, 1320, 1440),)),
        (["Fri 20:00-02:00"], ((4, 1200, 1440), (5, 0, 120))),
        (["Sun 20:00-02:00"], ((0, 0, 120), (6, 1200, 1440))),
        (["Mon 13:00-17:00", "Mon 09:00-12:00"], ((0, 540, 720), (0, 780, 1020))),
        (["Mon 09:00-12:00", "Mon 11:00-14:00", "Mon 14:00-15:00"], ((0, 540, 900),)),
        (["Mon 09:00-18:00", "Mon 10:00-11:00"], ((0, 540, 1080),)),
    ],
)
def test_opening_hours_are_parsed(
    hours: list[str], spans: tuple[tuple[int, int, int], ...]
) -> None:
    assert spans_of(*hours) == spans


@pytest.mark.parametrize(
    "sip",
    [
        "sip:desk@example.com",
        "sips:desk.1+x@sip.example.com:5061",
        "sip:+14155550101@10.0.0.1;transport=tcp?X-Team=orders",
        "sip:desk@[2001:db8::1]:5060",
    ],
)
def test_a_destination_may_have_a_sip_address(sip: str) -> None:
    text = f'[[transfer.destinations]]\nname = "desk"\nsip = "{sip}"\n'
    assert loaded(text).agent.destinations[0].address == sip


def test_the_pizzeria_transfers_to_its_shift_manager() -> None:
    pizzeria = load_agent(EXAMPLES / "pizzeria.toml", "+14155550199")
    (manager,) = pizzeria.agent.destinations
    assert (manager.name, manager.ring_ms) == ("shift manager", 15_000)
    (line,) = [line for line in pizzeria.demo.lines if line.tool == "transfer_to_human"]
    assert set(line.arguments) == {"reason", "summary"}


# --- errors ---------------------------------------------------------------------------------------

NUMBER = "expected an E.164 number such as +14155550100 (a plus, the country, the number, digits "
NUMBER += "only), got"
SIP = "expected a SIP address such as 'sip:desk@example.com', got"
ARRAY = (
    "expected an array of opening hours, such as ['Mon-Fri 09:00-17:30'], or nothing for always,"
)
OPEN = "expected hours such as 'Mon-Fri 09:00-17:30' or 'Sat,Sun 22:00-02:00',"
MUSIC = "expected an https address of a sound file, or '' for Twilio's own music, got"
TWO = DESK + DESK.replace("desk", "bar")  # six lines
ZONE = "timezone = 'UTC'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[transfer]\nhold_music = 'http://x.com/a'\n", f"4: hold_music: {MUSIC} 'http://x.com/a'"),
        ("[transfer]\nhold_music = 'https:///a'\n", f"4: hold_music: {MUSIC} 'https:///a'"),
        ("transfer.destinations = 'desk'\n", "3: destinations: expected tables: "
         "[[transfer.destinations]], got 'desk'"),
        ("[transfer.destinations]\nname = 'desk'\n", "3: destinations: expected an array of "
         "tables; write [[transfer.destinations]], with two brackets"),
        ("[[transfer.destinations]]\nnumber = '+14155550101'\n",
         "3: destinations.name: missing; expected 1 to 64 letters, digits, spaces, - or _"),
        (DESK.replace("desk", "desk/1"), "4: destinations.name: expected 1 to 64 letters, digits, "
         "spaces, - or _, got 'desk/1'"),
        (DESK.replace("desk", " "), "4: destinations.name: expected 1 to 64 letters, digits, "
         "spaces, - or _, got ' '"),
        (DESK.replace("+1415", "+1 415"), f"5: destinations.number: {NUMBER} '+1 4155550101'"),
        (DESK.replace("5550101", ""), f"5: destinations.number: {NUMBER} '+1415'"),
        (DESK.replace("number", "sip"), f"5: destinations.sip: {SIP} '+14155550101'"),
        (DESK + "sip = 'sip:desk@example.com'\n",
         "3: destinations: has both number and sip; remove one of them"),
        ("[[transfer.destinations]]\nname = 'desk'\n", "3: destinations: needs number = "
         "'+14155550100' or sip = 'sip:…'; add one of them"),
        (DESK + "ring_seconds = 4\n",
         "6: destinations.ring_seconds: expected a whole number of seconds from 5 to 120, got 4"),
        (DESK + "ring_seconds = 120.5\n",
         "6: destinations.ring_seconds: expected a whole number of seconds from 5 to 120, got "
         "120.5"),
        (DESK + "warm = 1\n", "6: destinations.warm: expected true or false, got 1"),
        (DESK + "hours = ['Mon 09:00-12:00']\n", "3: destinations: has hours but no time zone; "
         "add timezone = 'Europe/Berlin'"),
        (DESK + "timezone = 'Europe/Berlni'\n", "6: destinations.timezone: there is no time zone "
         "'Europe/Berlni'; did you mean 'Europe/Berlin'?"),
        (DESK + "timezone = '+2'\n", "6: destinations.timezone: there is no time zone '+2'; write "
         "one such as 'Europe/Berlin'"),
        (DESK + "timezone = '../../etc'\n", "6: destinations.timezone: there is no time zone "
         "'../../etc'; write one such as 'Europe/Berlin'"),
        (DESK + ZONE + "hours = []\n", f"7: destinations.hours: {ARRAY} got an array"),
        (DESK + ZONE + "hours = ['Mon 09:00-12:00',\n 'Funday']\n",
         f"7: destinations.hours: {OPEN} got 'Funday'"),
        (DESK + ZONE + "hours = ['Mon 9-17']\n", f"7: destinations.hours: {OPEN} got 'Mon 9-17'"),
        (DESK + ZONE + "hours = ['Mon 09:60-12:00']\n",
         f"7: destinations.hours: {OPEN} got 'Mon 09:60-12:00'"),
        (DESK + ZONE + "hours = ['Mon 09:00-24:01']\n",
         f"7: destinations.hours: {OPEN} got 'Mon 09:00-24:01'"),
        (DESK + ZONE + "hours = ['Mon 09:00-09:00']\n", "7: destinations.hours: 'Mon 09:00-09:00' "
         "begins and ends at the same time; write 00:00-24:00 for a whole day"),
        (DESK + DESK, "7: destinations.name: a destination above has the name 'desk' "
         "already; change one of them"),
        (DESK + DESK.replace("desk", "Desk"),
         "7: destinations.name: a destination above has the name 'Desk' "
         "already; change one of them"),
        (DESK + "then = ['desk']\n",
         "6: destinations.then: 'desk' is this destination itself; remove it"),
        (DESK + "then = ['front']\n", "6: destinations.then: there is no destination 'front'; "
         "there is no other one"),
        (TWO + "then = ['dekk']\n",
         "9: destinations.then: there is no destination 'dekk'; did you mean 'desk'?"),
        (TWO + "then = ['zzz']\n",
         "9: destinations.then: there is no destination 'zzz'; known here: 'desk'"),
        (TWO + "then = ['desk', 'desk']\n",
         "9: destinations.then: 'desk' is listed twice; remove one"),
        (TWO + "then = 'desk'\n", "9: destinations.then: expected an array of other destinations' "
         "names, such as ['front desk'], got 'desk'"),
        (DESK + "nummber = '+1'\n",
         "6: destinations.nummber: unknown key; did you mean 'number'?"),
        (DESK + "hold_music = ''\n",
         "6: destinations.hold_music: unknown key; it belongs under [transfer]"),
        ("[transfer]\nring_seconds = 9\n",
         "4: ring_seconds: unknown key; it belongs under [[transfer.destinations]]"),
        ("[transfer]\nname = 'desk'\n",
         "4: name: unknown key; it belongs under [[transfer.destinations]]"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_its_place_and_its_fix(text: str, message: str) -> None:
    line, _, rest = message.partition(": ")
    assert faults(text) == [f"{line}: transfer.{rest}"]


@pytest.mark.parametrize(
    "sip",
    [
        "desk@example.com",
        "sip:example.com",
        "sip:desk @example.com",
        "sip:desk@example.com>",
        "sip:desk@example.com/x",
        'sip:"desk"@example.com',
        "sip:desk@exämple.com",
        "tel:+14155550101",
        f"sip:{'x' * 255}@example.com",
    ],
)
def test_an_invalid_sip_address_is_a_fault(sip: str) -> None:
    (line,) = faults(f"[[transfer.destinations]]\nname = 'desk'\nsip = '{sip}'\n")
    assert line.startswith(f"5: transfer.destinations.sip: {SIP} ")


def test_faults_are_in_the_order_of_the_file() -> None:
    demo = "[[demo.lines]]\nhears = ['hello']\ntool = 'zzz'\nthen = 'Done.'\n"
    assert faults(demo + DESK + "then = ['desk']\n" + demo.replace("hello", "bye")) == [
        "5: demo.lines.tool: there is no tool 'zzz'; known here: transfer_to_human, send_digits",
        "10: transfer.destinations.then: 'desk' is this destination itself; remove it",
        "13: demo.lines.tool: there is no tool 'zzz'; known here: transfer_to_human, send_digits",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[outbound]\nvoicemail = true\n",
            "4: outbound.voicemail: expected text, or '' to hang up on answering machines, "
            "got true",
        ),
        (
            "[outbound]\nvoice_mail = ''\n",
            "4: outbound.voice_mail: unknown key; did you mean 'voicemail'?",
        ),
        ("[after_call]\nsummary = 1\n", "4: after_call.summary: expected true or false, got 1"),
        ("summary = true\n", "3: summary: unknown key; it belongs under [after_call]"),
        (
            "[builtin_tools]\nsend_digits = 1\n",
            "4: builtin_tools.send_digits: expected true or false, got 1",
        ),
    ],
)
def test_faults_of_the_small_tables_are_reported(text: str, message: str) -> None:
    assert faults(text) == [message]


# --- demo lines that transfer ---------------------------------------------------------------------

ASKS = "[[demo.lines]]\nkeywords = ['human']\ntool = 'transfer_to_human'\nthen = 'Sorry.'\n"
WHY = "arguments = { reason = 'r', summary = 's' }\n"


@pytest.mark.parametrize("who", ["", DESK])
def test_a_demo_line_may_transfer_without_a_destination(who: str) -> None:
    # Without a destination, TRANSFER_NUMBER may still provide one.
    (line,) = loaded(ASKS + WHY + who).demo.lines
    assert line.tool == "transfer_to_human"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ASKS + WHY + TWO, "arguments: transfer_to_human needs the argument 'destination'"),
        (ASKS + DESK, "arguments: transfer_to_human needs the argument 'reason'"),
        (
            ASKS + WHY + "[builtin_tools]\ntransfer_to_human = false\n",
            "tool: transfer_to_human is switched off in [builtin_tools]",
        ),
        (
            ASKS.replace("transfer_to_human", "send_digits") + "arguments = { keys = '1' }\n",
            "arguments: send_digits has no argument 'keys'; it takes digits",
        ),
    ],
)
def test_a_demo_line_without_the_transfer_tool_is_a_fault(text: str, message: str) -> None:
    assert faults(text)[0].partition(": demo.lines.")[2] == message
