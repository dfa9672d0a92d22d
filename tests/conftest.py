"""Settings that every test shares."""

from hypothesis import settings

# The machine may be busy: no test is judged by the clock. Examples are the same on every run.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")
