"""The Qwen codec: recorded sessions, one text's events, errors, malformed frames."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ProtocolError, VoiceError
from app.wires.voices.qwen.codec import (
    ClientEvents,
    Failed,
    ResponseDone,
    SessionCreated,
    SessionUpdated,
    Speech,
    decode,
)
from app.wires.voices.qwen.errors import handshake_refused, setup_refused, text_refused
from app.wires.voices.qwen.settings import Mode, QwenSettings

TRAFFIC = Path(__file__).parents[3] / "traffic"


def recorded(mode: Mode) -> list[dict[str, Any]]:
    lines = (TRAFFIC / f"qwen_{mode}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


def from_server(mode: Mode) -> list[str]:
    return [
        each["raw"] for each in recorded(mode) if each["dir"] == "server->client" and "raw" in each
    ]


def event(type_: str, **fields: Any) -> str:
    return json.dumps({"event_id": "event_x", "type": type_, **fields})


def delta(pcm: bytes, response_id: str = "resp_1") -> str:
    sound = b64encode(pcm).decode()
    return event("response.audio.delta", response_id=response_id, delta=sound)


def created(response_id: str = "resp_1") -> str:
    return event("response.created", response={"id": response_id, "status": "in_progress"})


def done(response_id: str = "resp_1", status: str = "completed") -> str:
    return event("response.done", response={"id": response_id, "status": status})


def heard(speech: Speech, *frames: str) -> bytes:
    events = [decode(frame) for frame in frames]
    return b"".join(speech.feed(each) for each in events if each is not None)


def failed(code: str | int | None, message: str | None) -> Failed:
    read = decode(event("error", error={"code": code, "message": message}))
    assert isinstance(read, Failed)
    return read


# --- recorded -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["commit", "server_commit"])
def test_a_recorded_session_reports_its_settings(mode: Mode) -> None:
    opened, updated, *_ = [decode(frame) for frame in from_server(mode)]
    assert isinstance(opened, SessionCreated) and opened.session.id == "sess_local_0001"
    assert isinstance(updated, SessionUpdated) and updated.session.response_format == "pcm"
    assert updated.session.sample_rate == (24000 if mode == "commit" else 8000)


@pytest.mark.parametrize("mode", ["commit", "server_commit"])
def test_every_byte_of_a_recorded_session_is_decoded(mode: Mode) -> None:
    """The recording's texts, each with its sound."""
    speech, texts = Speech(mode), [b""]
    for frame in from_server(mode):
        read = decode(frame)
        if read is None or (mode == "commit" and isinstance(read, Failed)):
            continue  # the recording has an error between two texts
        if not speech.finished:
            texts[-1] += speech.feed(read)
        if speech.finished and mode == "commit" and isinstance(read, ResponseDone):
            speech = Speech(mode)
            texts.append(b"")
        if mode == "commit" and len(texts) == 3:
            break
    deltas = [json.loads(frame).get("delta", "") for frame in from_server(mode)]
    assert b"".join(texts) == b"".join(b64decode(each) for each in deltas)
    assert len([text for text in texts if text]) == (2 if mode == "commit" else 1)
    assert speech.finished is (mode == "server_commit")


@pytest.mark.parametrize("mode", ["commit", "server_commit"])
def test_client_events_equal_the_vendors_clients(mode: Mode) -> None:
    """Except for event ids and for language_type, which is always sent."""
    write = ClientEvents()
    for message in recorded(mode):
        if message["dir"] != "client->server":
            continue
        theirs = json.loads(message["raw"])
        match theirs["type"]:
            case "session.update":
                asked = theirs["session"]
                set_ = {name: asked[name] for name in asked.keys() - {"response_format"}}
                ours = json.loads(write.update(QwenSettings("key", **set_)))
                ours["session"] = {name: ours["session"][name] for name in asked}
            case "input_text_buffer.append":
                ours = json.loads(write.append(theirs["text"]))
            case "input_text_buffer.commit":
                ours = json.loads(write.commit())
            case "session.finish":
                ours = json.loads(write.finish())
            case _:
                continue  # clear and cancel are never sent
        assert {**ours, "event_id": ""} == {**theirs, "event_id": ""}


