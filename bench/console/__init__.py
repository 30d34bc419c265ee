"""How fast the console is: a start page full of live calls, and searches in many records."""
