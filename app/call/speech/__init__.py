"""What the agent says: the model's voice, external voices, and the choice between them."""
