"""Why a ticket is not good any more, and for how long that is remembered."""

from app.bridge.spent_tickets import KEPT_S, MOST_KEPT, SpentTickets


def test_why_a_ticket_is_not_good_is_remembered_for_a_while() -> None:
    now_s = [0.0]
    spent = SpentTickets(lambda: now_s[0])
    spent.add("a", "the ticket was used already")
    now_s[0] = KEPT_S / 2
    spent.add("b", "the ticket is expired")
    assert spent.why("a") == "the ticket was used already"
    assert spent.why("b") == "the ticket is expired"
    assert spent.why("c") == "the ticket is unknown"
    assert spent.why("") == "the stream's URL has no ticket"
    now_s[0] = KEPT_S
    spent.add("c", "the ticket is expired")
    assert spent.why("a") == "the ticket is unknown"
    assert spent.why("b") == "the ticket is expired"


def test_no_more_tickets_are_remembered_than_most_kept() -> None:
    spent = SpentTickets(lambda: 0.0)
    for number in range(MOST_KEPT + 10):
        spent.add(str(number), "used")
    assert spent.why("9") == "the ticket is unknown"
    assert spent.why("10") == spent.why(str(MOST_KEPT + 9)) == "used"
