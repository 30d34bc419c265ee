"""TwiML: parsed and executed as Twilio does."""
