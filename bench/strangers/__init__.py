"""Attacks at the port, and what they cost the calls that go on meanwhile."""
