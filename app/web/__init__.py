"""HTTP and WebSockets: Twilio's webhooks and media socket, the HTTP API, health, the server."""
