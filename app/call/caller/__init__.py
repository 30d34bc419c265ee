"""The caller: who has the floor, their keys, and how long they are left alone."""
