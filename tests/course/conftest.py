"""What tests of drawings share."""

import matplotlib
import matplotlib.pyplot as plt
import pytest

from rope_lib.course import plotting


@pytest.fixture
def book_style():
    """The book's style, drawn without a screen; afterwards all is as it was."""
    with matplotlib.rc_context():
        matplotlib.use("agg")
        plotting.use_style()
        yield
    plt.close("all")
