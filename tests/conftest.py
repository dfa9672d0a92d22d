"""Settings that every test shares."""

import os

# Makes the font cache on a fresh machine, here: a notebook would announce it on stderr.
import matplotlib.font_manager  # noqa: F401
import torch
from hypothesis import settings

# Without a GPU, kernels run in Triton's interpreter; it has to be chosen before they are defined.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# The machine may be busy: no test is judged by the clock. Examples are the same on every run.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")
