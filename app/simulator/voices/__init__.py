"""Stand-ins for the providers of external voices, strict about what they are sent."""
