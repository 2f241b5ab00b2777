"""What the tests of the domain share: how Hypothesis looks for examples."""

from hypothesis import settings

# The same examples each time, and no clock: a slow machine is no fault of the domain.
settings.register_profile("domain", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("domain")
