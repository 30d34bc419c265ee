"""What a request for speech says, in every form that the standard's callers may send it."""

import json
from typing import Any

import pytest
from aiohttp import FormData, MultipartWriter
from hypothesis import given
from hypothesis import strategies as st

from app.web.api.speech_request import SpeechRequest, fields_of, speech_request, token_of

TEXT = "Grüß Gott & 你好, 50 % + x\r\n--edge"
FIELDS = {"Text": TEXT, "SampleRate": "8000", "Token": "t", "VoiceId": ""}
KINDS = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
EDGE = "multipart/form-data; boundary=edge"


def urlencoded() -> bytes:
    return bytes(FormData(FIELDS)()._value)


async def multipart(writer: MultipartWriter) -> bytes:
    written = bytearray()

    class Sink:
        async def write(self, chunk: bytes) -> None:
            written.extend(chunk)

    await writer.write(Sink())  # type: ignore[arg-type]
    return bytes(written)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "", "x/y"])
def test_json_is_read_whatever_it_is_called(kind: str) -> None:
    assert fields_of(json.dumps(FIELDS).encode(), kind) == FIELDS
    assert fields_of(b"\xef\xbb\xbf" + json.dumps(FIELDS).encode(), kind) == FIELDS


@pytest.mark.parametrize("kind", [KINDS[1], "", "text/plain"])
def test_a_form_is_read_whatever_it_is_called(kind: str) -> None:
    assert fields_of(urlencoded(), kind) == FIELDS


def test_a_part_with_a_file_name_is_a_field() -> None:
    head = b'--end\r\nContent-Disposition: form-data; name="Text"; filename="text.txt"\r\n\r\n'
    kind = "multipart/form-data; boundary=end"

    assert fields_of(head + TEXT.encode() + b"\r\n--end--", kind) == {"Text": TEXT}


async def test_a_form_in_parts_is_read_as_other_programs_write_it() -> None:
    writer = MultipartWriter("form-data", boundary="a b'c")
    for name, value in FIELDS.items():
        writer.append(value).set_content_disposition("form-data", name=name)
    body = await multipart(writer)

    assert fields_of(body, writer.headers["Content-Type"]) == FIELDS
    assert fields_of(b"preamble\r\n" + body + b"epilogue", writer.headers["Content-Type"]) == FIELDS


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", KINDS[0]),
        (b"[]", KINDS[0]),
        (b'"Text"', KINDS[0]),
        (b"[" * 60000, KINDS[0]),
        (b'{"Text": "\xff"}', KINDS[0]),
        (b"9" * 60000, KINDS[0]),
        (b"Text=%ff", KINDS[1]),
        (b"Text=\xff", KINDS[1]),
        (b"a=1&" * 200, KINDS[1]),
        (b"--edge\r\n\r\nx\r\n--edge--", KINDS[2]),
        (b"no parts", EDGE),
        (b"--edge\r\nContent-Disposition: form-data; name=Text\r\n\r\ncut", EDGE),
        (b"--edge\r\nContent-Disposition: form-data; name=Text\r\n\r\n\xff\r\n--edge--", EDGE),
        (b"--edge\r\n\r\n\r\n" * 200 + b"--edge--", EDGE),
        (b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 101 + b"--edge--", EDGE),
        (b"--edge--", KINDS[2] + "; boundary=" + "e" * 300),
    ],
)
def test_a_body_that_is_not_what_it_is_called_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match="^body: expected"):
        fields_of(body, kind)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("body", [b"\xff\xff", b"[" * 60000, b"nothing of it"])
def test_what_is_called_nothing_and_is_nothing_says_nothing(body: bytes, kind: str) -> None:
    assert not fields_of(body, kind).keys() & FIELDS.keys()


@given(st.binary(max_size=300), st.sampled_from([*KINDS, EDGE, "", "x", "multipart/form-data; b"]))
def test_any_body_is_fields_or_refused(body: bytes, kind: str) -> None:
    try:
        fields = fields_of(body, kind)
    except ValueError as error:
        assert str(error).startswith("body: expected")
    else:
        assert all(isinstance(name, str) for name in fields)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_NAMES = ("Text", "VoiceId", "SampleRate", "Token", "ExtendData")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, _ANY)))
def test_any_fields_are_a_request_or_refused_by_name(fields: dict[str, Any]) -> None:
    assert isinstance(token_of(fields), str)
    try:
        request = speech_request(fields)
    except ValueError as error:
        assert str(error).partition(":")[0] in _NAMES
    else:
        assert request.text.strip() == request.text != ""


def test_a_request_says_what_and_how_and_by_which_names_it_goes() -> None:
    extended = '{"InstanceId":"i","ChannelId":"c","SentenceId":3,"Emotion":"happy","UserData":"u"}'
    fields = {"Text": " Hello. ", "SampleRate": " 8000", "VoiceId": " Ann ", "ExtendData": extended}
    ids = {"instance_id": "i", "channel_id": "c", "sentence_id": "3"}

    assert speech_request(fields) == SpeechRequest("Hello.", 8000, "Ann", ids)
    for same in (json.loads(extended), extended.replace("3", '"3"')):
        assert speech_request({**fields, "ExtendData": same}).ids == ids
    assert "Hello" not in repr(speech_request(fields))


def test_names_of_the_callers_are_kept_short() -> None:
    fields = {"Text": "a", "SampleRate": 8000, "ExtendData": {"InstanceId": "x" * 999, "a": 1}}

    assert speech_request(fields).ids == {"instance_id": "x" * 64}
