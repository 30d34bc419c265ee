"""Calls of the last minute are remembered, older ones are not."""

from app.bridge.recent_calls import KEPT_S, RecentCalls


def test_a_call_is_remembered_until_another_is_added_after_kept_s() -> None:
    now_s = [0.0]
    recent = RecentCalls(lambda: now_s[0])
    recent.add("CA1")
    now_s[0] = KEPT_S / 2
    recent.add("CA2")
    assert "CA1" in recent and "CA2" in recent
    now_s[0] = KEPT_S + 1
    recent.add("CA3")
    assert "CA1" not in recent
    assert "CA2" in recent and "CA3" in recent
