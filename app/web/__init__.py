"""Every entrance: Twilio's webhooks and media socket, the HTTP API, health, and the server."""
