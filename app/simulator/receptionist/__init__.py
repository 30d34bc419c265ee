"""The embedded model: hears a caller, understands known phrases, and answers."""
