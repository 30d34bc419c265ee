"""What the agent says: the model's own audio, external voices, and which of these speaks."""
