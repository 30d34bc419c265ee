"""Calls away from the agent: transferred to a human, or redirected while Twilio presses keys."""
