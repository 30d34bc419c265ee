"""Every door: Twilio's webhooks and media socket, the HTTP API, health."""
