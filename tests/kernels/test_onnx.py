"""What an exported rotation is made of, and that onnxruntime makes of it what PyTorch does."""

import logging
import warnings

import numpy as np
import pytest
import torch

from rope_lib import NTK, DynamicNTK, RotaryEmbedding, YaRN, axial, sections

onnxruntime = pytest.importorskip("onnxruntime")
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
Q, K = torch.randn(2, 8, 16, 64), torch.randn(2, 2, 16, 64)
POSITIONS = torch.arange(16)
VIDEO = torch.stack((POSITIONS, POSITIONS % 4, POSITIONS % 3))
OPERATOR = {
    "half": ({"pairing": "half"}, POSITIONS),
    "a part, clockwise": ({"pairing": "interleaved", "rotary_dim": 32, "clockwise": True},
                          POSITIONS),
    "a batch, YaRN": ({"pairing": "half", "scaling": YaRN(4.0, 64)},
                      torch.stack((POSITIONS, POSITIONS + 7))),
    "sections": ({"pairing": "half", "axes": sections([8, 12, 12])}, VIDEO),
}  # fmt: skip
PLAIN = {
    "the last part": ({"pairing": "half", "rotary_dim": 32, "rotated": "last"}, POSITIONS),
    "blocks, another order": (
        {"pairing": "interleaved", "output_pairing": "half", "axes": axial(64, blocks=True)},
        VIDEO[:2]),
}  # fmt: skip


def exported(rope, q, k, positions, path, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            rope, (q, k, positions), dynamo=True, opset_version=23, verbose=False, **more
        )
    program.save(str(path))
    return program.model.graph, onnxruntime.InferenceSession(str(path))


def run(session, *tensors):
    names = [each.name for each in session.get_inputs()]
    given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
    return session.run(None, given)


def assert_agrees(session, rope, q, k, positions):
    for found, expected in zip(run(session, q, k, positions), rope(q, k, positions), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", [*OPERATOR, *PLAIN])
def test_an_exported_rotation(name, tmp_path):
    arguments, positions = (OPERATOR | PLAIN)[name]
    rope = RotaryEmbedding(64, **arguments, backend="onnx")
    graph, session = exported(rope, Q, K, positions, tmp_path / "rope.onnx")
    kinds = [node.op_type for node in graph]
    assert kinds.count("RotaryEmbedding") == (2 if name in OPERATOR else 0)
    dtypes = {output.dtype.name for node in graph for output in node.outputs}
    dtypes |= {value.dtype.name for value in graph.initializers.values()}
    assert dtypes <= {"FLOAT", "INT64"}
    assert not {"Cos", "Sin", "Pow", "Range", "Mod", "If"} & set(kinds)
    assert_agrees(session, rope, Q, K, positions)


def test_a_length_that_was_not_fixed_and_positions_far_out(tmp_path):
    rope = RotaryEmbedding(64, pairing="half", base=5e5, backend="onnx")
    seq = torch.export.Dim("seq", min=2, max=4096)
    shapes = ({2: seq}, {2: seq}, {0: seq})
    _, session = exported(rope, Q, K, POSITIONS, tmp_path / "rope.onnx", dynamic_shapes=shapes)
    far = torch.tensor([0, 1, 1023, 1024, 4097, 131_071, 999_999, 1_048_575])
    q, k = torch.randn(2, 8, 8, 64), torch.randn(2, 2, 8, 64)
    assert_agrees(session, rope, q, k, far)
    with pytest.raises(Exception, match=r"(?i)out of|index|gather"):
        run(session, q, k, far + 1)


def test_sixteen_bits_are_turned_in_float32(tmp_path):
    rope = RotaryEmbedding(64, pairing="half", backend="onnx")
    q, k = Q.half(), K.half()
    _, session = exported(rope, q, k, POSITIONS, tmp_path / "rope.onnx")
    for found, expected in zip(run(session, q, k, POSITIONS), rope(q, k, POSITIONS), strict=True):
        assert (found != expected.numpy()).mean() < 0.01


def test_a_scaling_that_depends_on_the_length_is_fixed_first(tmp_path):
    rope = RotaryEmbedding(64, pairing="half", scaling=DynamicNTK(2.0, 8), backend="onnx")
    fixed = rope.for_length(16)
    _, session = exported(fixed, Q, K, POSITIONS, tmp_path / "rope.onnx")
    assert_agrees(session, RotaryEmbedding(64, pairing="half", scaling=NTK(3.0)), Q, K, POSITIONS)


def test_outside_of_an_export_nothing_changes():
    plain = RotaryEmbedding(64, pairing="half")
    for_export = RotaryEmbedding(64, pairing="half", backend="onnx")
    for found, expected in zip(for_export(Q, K, 3), plain(Q, K, 3), strict=True):
        assert torch.equal(found, expected)
    assert for_export.state_dict() == {}


@pytest.mark.parametrize("shipped", [False, True])
def test_other_opsets_get_plain_operators(shipped, tmp_path):
    """Only opset 23 has the operator; a module that does not ask for it exports to any.

    Its frequencies are constants: the powers of an exporter are not those of PyTorch, and at
    position 100,000 their last bits would be seen.
    """
    config = {"model_type": "llama", "head_dim": 64, "rope_theta": 5e5, "rope_scaling": {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192}}  # fmt: skip
    rope = RotaryEmbedding.from_config(config, shipped=shipped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(rope, (Q, K, POSITIONS), dynamo=True, verbose=False)
    program.save(str(tmp_path / "rope.onnx"))
    kinds = {node.op_type for node in program.model.graph}
    assert not {"Pow", "Range", "RotaryEmbedding"} & kinds
    session = onnxruntime.InferenceSession(str(tmp_path / "rope.onnx"))
    far = torch.arange(16) + 100_000
    for found, expected in zip(run(session, Q, K, far), rope(Q, K, far), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=3e-6)
