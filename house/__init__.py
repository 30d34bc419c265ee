"""The house: the rooms of app/ and their order, which one test checks and one picture shows."""
