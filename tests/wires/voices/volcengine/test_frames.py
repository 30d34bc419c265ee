"""Volcengine's frames: every test vector, and ten thousand malformed frames."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.errors import ProtocolError
from app.wires.voices.volcengine import v1_codec as v1
from app.wires.voices.volcengine import v3_codec as v3
from app.wires.voices.volcengine.frame import LARGEST_INFLATED_BYTES, inflate
from app.wires.voices.volcengine.v1_codec import Acknowledged, Audio, Frontend
from tests.wires.voices.volcengine.volcengine_peer import audio, event, failure, sized

TRAFFIC = Path(__file__).parents[3] / "traffic" / "volcengine.json"
VECTORS: list[dict[str, Any]] = json.loads(TRAFFIC.read_text(encoding="utf-8"))["vectors"]
BY_NAME = {vector["name"]: vector for vector in VECTORS}


def names(direction: str, *, of_v3: bool) -> list[str]:
    return [
        vector["name"]
        for vector in VECTORS
        if vector["direction"] == direction and (vector.get("protocol") == "v3") is of_v3
    ]


def frame(name: str) -> bytes:
    return bytes.fromhex(BY_NAME[name]["hex"])


# --- timestamps -----------------------------------------------------------------------------------


def timed(*words: tuple[str, float, float]) -> Frontend:
    keys = ("word", "start_time", "end_time")
    return Frontend(
        json.dumps({"words": [dict(zip(keys, w, strict=True)) for w in words]}).encode()
    )


def test_a_word_that_begins_a_little_early_begins_at_the_end_of_the_one_before() -> None:
    found = v1.spoken_words(timed(("a", 0.1, 1.0), ("b", 0.999, 2.0), ("c", 1.95, 1.98)))
    assert [(w.text, w.start_ms, w.end_ms) for w in found] == [
        ("a", 100, 1000),
        ("b", 1000, 2000),
        ("c", 2000, 2000),
    ]


def test_words_out_of_order_are_refused() -> None:
    with pytest.raises(ProtocolError, match="out of order"):
        v1.spoken_words(timed(("a", 0.1, 1.0), ("b", 0.8, 2.0)))


# --- client frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("client->server", of_v3=False))
def test_a_request_equals_its_vector(name: str) -> None:
    vector = BY_NAME[name]
    if "escaped_json" in name:  # with spaces, and no letter beyond ASCII
        payload = json.dumps(vector["payload_json"]).encode()
    else:
        payload = msgspec.json.encode(vector["payload_json"])
    compress = vector["header"]["compression"] == 1

    built = v1.build(payload, compress=compress)

    if not compress:
        assert built == frame(name)
        return
    # Compressed bytes differ between versions of zlib.
    assert built[:4] == frame(name)[:4]
    assert int.from_bytes(built[4:8], "big") == len(built) - 8
    assert gzip.decompress(built[8:]) == payload == gzip.decompress(frame(name)[8:])
    assert payload.hex() == vector["payload_inflated_hex"]


@pytest.mark.parametrize("name", names("client->server", of_v3=True))
def test_an_event_equals_its_vector(name: str) -> None:
    vector = BY_NAME[name]
    payload = msgspec.json.encode(vector.get("payload_json", {}))
    session = vector.get("session_id", "")

    assert v3.build(vector["event"], payload, session=session) == frame(name)
    packed = v3.build(vector["event"], payload, session=session, compress=True)
    fields = 8 + len(sized(session.encode())) if session else 8
    assert packed[:fields] == b"\x11\x14\x11\x00" + frame(name)[4:fields]
    assert gzip.decompress(packed[fields + 4 :]) == payload


# --- server frames --------------------------------------------------------------------------------


def meant(vector: dict[str, Any]) -> v1.Frame | None:
    """The expected result of parsing a v1 vector; None if it violates the protocol."""
    if vector.get("expect") == "protocol_error" or vector.get("v3"):
        return None
    match vector["header"]["message_type"]:
        case 0xF:
            return v1.Failed(vector["code"], vector["message"])
        case 0xC:
            return Frontend(vector["message"].encode())
    if "final" not in vector:
        return Acknowledged()
    return Audio(vector["sequence"], bytes.fromhex(vector["payload_hex"]), vector["final"])


@pytest.mark.parametrize("name", names("server->client", of_v3=False))
def test_a_v1_frame_parses_to_its_vector(name: str) -> None:
    meaning = meant(BY_NAME[name])
    if meaning is not None:
        assert v1.parse(frame(name)) == meaning
        return
    with pytest.raises(ProtocolError):
        v1.parse(frame(name))


@pytest.mark.parametrize("name", names("server->client", of_v3=True))
def test_a_v3_frame_parses_to_its_vector(name: str) -> None:
    vector = BY_NAME[name]
    read = v3.parse(frame(name))
    if vector["header"]["message_type"] == 0xF:
        assert read == v3.Failed(vector["code"], vector["message"])
        return
    assert isinstance(read, v3.Event)
    assert read.number == vector["event"]
    assert read.id == vector.get("session_id", vector.get("connection_id"))
    if read.number == v3.AUDIO:
        assert read.payload.hex() == vector["payload_hex"]
    else:
        assert isinstance(json.loads(read.payload), dict)


def test_each_protocol_rejects_the_others_frames() -> None:
    for name in names("server->client", of_v3=True):
        if name != "v3_error":  # the one that both wires have
            with pytest.raises(ProtocolError):
                v1.parse(frame(name))
    for name in names("server->client", of_v3=False):
        # The last two are malformed in both protocols.
        if "error" not in name and "unknown" not in name and "flag4" not in name:
            with pytest.raises(ProtocolError):
                v3.parse(frame(name))


def test_a_last_frame_with_and_without_a_sequence() -> None:
    assert v1.parse(audio(b"ab" * 9, flags=2)) == Audio(None, b"ab" * 9, True)
    assert v1.parse(audio(b"ab" * 9, -7, flags=2)) == Audio(-7, b"ab" * 9, True)
    assert v1.parse(audio(b"", flags=2)) == Audio(None, b"", True)
    assert v1.parse(audio(b"ab", -1, flags=1)) == Audio(-1, b"ab", True)
    assert v1.parse(audio(b"ab", 3, flags=3)) == Audio(3, b"ab", True)


def test_connection_failed_is_parsed_with_and_without_an_id() -> None:
    why = b'{"message":"no"}'
    assert v3.parse(event(51, "conn-1", why)) == v3.Event(51, "conn-1", why)
    assert v3.parse(event(51, None, why)) == v3.Event(51, "", why)
    assert v3.parse(event(51, "", why)) == v3.Event(51, "", why)
    assert v3.parse(event(151, "sess-1", None)) == v3.Event(151, "sess-1", b"")


def test_a_v3_error_is_parsed_with_and_without_an_event() -> None:
    with_event = b"\x11\xf4\x10\x00" + (45000001).to_bytes(4, "big") + event(153, "s", b"bad")[4:]
    assert v3.parse(with_event) == v3.Failed(45000001, "bad")
    assert v3.parse(failure(45000001, b"bad", compress=True)) == v3.Failed(45000001, "bad")


def test_every_payload_may_be_compressed() -> None:
    assert v1.parse(audio(b"ab" * 99, 1, compress=True)) == Audio(1, b"ab" * 99, False)
    assert v1.parse(audio(b"ab" * 99, compress=True, flags=2)) == Audio(None, b"ab" * 99, True)
    assert v3.parse(event(352, "s", b"ab" * 99, compress=True)) == v3.Event(352, "s", b"ab" * 99)
    assert v3.parse(event(152, "s", b"{}", compress=True)) == v3.Event(152, "s", b"{}")


def test_a_gzip_bomb_is_rejected() -> None:
    allowed = bytes(LARGEST_INFLATED_BYTES)
    assert inflate(gzip.compress(allowed)) == allowed
    bomb = gzip.compress(allowed + b"\0")
    assert len(bomb) < 10_000
    with pytest.raises(ProtocolError, match="inflates to more than"):
        v1.parse(audio(bomb, 1, compression=1))


def test_incomplete_or_malformed_gzip_is_rejected() -> None:
    packed = gzip.compress(b"hello there" * 9)
    for broken in (packed[:-1], packed[:5], b"no gzip", packed[:-8] + bytes(8)):
        with pytest.raises(ProtocolError, match="gzip data is"):
            v1.parse(audio(broken, 1, compression=1))
    with pytest.raises(ProtocolError, match="unknown compression 15"):
        v1.parse(audio(b"ab", 1, compression=15))


# --- malformed frames -----------------------------------------------------------------------------


def mutated(dice: random.Random, original: bytes) -> bytes:
    """A frame with one to three mutations."""
    broken = bytearray(original)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(broken) + 1)
        match dice.randrange(7):
            case 0 if broken:
                broken[at % len(broken)] ^= 1 << dice.randrange(8)
            case 1:
                del broken[at:]
            case 2:
                broken[at:at] = dice.randbytes(dice.randint(1, 12))
            case 3:
                del broken[at : at + dice.randint(1, 8)]
            case 4:  # an integer: a length, a sequence, a code
                odd = dice.choice((0, 1, 3, 4, 2**16, 2**31 - 1, 2**31, 2**32 - 1, len(broken)))
                broken[at : at + 4] = odd.to_bytes(4, "big")
            case 5:
                broken[:4] = bytes((0x11, dice.randrange(256), dice.choice((0, 1, 0x11, 0x1F)), 0))
            case 6:
                what = dice.choice((GARBAGE, BOMB, b"\x1f\x8b", gzip.compress(b"{}")))
                broken[at:] = sized(what)
                if len(broken) > 3:
                    broken[2] |= 1
    return bytes(broken)


BOMB = gzip.compress(bytes(64 << 20))
GARBAGE = gzip.compress(b"hello")[:-3] + b"???"


@pytest.mark.parametrize("parse", [v1.parse, v3.parse], ids=["v1", "v3"])
def test_ten_thousand_broken_frames_raise_no_other_error(
    parse: Callable[[bytes], object],
) -> None:
    dice = random.Random(20240717)
    originals = [bytes.fromhex(vector["hex"]) for vector in VECTORS]
    read = refused = 0
    for number in range(10_000):
        broken = mutated(dice, originals[number % len(originals)])
        try:
            parse(broken)
            read += 1
        except ProtocolError:
            refused += 1
    assert read + refused == 10_000
    assert read > 300 and refused > 300  # both outcomes occur
