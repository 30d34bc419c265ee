"""Configuration: environment, agent file, prices. Every fault names its variable or its line."""