def test_event_ids_are_unique() -> None:
    write = ClientEvents()
    events = [write.append("a"), write.commit(), write.append("a"), write.finish()]
    assert len({json.loads(each)["event_id"] for each in events}) == 4


# --- the address ----------------------------------------------------------------------------------


def test_the_model_is_escaped_and_added_to_the_urls_query() -> None:
    settings = QwenSettings("key", model="a b&c", url="wss://x.example/path?region=eu&model=old")
    parts = urlsplit(settings.address)
    assert parts._replace(query="").geturl() == "wss://x.example/path"
    assert parse_qs(parts.query) == {"region": ["eu"], "model": ["a b&c"]}


# --- one text's events ----------------------------------------------------------------------------


def test_half_a_sample_waits_for_its_other_half() -> None:
    speech = Speech("commit")
    assert heard(speech, created(), delta(b"\1\2\3")) == b"\1\2"
    assert heard(speech, delta(b"\4")) == b"\3\4"
    assert heard(speech, delta(b""), delta(b"\5")) == b""
    assert heard(speech, delta(b"\6\7\x08\x09")) == b"\5\6\7\x08"
    assert heard(speech, done()) == b"" and speech.finished


def test_another_texts_sound_is_ignored() -> None:
    speech = Speech("commit")
    assert heard(speech, delta(b"\1\1", "resp_0"), done("resp_0")) == b""
    assert heard(speech, created(), delta(b"\1\1", "resp_0"), delta(b"\2\2")) == b"\2\2"
    assert not speech.finished


def test_server_commit_responses_are_one_text_until_session_finished() -> None:
    speech = Speech("server_commit")
    first = heard(speech, created(), delta(b"\1\1\1"), done())
    assert first == b"\1\1" and not speech.finished
    assert heard(speech, created("resp_2"), delta(b"\2\2", "resp_2"), done("resp_2")) == b"\2\2"
    assert not speech.finished
    assert heard(speech, event("session.finished")) == b"" and speech.finished


@pytest.mark.parametrize("status", ["failed", "incomplete", "in_progress", "cancelled", ""])
@pytest.mark.parametrize("mode", ["commit", "server_commit"])
def test_a_response_that_did_not_complete_fails_the_text(mode: Mode, status: str) -> None:
    with pytest.raises(VoiceError) as error:
        heard(Speech(mode), created(), delta(b"\1\1"), done(status=status))
    assert error.value.kind == "passing"


def test_session_finished_before_response_done_fails_the_text() -> None:
    with pytest.raises(VoiceError, match="ended the session"):
        heard(Speech("commit"), created(), event("session.finished"))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_value", "fatal"),
        ("InvalidParameter", "fatal"),
        (None, "fatal"),
        (400, "fatal"),
        ("Throttling.RateQuota", "passing"),
        ("InternalError", "passing"),
        ("ServiceUnavailable", "passing"),
    ],
)
def test_an_error_before_the_settings_has_a_kind(code: str | int | None, kind: str) -> None:
    event = failed(code, "no")
    assert setup_refused(event.code, event.message, "key").kind == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_value", "passing"),
        ("InternalError", "passing"),
        (None, "passing"),
        ("InvalidApiKey", "fatal"),
        ("Arrearage", "fatal"),
        ("DataInspectionFailed", "text"),
    ],
)
def test_an_error_within_a_text_has_a_kind(code: str, kind: str) -> None:
    assert text_refused(failed(code, "no").code).kind == kind


def test_error_messages_quote_neither_key_nor_text() -> None:
    echo = failed("invalid_value", "x" * 190 + "sk-secret is wrong: My number is 555 0100")
    assert "sk-" not in str(setup_refused(echo.code, echo.message, "sk-secret"))
    assert "555" not in str(text_refused(echo.code))
    assert "555" not in str(text_refused(failed("My number is 555 0100", None).code))
    assert "invalid_value" in str(text_refused(echo.code))


