"""Media streams: Twilio's end of the WebSocket, its messages and its playback buffer."""
