"""For every test: hypothesis tries the same examples each time, and counts no seconds."""

from hypothesis import settings

settings.register_profile("project", derandomize=True, deadline=None, database=None)
settings.load_profile("project")
