"""Settings for the whole suite."""

import os

from hypothesis import HealthCheck, settings

# No deadline: the machine decides how long an example takes, and a timed assertion does not belong into a test.
for _name, _examples in (("default", 60), ("thorough", 2_000)):
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
