"""rope_lib: rotary position embedding (RoPE), exact, small enough to read, and ready to use.

    from rope_lib import RotaryEmbedding

    rope = RotaryEmbedding(head_dim=64, pairing="half")
    q, k = rope(q, k, torch.arange(q.shape[-2]))

The rotation itself stands at the root of the package, and ``module`` joins it with two of the
wings: ``models`` knows what real models do, ``kernels`` has the programs for GPUs. ``course`` holds
what only the book's chapters use.

Three conventions hold everywhere. The last dimension is the head dimension and the one before it
the sequence. Angles are radians, positions count tokens. The pairing is always said, never guessed:
``"interleaved"`` rotates elements ``(2i, 2i+1)`` together, ``"half"`` elements ``(i, i+d/2)``.
"""

from .axes import Axes, axial, sections
from .frequencies import inverse_frequencies, proportional_frequencies, wavelengths
from .functional import Precision, rotate, rotate_, rotation_tables
from .layout import permute_projection, to_half, to_interleaved
from .models.checkpoints import convert_state_dict
from .models.compare import compare
from .models.explain import explain
from .models.identify import identify
from .models.reader import score_factors
from .module import RotaryEmbedding
from .scaling import NTK, DynamicNTK, Linear, Llama3, LongRoPE, Proportional, Rescaled, YaRN


def __dir__() -> list[str]:
    return sorted(__all__)


__version__ = "0.1.0"
__all__ = [
    "NTK", "Axes", "DynamicNTK", "Linear", "Llama3", "LongRoPE", "Precision", "Proportional",
    "Rescaled", "RotaryEmbedding", "YaRN", "axial", "compare", "convert_state_dict", "explain",
    "identify", "inverse_frequencies", "permute_projection", "proportional_frequencies",
    "rotate", "rotate_", "rotation_tables", "score_factors", "sections", "to_half",
    "to_interleaved", "wavelengths",
]  # fmt: skip
