"""A speech server of the owner's, by the custom HTTP text-to-speech standard."""
