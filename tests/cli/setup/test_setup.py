"""`python -m app setup`: the states of a number, and --undo."""

import stat
from pathlib import Path

import pytest

from app.simulator.twilio import OwnedNumber, PhoneLine
from tests.cli.setup.scene import (
    APPLICATION,
    NUMBER,
    OLD,
    TRUNK,
    URL,
    is_ours,
    number_of,
    run,
)

# --- the number's states --------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
def test_the_number_is_shown_before_and_after_and_set(line: PhoneLine) -> None:
    result = run("--yes")

    assert result.exit_code == 0 and is_ours(number_of(line))
    assert f"{OLD}  HTTP GET" in result.stdout
    assert f"{URL}/incoming-call  HTTP POST" in result.stdout


@pytest.mark.usefixtures("settings")
def test_the_owner_is_asked_first(line: PhoneLine) -> None:
    before = number_of(line)
    result = run(answers="n\n")
    assert result.exit_code == 1 and number_of(line) == before
    assert "Nothing was changed." in result.stdout
    assert run().exit_code == 1 and number_of(line) == before  # no terminal

    assert run(answers="y\n").exit_code == 0
    assert is_ours(number_of(line))


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("field", "sid", "name"),
    [("application_sid", APPLICATION, "Old voice menu"), ("trunk_sid", TRUNK, "Office PBX")],
)
def test_an_application_or_a_trunk_is_named_and_comes_back(
    line: PhoneLine, field: str, sid: str, name: str
) -> None:
    setattr(line.account.numbers[0], field, sid)
    before = number_of(line)

    result = run("--yes")

    assert f"{name} ({sid})" in result.stdout and "no longer go" in result.stdout
    assert is_ours(number_of(line)) and getattr(number_of(line), field) == ""
    assert run("--undo", "--yes").exit_code == 0
    assert number_of(line) == before


@pytest.mark.usefixtures("settings")
def test_a_number_for_faxes_is_set_to_voice(line: PhoneLine) -> None:
    line.account.numbers[0].receive_mode = "fax"

    assert run("--yes").exit_code == 0
    assert number_of(line).receive_mode == "voice"


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("numbers", "caller_ids", "words"),
    [
        ([], [], "does not belong to the account; it has none: buy one"),
        (["+15550108888"], [], "does not belong to the account; it has +15550108888"),
        (["+15550108888"], [NUMBER], "is a verified caller id"),
    ],
)
def test_a_number_that_is_not_owned_is_named_with_those_that_are(
    line: PhoneLine, numbers: list[str], caller_ids: list[str], words: str
) -> None:
    line.account.numbers = [OwnedNumber(each) for each in numbers]
    line.account.caller_ids = caller_ids
    result = run("--yes")

    assert result.exit_code == 2
    assert f"TWILIO_PHONE_NUMBER: {NUMBER} {words}" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_number_without_voice_is_refused(line: PhoneLine) -> None:
    line.account.numbers[0].takes_voice = False

    assert "cannot take voice calls" in run("--yes").stderr


@pytest.mark.usefixtures("settings")
def test_of_two_numbers_one_is_chosen(line: PhoneLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_PHONE_NUMBER")
    line.account.numbers.append(OwnedNumber("+15550108888"))

    result = run("--yes")
    assert result.exit_code == 2 and "setup +15550109999" in result.stderr

    assert run("+1 (555) 010-8888", "--yes").exit_code == 0
    assert not is_ours(number_of(line)) and is_ours(line.account.numbers[1])
    assert "TWILIO_PHONE_NUMBER=+15550108888" in Path(".env").read_text()

    Path(".env").unlink()
    assert run(answers="7\n1\ny\n").exit_code == 0
    assert is_ours(number_of(line))


@pytest.mark.usefixtures("settings")
def test_a_wrong_argument_is_named(line: PhoneLine) -> None:
    result = run("0301234", "--yes")

    assert result.exit_code == 2 and "E.164" in result.stderr


@pytest.mark.usefixtures("settings")
def test_a_number_that_is_set_up_already_is_left(line: PhoneLine) -> None:
    run("--yes")
    asked = len(line.rest_requests)

    result = run("--yes")

    assert result.exit_code == 0 and "Nothing to change." in result.stdout
    assert {each.method for each in line.rest_requests[asked:]} == {"GET"}


# --- --undo ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
def test_undo_puts_back_what_was_there_before_the_first_setup(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    before = number_of(line)
    run("--yes")
    monkeypatch.setenv("PUBLIC_URL", "https://another.example.com")
    run("--yes")
    kept = folder / ".phone-agent-setup.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    assert run("--undo", answers="y\n").exit_code == 0

    assert number_of(line) == before and not kept.exists()
    result = run("--undo", "--yes")
    assert result.exit_code == 2 and "changed nothing" in result.stderr


@pytest.mark.usefixtures("settings")
def test_undo_keeps_what_was_configured_by_other_means_in_between(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--yes")
    line.account.numbers[0].voice_url = "https://third.example.com/voice"
    between = number_of(line)
    monkeypatch.setenv("PUBLIC_URL", "https://another.example.com")
    run("--yes")

    run("--undo", "--yes")

    assert number_of(line) == between


@pytest.mark.usefixtures("settings")
def test_undo_needs_no_address_and_says_if_others_changed_the_number(
    line: PhoneLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = number_of(line)
    run("--yes")
    line.account.numbers[0].voice_url = "https://third.example.com/voice"
    monkeypatch.delenv("PUBLIC_URL")
    monkeypatch.delenv("TWILIO_PHONE_NUMBER")

    result = run("--undo", "--yes")

    assert "changed since setup" in result.stdout and number_of(line) == before


@pytest.mark.usefixtures("settings")
def test_a_damaged_memory_is_named(line: PhoneLine, folder: Path) -> None:
    (folder / ".phone-agent-setup.json").write_text("[1]")
    result = run("--undo", "--yes")

    assert result.exit_code == 2 and ".phone-agent-setup.json" in result.stderr
