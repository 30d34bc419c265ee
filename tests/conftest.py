"""For every test: hypothesis tries the same examples each time, and counts no seconds. `make fuzz`
sets FUZZ: others each time, and more of them."""

import os

from hypothesis import HealthCheck, settings

FUZZ = bool(os.environ.get("FUZZ"))
_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)

settings.register_profile("project", _unhurried, derandomize=True)
settings.register_profile("fuzz", _unhurried, max_examples=5000, print_blob=True)
settings.load_profile("fuzz" if FUZZ else "project")
