"""External voices: what the model learns about interruptions, added latency, and cost."""
