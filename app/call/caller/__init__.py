"""The caller: who has the floor, barge-in, keys, idle prompts and hold tones."""
