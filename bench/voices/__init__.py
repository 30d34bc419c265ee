"""External voices: what the model is told of them, what they add, what they cost."""
