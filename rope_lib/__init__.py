"""rope_lib: rotary position embedding (RoPE), small enough to read in one sitting.

The modules stand in floors; each imports only from floors below it.

======================================  =====================================================
``checks``                              what a wrong argument is told
``frequencies``  ``reference``          how fast each pair turns; the slow float64 specification
``rotation``  ``layout``                turning vectors; the two pairings
``rotary``  ``attention``  ``decay``    the module for a model; softmax; scores by distance
``plotting``  ``interactive``           figures, still and moving
``exercises``                           the checker behind the book's exercises
======================================  =====================================================

Three conventions hold everywhere. The last dimension is the head dimension and the one before it
the sequence. Angles are radians, positions count tokens. The pairing is always said, never guessed:
``"interleaved"`` turns the numbers ``(2i, 2i+1)`` together, ``"half"`` the numbers ``(i, i+d/2)``.
"""

__version__ = "0.1.0"
