"""Which numbers are valid, and which may be dialled."""

import pytest

from app.bridge.dialling_rules import ANYBODY, OutboundRefused, check_number
from app.config.phone_number import is_number

OURS = "+14155550100"
BERLIN, PARIS = "+493012345678", "+33142345678"
PREMIUM = "+19005550123"


@pytest.mark.parametrize(
    ("to", "prefixes"),
    [
        ("+14155550123", ("+1",)),
        ("+15005550006", ("+1",)),  # for tests: in no range that is in use
        (BERLIN, ("+1", "+49")),
        (BERLIN, ANYBODY),
        (BERLIN, (BERLIN,)),
        ("+18005550100", ("+1800",)),
        (PREMIUM, ("+1", PREMIUM)),
    ],
)
def test_a_number_in_an_allowed_range_is_dialled(to: str, prefixes: tuple[str, ...]) -> None:
    check_number(to, OURS, prefixes)


@pytest.mark.parametrize(
    ("to", "prefixes", "status", "fix"),
    [
        (PARIS, ("+1", "+49"), 403, r"\+1, \+49.* OUTBOUND_PREFIXES"),
        ("+14155550123", ("+1416",), 403, "OUTBOUND_PREFIXES"),
        (OURS, ANYBODY, 403, "would call itself"),
        (PREMIUM, ("+1",), 403, "premium-rate.* OUTBOUND_PREFIXES"),
        (PREMIUM, ("+1900",), 403, "premium-rate"),
        (PREMIUM, ANYBODY, 403, "premium-rate"),
        ("+33899123456", ANYBODY, 403, "premium-rate"),
        ("+49110", ("+49", "+49110"), 403, "emergency"),
        ("+49112", ANYBODY, 403, "emergency"),
    ],
)
def test_a_number_that_is_not_allowed_is_refused(
    to: str, prefixes: tuple[str, ...], status: int, fix: str
) -> None:
    with pytest.raises(OutboundRefused, match=fix) as refused:
        check_number(to, OURS, prefixes)
    assert refused.value.status == status
    assert to == OURS or to not in str(refused.value)


@pytest.mark.parametrize(
    "to",
    ["", "911", "4155550123", "+1 415 555 0123", "+1415555012x", "sip:a@b.example"]
    + ["+14155550123,,1", "client:alice", "+14155550123\n", "+٤٩٣٠١٢٣٤٥٦٧٨"],
)
def test_what_is_not_e164_is_refused_though_every_prefix_is_allowed(to: str) -> None:
    with pytest.raises(OutboundRefused, match="E.164") as refused:
        check_number(to, OURS, ANYBODY)
    assert refused.value.status == 422


@pytest.mark.parametrize("to", ["+911", "+1911", "+141555501234", "+999123456789"])
def test_a_number_of_no_number_plan_is_refused_though_every_prefix_is_allowed(to: str) -> None:
    with pytest.raises(OutboundRefused, match="check the digits") as refused:
        check_number(to, OURS, ANYBODY)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("caller", "known"),
    [
        (BERLIN, True),
        ("+15005550006", True),
        ("", False),
        ("anonymous", False),
        ("client:alice", False),
        ("sip:desk@example.com", False),
        ("+266696687", False),  # "anonymous" on a keypad: Twilio's word for a withheld number
    ],
)
def test_not_every_caller_has_a_number(caller: str, known: bool) -> None:
    assert is_number(caller) is known
