"""rope_lib: rotary position embedding (RoPE), small enough to read in one sitting.

The modules stand in floors; each imports only from floors below it.

========================================  ===================================================
``checks``                                what a wrong argument is told
``text``  ``results``                     ten plays to train on; stored results of experiments
``frequencies``  ``axes``  ``positions``  how fast each pair turns; by which axis of a position;
                                          where tokens stand
``reference``  ``turning``                the slow float64 specification; the fast arithmetic
``scaling``  ``rotation``  ``layout``     longer contexts; turning vectors; the two pairings
``kernels``                               queries and keys together, on a GPU in one launch
``families``                              how each family of models turns
``parameters``                            a configuration's rope parameters in one dictionary
``config``                                what they mean: reading a model's configuration
``rotary``  ``encodings``                 the module for a model; its rivals
``attention``  ``decay``                  softmax attention with any encoding; scores by distance
``linear_attention``  ``model``           the other kind of attention; a small language model
``plotting``  ``elements``                figures, still and moving
``interactive``                           all that move
``exercises``                             the checker behind the book's exercises
========================================  ===================================================

Three conventions hold everywhere. The last dimension is the head dimension and the one before it
the sequence. Angles are radians, positions count tokens. The pairing is always said, never guessed:
``"interleaved"`` turns the numbers ``(2i, 2i+1)`` together, ``"half"`` the numbers ``(i, i+d/2)``.
"""

__version__ = "0.1.0"