REFUSALS = [
    (401, "InvalidApiKey", "Invalid API-key provided.", "check DASHSCOPE_API_KEY"),
    (401, "", "", "check DASHSCOPE_API_KEY"),
    (401, "InvalidApiKey", "The API key has expired", "renew DASHSCOPE_API_KEY"),
    (403, "Model.AccessDenied", "Model access denied.", "check model"),
    (403, "AccessDenied.Unpurchased", "Access to model denied.", "not activated the model"),
    (403, "Workspace.AccessDenied", "Workspace access denied.", "check workspace"),
    (403, "AllocationQuota.FreeTierOnly", "The free tier is exhausted.", "free quota"),
    (400, "Arrearage", "Access denied, your account is not in good standing.", "unpaid bills"),
    (404, "ModelNotFound", "Model not found.", "check model"),
    (400, "InvalidParameter", "Voice 'Nobody' is not supported.", "check name"),
    (400, "InvalidParameter", "sample_rate 11025 is invalid", "check sample_rate"),
    (400, "InvalidParameter", "language_type is invalid", "check language"),
    (400, "InvalidParameter", "speech_rate is out of range", "check speed"),
]


@pytest.mark.parametrize(("status", "code", "message", "told"), REFUSALS)
def test_a_refusal_names_what_was_refused_and_what_to_change(
    status: int, code: str, message: str, told: str
) -> None:
    body = {"code": code, "message": message, "request_id": "R1"}
    errors = [handshake_refused(status, json.dumps(body), "key")]
    errors.append(handshake_refused(status, json.dumps({"error": body}), "key"))
    if code:
        errors.append(setup_refused(code, message, "key"))
    for error in errors:
        assert (error.kind, told in str(error)) == ("fatal", True), error
        assert code in str(error)


@pytest.mark.parametrize("code", ["Throttling.RateQuota", "Throttling.AllocationQuota"])
def test_a_passing_limit_is_no_wrong_setting(code: str) -> None:
    body = json.dumps({"code": code, "message": "Requests rate limit exceeded for the model"})
    for error in (handshake_refused(429, body, "key"), text_refused(code)):
        assert (error.kind, "too many requests" in str(error)) == ("passing", True)


# --- malformed frames -----------------------------------------------------------------------------

TYPES = [
    "session.created",
    "session.updated",
    "response.created",
    "response.audio.delta",
    "response.done",
    "session.finished",
    "error",
    "input_text_buffer.committed",
    "response.text.delta",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["session", "response", "error", "delta", "response_id", "id", "status", "code", "message"]
)
NEARLY = st.builds(
    lambda type_, fields: json.dumps({**fields, "type": type_}),
    st.sampled_from(TYPES) | JSON,
    st.dictionaries(FIELDS, st.dictionaries(FIELDS, JSON, max_size=3) | JSON, max_size=3),
)


@given(st.text() | st.binary() | JSON.map(json.dumps) | NEARLY)
def test_no_frame_raises_any_other_error(frame: str | bytes) -> None:
    try:
        read = decode(frame)
    except ProtocolError:
        return
    if read is not None:
        for mode in ("commit", "server_commit"):
            try:
                assert len(Speech(mode).feed(read)) % 2 == 0
            except VoiceError:
                pass
        if isinstance(read, Failed):
            assert setup_refused(read.code, read.message, "key").kind in ("fatal", "passing")


@pytest.mark.parametrize(
    "frame",
    [
        b"{}",
        "",
        "[]",
        "{}",
        '{"type": 5}',
        "[" * 100_000,
        '{"type": "session.finished", "more": ' + "[" * 100_000,
        "\ud800",
        event("response.audio.delta", response_id="r", delta="not base64!"),
        event("response.audio.delta", response_id="r", delta=None),
        event("response.audio.delta", delta="AAA="),
        event("response.created", response={}),
        event("session.updated"),
        event("error"),
    ],
)
def test_a_malformed_frame_is_named_and_not_quoted(frame: str | bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        decode(frame)
    assert "base64!" not in str(error.value)


@pytest.mark.parametrize("type_", ["response.text.delta", "ping", "", "response.audio.done"])
def test_an_unneeded_event_is_ignored(type_: str) -> None:
    assert decode(event(type_, session=5, delta=[1], response="x")) is None
