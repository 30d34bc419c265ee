"""One module for each revision of the schema. Those that were released never change."""
