"""`python -m app setup`: points the number at the service, over Twilio's REST API."""
