"""What a caller may do without meaning to interrupt: coughs beside interruptions, measured."""
