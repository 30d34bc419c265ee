"""Signed tickets: who has the key reads what they say, and nothing else is read."""

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bridge.signed_tickets import SignedTicket, TicketSigner, ticket_key

CALL_SID = "CA" + "7" * 32
SIGNER = TicketSigner(ticket_key("the auth token"))
BASE64 = string.ascii_letters + string.digits + "-_"


def test_every_replica_with_the_same_secret_reads_a_ticket() -> None:
    ticket = SIGNER.sign(CALL_SID, 1_800_000_000.25)
    other = TicketSigner(ticket_key("the auth token"))
    assert other.read(ticket) == SignedTicket(CALL_SID, 1_800_000_000.25)
    assert set(ticket) <= set(BASE64)


def test_a_replica_with_another_secret_reads_none() -> None:
    ticket = SIGNER.sign(CALL_SID, 1e9)
    assert TicketSigner(ticket_key("another token")).read(ticket) is None


def test_the_key_is_not_the_secret() -> None:
    key = ticket_key("the auth token")
    assert len(key) == 32 and b"the auth token" not in key


def test_a_ticket_of_one_kind_is_none_of_the_other() -> None:
    assert SIGNER.read(SIGNER.sign(CALL_SID, 1e9, "softphone")) is None
    assert SIGNER.read(SIGNER.sign(CALL_SID, 1e9), "softphone") is None
    assert SIGNER.read(SIGNER.sign(CALL_SID, 1e9, "softphone"), "softphone") is not None


def test_two_tickets_of_a_call_differ() -> None:
    assert SIGNER.sign(CALL_SID, 1e9) != SIGNER.sign(CALL_SID, 1e9)


@given(st.data())
def test_a_ticket_with_any_character_changed_is_not_read(data: st.DataObject) -> None:
    ticket = SIGNER.sign(CALL_SID, 1e9)
    place = data.draw(st.integers(0, len(ticket) - 1))
    other = data.draw(st.sampled_from([each for each in BASE64 if each != ticket[place]]))
    assert SIGNER.read(ticket[:place] + other + ticket[place + 1 :]) is None


@given(st.text(max_size=200))
def test_what_is_no_ticket_is_not_read(text: str) -> None:
    assert SIGNER.read(text) is None


@pytest.mark.parametrize("after", ["=", "==", "\n", " ", "AAAA", "!"])
def test_a_second_spelling_of_a_ticket_is_not_read(after: str) -> None:
    """It would be used a second time."""
    for sid in (CALL_SID, f"{CALL_SID}1", f"{CALL_SID}12"):
        ticket = SIGNER.sign(sid, 1e9)
        assert SIGNER.read(ticket) is not None
        assert SIGNER.read(ticket + after) is None


def test_a_ticket_of_another_call_cannot_be_made_from_one() -> None:
    raw = urlsafe_b64decode(SIGNER.sign(CALL_SID, 1e9) + "==")
    other = raw.replace(b"7" * 32, b"8" * 32)
    assert len(other) == len(raw) and other != raw
    assert SIGNER.read(urlsafe_b64encode(other).rstrip(b"=").decode()) is None


def test_a_ticket_of_a_probe_admits_no_stream() -> None:
    probe = SIGNER.sign("doctor", 100.0, "probe")

    assert SIGNER.read(probe, "probe") == SignedTicket("doctor", 100.0)
    assert SIGNER.read(probe) is None and SIGNER.read(probe, "softphone") is None
    assert SIGNER.read(SIGNER.sign(CALL_SID, 100.0), "probe") is None
