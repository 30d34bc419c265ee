"""External voices: the clients of text-to-speech providers."""
