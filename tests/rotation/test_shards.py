"""A sequence cut over two processes: positions are all that a shard needs to know of the other."""

import os
import sys
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import DTensor, Shard, init_device_mesh

from rope_lib import RotaryEmbedding

WORLD, LENGTH, SECONDS = 2, 11, 120  # an odd length: the shards are uneven


def example():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2, LENGTH, 8, generator=generator, dtype=torch.float64)


def attend(q, k, v, seen):
    """Causal attention of queries at the positions ``seen`` to all keys."""
    scores = (q @ k.mT).masked_fill(torch.arange(LENGTH) > seen[:, None], -torch.inf)
    return scores.softmax(-1) @ v


def gather(x):
    """The whole sequence from everybody's rows, of uneven lengths."""
    parts = [None] * WORLD
    dist.all_gather_object(parts, x)
    return torch.cat(parts, dim=-2)


def work(rank, folder):
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORLD,
        timeout=timedelta(seconds=SECONDS),
    )  # fmt: skip
    rope = RotaryEmbedding(8, pairing="interleaved")
    mine = torch.arange(LENGTH).tensor_split(WORLD)[rank]
    q, k, v = (x.tensor_split(WORLD, dim=-2)[rank] for x in example())
    turned_q, turned_k = rope(q, k, mine)
    all_q, all_k = gather(turned_q), gather(turned_k)
    result = gather(attend(turned_q, all_k, gather(v), mine))
    if rank == 0:
        torch.save({"q": all_q, "k": all_k, "out": result}, f"{folder}/result")
    refuse_distributed_tensors(rope, q, mine)
    dist.destroy_process_group()


def refuse_distributed_tensors(rope, q, positions):
    """Their operators cannot mix with plain tensors: a process turns its own shard, as above."""
    mesh = init_device_mesh("cpu", (WORLD,))
    with pytest.raises(
        TypeError, match=r"rotate the to_local.. of a DTensor by the positions of its"
    ):
        rope(DTensor.from_local(q, mesh, [Shard(1)]), None, positions)


@pytest.mark.skipif(
    sys.platform == "win32" or not dist.is_available() or not dist.is_gloo_available(),
    reason="needs gloo",
)
def test_two_processes_give_the_unsharded_result(tmp_path):
    processes = mp.start_processes(
        work, args=(str(tmp_path),), nprocs=WORLD, join=False, start_method="spawn"
    )
    deadline = time.monotonic() + SECONDS
    try:
        while not processes.join(timeout=1):  # raises what a process raised
            assert time.monotonic() < deadline, "the two processes did not finish"
    finally:
        for process in processes.processes:
            process.kill()
    q, k, v = example()
    whole_q, whole_k = RotaryEmbedding(8, pairing="interleaved")(q, k, torch.arange(LENGTH))
    sharded = torch.load(tmp_path / "result")
    assert torch.equal(sharded["q"], whole_q)
    assert torch.equal(sharded["k"], whole_k)
    whole = attend(whole_q, whole_k, v, torch.arange(LENGTH))
    torch.testing.assert_close(sharded["out"], whole, rtol=0, atol=1e-12)
