"""Without OUTBOUND_PREFIXES only numbers of the own country are dialled, and no expensive ones."""

import pytest

from app.bridge.dialling_rules import OutboundRefused, check_number
from app.config.phone_number import country

US, CANADIAN, BRITISH, GERMAN, TEST = (
    "+14155550100",
    "+14165550100",
    "+442079460000",
    "+493012345678",
    "+15005550006",
)


@pytest.mark.parametrize(
    ("from_number", "to"),
    [
        (US, "+14155550123"),
        (US, "+12125550123"),
        (US, "+18005550100"),
        (US, "+18885550100"),
        (US, TEST),
        (US, "+15551230002"),  # fictional: in no range in use
        (TEST, "+14155550123"),
        ("+18005550100", "+14155550123"),  # our own number is toll-free
        (CANADIAN, "+16135550199"),
        (CANADIAN, "+18005550100"),
        (BRITISH, "+447700900123"),
        (BRITISH, "+448081570192"),
        (GERMAN, "+4915112345678"),
        (GERMAN, "+4980012345678"),
    ],
)
def test_a_number_of_the_own_country_or_toll_free_is_dialled(from_number: str, to: str) -> None:
    check_number(to, from_number, ())


@pytest.mark.parametrize(
    ("from_number", "to"),
    [
        (US, CANADIAN),
        (US, "+18765551234"),  # Jamaica
        (US, "+12425551234"),  # Bahamas
        (US, "+18095551234"),  # Dominican Republic
        (US, "+14735551234"),  # Grenada
        (US, "+17875551234"),  # Puerto Rico
        (US, GERMAN),
        (US, "+80012345678"),  # toll-free, of no country
        (US, "+882161234567"),  # satellite and other networks
        (CANADIAN, US),
        (BRITISH, "+441534123456"),  # Jersey
        (BRITISH, "+441624712345"),  # Isle of Man
        (GERMAN, "+4366012345678"),
        ("+74951234567", "+77012345678"),  # Kazakhstan
        ("+390612345678", "+390669812345"),  # Vatican
    ],
)
def test_a_number_of_another_country_is_refused_though_it_shares_the_calling_code(
    from_number: str, to: str
) -> None:
    with pytest.raises(OutboundRefused, match=r"\([A-Z]{2}\) are called.* OUTBOUND_PREFIXES") as no:
        check_number(to, from_number, ())
    assert no.value.status == 403
    assert to not in str(no.value)


@pytest.mark.parametrize(
    ("from_number", "to"),
    [
        (US, "+19005550123"),
        (US, "+19000001234"),
        (US, "+12129761234"),
        (US, "+14159765555"),
        (CANADIAN, "+14169761234"),
        (BRITISH, "+449098790123"),
        (BRITISH, "+448712345678"),
        (GERMAN, "+491805123456"),  # shared cost
        ("+33142345678", "+33899123456"),
        ("+41446681800", "+41848123456"),  # shared cost
    ],
)
def test_an_expensive_number_is_refused_until_the_whole_of_it_is_a_prefix(
    from_number: str, to: str
) -> None:
    for prefixes in ((), ("*",), (to[:-1],)):
        with pytest.raises(OutboundRefused, match="premium-rate or shared-cost"):
            check_number(to, from_number, prefixes)
    check_number(to, from_number, (to,))


def test_a_prefix_allows_every_country_that_it_covers() -> None:
    for to in (CANADIAN, "+18765551234", "+14155550123"):
        check_number(to, US, ("+1",))


def test_countries_that_share_a_calling_code_are_different() -> None:
    numbers = (US, CANADIAN, TEST, BRITISH, "+441534123456", "+80012345678")
    assert [*map(country, numbers)] == ["US", "CA", "US", "GB", "JE", "001"]
