"""What the tests of kernels share: small inputs, how far off a rounding is, who counts launches."""

import pytest
import torch

from rope_lib import inverse_frequencies, rotation_tables
from rope_lib.kernels import fault

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PAIRINGS = ["interleaved", "half"]
# The relative error of one rounding. The interpreter cuts bfloat16 off instead of rounding it.
UNIT = {
    torch.float64: 2.0**-52,
    torch.float32: 2.0**-22,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8 if DEVICE.type == "cuda" else 2.0**-7,
}

needs_kernels = pytest.mark.skipif(fault(DEVICE) is not None, reason=str(fault(DEVICE)))


def numbers(*shape, dtype=torch.float32, seed=0):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return made.to(DEVICE, dtype)


def tables(positions, pairs, dtype=torch.float32):
    cos, sin = rotation_tables(positions, inverse_frequencies(2 * pairs), dtype)
    return cos.to(DEVICE), sin.to(DEVICE)


def random_strides(shape, seed, dtype=torch.float32):
    """A view with gaps and another order of dimensions, chosen by the seed."""
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(4, generator=draw).tolist()
    steps = (1 + torch.randint(0, 3, (4,), generator=draw)).tolist()
    stored = [shape[dim] * steps[dim] for dim in order]
    view = numbers(*stored, dtype=dtype, seed=seed)
    view = view[tuple(slice(None, None, steps[dim]) for dim in order)]
    return view.permute([order.index(dim) for dim in range(4)])


def assert_rounded_once(result, exact, dtype):
    """Within a rounding of the exact result, whose terms are no longer than its pairs."""
    torch.testing.assert_close(
        result.double().cpu(), exact, rtol=UNIT[dtype], atol=8 * 2.0**-24 * exact.abs().max()
    )


def count_launches(monkeypatch):
    """A list that gets the name of every kernel that is launched from now on."""
    from rope_lib.kernels import programs

    kind, launched = type(programs.turn_qk), []
    run = kind.run

    def counted(self, *args, **kwargs):
        launched.append(self.__name__)
        return run(self, *args, **kwargs)

    monkeypatch.setattr(kind, "run", counted)
    return launched
