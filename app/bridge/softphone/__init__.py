"""Calls from a browser over Twilio's wire: what Twilio does for a phone call is done here."""
