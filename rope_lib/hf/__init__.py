"""Models of Hugging Face's transformers, turned by this library.

    from rope_lib.hf import patch, unpatch

    patch(model)  # exact tables: angles in float64, rounded once
    unpatch(model)  # the model's own modules again

A transformers model makes its tables in one small module, ``rotary_emb``, and hands them to all of
its layers. :class:`HFRotaryEmbedding` stands in for that module, and :func:`patch` exchanges it
throughout a model. The layers turn queries and keys as before; so bfloat16 tables stay bfloat16,
and what changes is the error of the angle: in float32 it grows with the position. transformers
itself is not imported, and nothing is written to a model's files.
"""

from .apply import apply_rotary_transformers
from .patching import patch, unpatch
from .tables import HFRotaryEmbedding

__all__ = ["HFRotaryEmbedding", "apply_rotary_transformers", "patch", "unpatch"]
