"""The softphone's sound, measured in a real browser against what the model sent."""
