"""Figures that move: small custom elements, with no kernel, no framework and no network.

Each figure is one function and one script in ``elements/``, on top of what ``figure.js`` gives all
of them: a frame with a question as its title, controls with their values, a line of numbers, a
reset, and what the words mean. The function checks its arguments, computes the first reading with
rope_lib, and draws a still picture of it; the script computes every later reading in the browser,
and draws as wide as there is room. Title, still picture, line and meanings stay where no script
runs, as in a notebook that is opened untrusted. All words are data, so that a translation can
replace them: each function takes ``words``, and lists what it takes in ``WORDS`` of its module.
"""

from .elements.clock import clock
from .elements.decay import decay
from .elements.figure import MovingFigure
from .elements.grid import grid
from .elements.hands import hands
from .elements.heads import heads
from .elements.pairings import pairings
from .elements.scalings import scalings
from .elements.shift import shift
from .elements.word_order import word_order

__all__ = [
    "MovingFigure",
    "clock",
    "decay",
    "grid",
    "hands",
    "heads",
    "pairings",
    "scalings",
    "shift",
    "word_order",
]
