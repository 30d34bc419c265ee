"""The TwiML documents: every template renders valid TwiML."""

import inspect
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml import voice_response

from app.errors import BridgeError
from app.wires.twilio import twiml
from app.wires.twilio.twiml import _SAY_REGIONS, one_moment, render, say_language

FOLDER = Path(twiml.__file__).with_name("templates")
NAMES = sorted(path.stem for path in FOLDER.glob("*.xml"))
LONG_URL = "https://a-rather-long-name.of-a-tunnel.example.com/some/prefix/stream-ended?a=1&b=2"
STREAM = {
    "action_url": LONG_URL,
    "stream_url": LONG_URL.replace("https", "wss").partition("?")[0] + "/" + "t" * 64,
}
TRANSFER = {
    "said": "Please hold.",
    "action_url": LONG_URL,
    "whisper_url": LONG_URL,
    "ring_seconds": "20",
    "caller_id": "+14155550100",
    "number": "+14155550101",
    "sip": "",
}
VALUES = {
    "announced-call": {"announcement": "This is <recorded>.", "language": "en-US", **STREAM},
    "fetch": {"url": LONG_URL},
    "incoming-call": STREAM,
    "last-words": {"words": "Thank you & goodbye.", "language": "en-US"},
    "once-more": {
        "one_moment": "Un instant, s'il vous plaît.",
        "language": "fr-FR",
        "url": LONG_URL,
    },
    "one-moment": {
        "one_moment": "Einen Moment, bitte.",
        "language": "de-DE",
        "pause_seconds": "2",
        **STREAM,
    },
    "join": {"room": "transfer-CA" + "0" * 32},
    "play-digits": {"digits": "1w2#" * 50, **STREAM},
    "transfer": TRANSFER,
    "waiting-room": {
        "said": "Please hold.",
        "action_url": LONG_URL,
        "room": "transfer-CA" + "0" * 32,
        "hold_music": LONG_URL,
    },
    "whisper": {"action_url": LONG_URL, "summary": "Ann & Bob, <waiting>", "language": "de-DE"},
}
# Documents after which the call goes on: to the conversation, to another document, to a conference.
CONTINUED = {"accepted", "fetch", "join", "once-more"}
INLINE_LIMIT_CHARS = 4000  # Twilio: error 32018

# What XML 1.0 can hold.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r&<>\"'$")
)


