"""Settings that every test shares."""

# Makes the font cache on a fresh machine, here: a notebook would announce it on stderr.
import matplotlib.font_manager  # noqa: F401
from hypothesis import settings

# The machine may be busy: no test is judged by the clock. Examples are the same on every run.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")
