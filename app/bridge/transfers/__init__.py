"""Calls on other TwiML: transferred to a human, or redirected while Twilio plays keys."""
