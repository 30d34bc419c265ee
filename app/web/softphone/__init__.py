"""The softphone's doors: who may call the agent from a browser, and what follows its streams."""