def rendered(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(render(name, **VALUES.get(name, {})).encode())


def snake(name: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


def check_known(parent: ElementTree.Element) -> None:
    """The twilio package has a method per child of a verb, and a parameter per attribute."""
    known = getattr(voice_response, {"Response": "VoiceResponse"}.get(parent.tag, parent.tag))
    for child in parent:
        attributes = inspect.signature(getattr(known, snake(child.tag))).parameters
        assert set(map(snake, child.attrib)) <= set(attributes), child.tag
        check_known(child)


def test_every_template_is_tested() -> None:
    assert NAMES == sorted(["accepted", "busy", "goodbye", "unavailable", *VALUES])


@pytest.mark.parametrize("name", NAMES)
def test_every_document_is_valid_twiml(name: str) -> None:
    text = render(name, **VALUES.get(name, {}))
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    assert len(text) <= INLINE_LIMIT_CHARS
    assert rendered(name).tag == "Response"
    check_known(rendered(name))


def test_the_check_finds_an_unknown_verb() -> None:
    with pytest.raises(AttributeError):
        check_known(ElementTree.fromstring("<Response><Shout/></Response>"))
    with pytest.raises(AssertionError):
        check_known(ElementTree.fromstring('<Response><Dial timeOut="5"/></Response>'))


def test_an_incoming_call_is_connected_to_the_stream() -> None:
    response = rendered("incoming-call")
    connect = response.find("Connect")
    stream = response.find("Connect/Stream")
    assert connect is not None and stream is not None
    values = VALUES["incoming-call"]
    assert connect.attrib == {"action": values["action_url"], "method": "POST"}
    assert stream.attrib == {"url": values["stream_url"]}


@pytest.mark.parametrize("name", sorted({*NAMES} - CONTINUED))
def test_every_document_ends_with_a_hangup(name: str) -> None:
    assert rendered(name)[-1].tag == "Hangup"


@pytest.mark.parametrize("name", ["busy", "last-words", "once-more", "one-moment", "unavailable"])
def test_a_caller_who_is_refused_or_waits_hears_a_sentence_first(name: str) -> None:
    first = rendered(name)[0]
    assert first.tag == "Say"
    assert first.text


def test_a_destination_is_dialled_with_a_timeout_and_a_whisper() -> None:
    said, dial, _ = rendered("transfer")
    assert (said.tag, said.text) == ("Say", "Please hold.")
    assert dial.attrib == {
        "action": LONG_URL,
        "method": "POST",
        "timeout": "20",
        "callerId": "+14155550100",
    }
    (number,) = dial
    assert (number.tag, number.text) == ("Number", "+14155550101")
    assert number.attrib == {"url": LONG_URL, "method": "POST"}


def test_empty_attributes_are_omitted() -> None:
    values = {**TRANSFER, "said": "", "caller_id": "", "number": "", "sip": "sip:desk@example.com"}
    dial, _ = ElementTree.fromstring(render("transfer", **values).encode())
    assert dial.attrib.keys() == {"action", "method", "timeout"}
    assert [(noun.tag, noun.text) for noun in dial] == [("Sip", "sip:desk@example.com")]


def test_twilio_plays_its_own_music_when_there_is_no_other() -> None:
    values = {**VALUES["waiting-room"], "said": "", "hold_music": ""}
    dial, _ = ElementTree.fromstring(render("waiting-room", **values).encode())
    assert "waitUrl" not in dial[0].attrib
    assert rendered("waiting-room")[1][0].attrib["waitUrl"] == LONG_URL


def test_the_waiting_room_plays_music_until_the_human_joins() -> None:
    room, joined = rendered("waiting-room").find(".//Conference"), rendered("join")[0][0]
    assert room is not None and room.text == joined.text
    assert room.attrib["startConferenceOnEnter"] == "false"
    assert joined.attrib["startConferenceOnEnter"] == "true"
    for each in (room, joined):
        assert each.attrib["endConferenceOnExit"] == "true" and each.attrib["beep"] == "false"


def test_the_whisper_asks_for_a_key_twice() -> None:
    *asked, _ = rendered("whisper")
    assert [each.tag for each in asked] == ["Gather", "Gather"]
    for gather in asked:
        assert gather.attrib["numDigits"] == "1" and gather.attrib["action"] == LONG_URL
    summary = asked[0][1]
    assert (summary.text, summary.attrib) == ("Ann & Bob, <waiting>", {"language": "de-DE"})


def test_an_empty_summary_is_not_said() -> None:
    values = {**VALUES["whisper"], "summary": ""}
    gather = ElementTree.fromstring(render("whisper", **values).encode())[0]
    assert [each.text for each in gather] == [
        "A caller is waiting for you. To talk to them, press 1.",
        "To talk to the caller, press 1 now.",
    ]


@given(TEXT)
def test_values_are_escaped_in_attributes(value: str) -> None:
    text = render("incoming-call", action_url=value, stream_url=value)
    response = ElementTree.fromstring(text.encode())
    assert response[0].attrib.get("action", "") == value
    assert response[0][0].attrib.get("url", "") == value


@given(TEXT)
def test_values_are_escaped_in_text(value: str) -> None:
    text = render("transfer", **{**TRANSFER, "number": value})
    response = ElementTree.fromstring(text.encode())
    assert (response.findtext("Dial/Number") or "") == value


@given(st.text())
def test_no_value_breaks_a_document(value: str) -> None:
    ElementTree.fromstring(render("transfer", **{**TRANSFER, "said": value}).encode())


def test_a_missing_value_is_named() -> None:
    with pytest.raises(BridgeError, match=r"incoming-call\.xml: no value for \$stream_url$"):
        render("incoming-call", action_url="https://h/")


def test_a_value_without_a_placeholder_is_named() -> None:
    with pytest.raises(BridgeError, match=r"goodbye\.xml has no placeholder \$number$"):
        render("goodbye", number="+15550101")


def test_a_missing_document_is_named() -> None:
    with pytest.raises(BridgeError, match=r"templates/farewell\.xml cannot be read"):
        render("farewell")


@pytest.mark.parametrize(
    ("language", "said_in"), [("en", "en-US"), ("de", "de-DE"), ("pt", "pt-BR"), ("eo", "en-US")]
)
def test_a_language_is_named_as_twilio_names_it(language: str, said_in: str) -> None:
    assert say_language(language) == said_in


def test_one_moment_is_in_the_agents_language() -> None:
    assert one_moment("de") == {"one_moment": "Einen Moment, bitte.", "language": "de-DE"}
    assert one_moment("eo") == {"one_moment": "One moment, please.", "language": "en-US"}


def test_every_language_of_twilios_voice_has_one_moment() -> None:
    spoken = [code for code in _SAY_REGIONS if one_moment(code)["one_moment"]]
    assert spoken == list(_SAY_REGIONS) and len({one_moment(c)["one_moment"] for c in spoken}) == 17
