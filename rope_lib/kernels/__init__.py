"""Queries and keys rotated together: fused kernels for a GPU, PyTorch elsewhere.

One launch reads each number once and writes it once. The kernels are written in Triton, which is
imported only when one is about to run; without it, or on a CPU, PyTorch does the same. With
``TRITON_INTERPRET=1`` in the environment the kernels run on a CPU as well, slowly, to be read and
tested.

What no kernel does, and PyTorch does in its place: the rounding of released code (``shipped``),
which is there to be compared with and differs from family to family; an order of the result that
is not that of the input (DeepSeek's), which costs a copy wherever it is done; blocks of axes.

The modules: ``programs``, the kernels; ``launch``, strides and shares of the work; ``operators``,
checks, gradients and what a compiler sees; ``cache``, the same for keys and values that are kept;
``fused``, with the normalisation that many models have next to the rotation, by
``norm_programs`` and ``norm_launch``; ``compiled``, what PyTorch's compiler makes of the formula;
``onnx``, what an exported graph has instead.
"""

from .cache import rotate_into_cache
from .fused import norm_rotate_into_cache, norm_rotate_qk
from .launch import fault
from .operators import BACKENDS, rotate_qk, rotate_qk_

__all__ = [
    "BACKENDS",
    "fault",
    "norm_rotate_into_cache",
    "norm_rotate_qk",
    "rotate_into_cache",
    "rotate_qk",
    "rotate_qk_",
]
