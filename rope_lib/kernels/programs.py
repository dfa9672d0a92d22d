"""The kernels themselves, in Triton. Imported only where one is about to run.

One program rotates ROWS tokens of HEADS heads. It reads its rows of the tables once, and uses
them for every one of its heads: one after the other, or all at once where it has a single token.
Offsets are 64-bit: a batch of long texts has more than 2**31 numbers.
"""

import triton
import triton.language as tl


@triton.jit
def turn_qk(
    q, k, q_out, k_out, cos, sin, positions,
    seq, q_heads, k_heads, table_rows,
    q_batch, q_head, q_row, q_dim, k_batch, k_head, k_row, k_dim,
    qo_batch, qo_head, qo_row, qo_dim, ko_batch, ko_head, ko_row, ko_dim,
    table_batch, table_row, position_batch, position_row,
    INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, WIDE: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    ROWS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """Queries and keys in one launch. Heads are numbered through: first q's groups, then k's."""
    q_groups = tl.cdiv(q_heads, HEADS)
    groups = q_groups + tl.cdiv(k_heads, HEADS)
    program = tl.program_id(0)
    group = program % groups
    batch, rows, here = tokens_at(program // groups, seq, ROWS)
    c, s = tables_at(
        cos, sin, positions, batch, rows, here, table_rows,
        table_batch, table_row, position_batch, position_row, INVERSE, WIDE, PAIRS, BLOCK,
    )  # fmt: skip
    if group < q_groups:
        _turn_heads(
            q, q_out, c, s, batch, batch, group * HEADS, q_heads, rows, rows, here,
            q_batch, q_head, q_row, q_dim, qo_batch, qo_head, qo_row, qo_dim,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, HEADS,
        )  # fmt: skip
    else:
        _turn_heads(
            k, k_out, c, s, batch, batch, (group - q_groups) * HEADS, k_heads, rows, rows, here,
            k_batch, k_head, k_row, k_dim, ko_batch, ko_head, ko_row, ko_dim,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, HEADS,
        )  # fmt: skip


@triton.jit
def turn_into_cache(
    q, k, v, q_out, k_cache, v_cache, cos, sin, positions, slots,
    seq, q_heads, k_heads, table_rows, cache_rows,
    q_batch, q_head, q_row, q_dim, k_batch, k_head, k_row, k_dim, v_batch, v_head, v_row, v_dim,
    qo_batch, qo_head, qo_row, qo_dim, kc_batch, kc_head, kc_row, kc_dim,
    vc_batch, vc_head, vc_row, vc_dim,
    table_batch, table_row, position_batch, position_row, slot_batch, slot_row,
    INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, WIDE: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    VALUES: tl.constexpr, VALUE_BLOCK: tl.constexpr, ROWS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """The same, with rotated keys and plain values written to the rows of a cache."""
    q_groups = tl.cdiv(q_heads, HEADS)
    k_groups = tl.cdiv(k_heads, HEADS)
    groups = q_groups + 2 * k_groups
    program = tl.program_id(0)
    group = program % groups
    batch, rows, here = tokens_at(program // groups, seq, ROWS)
    slot = tl.load(slots + batch * slot_batch + rows * slot_row, mask=here, other=-1).to(tl.int64)
    kept = here & (slot >= 0) & (slot < cache_rows)
    if group >= q_groups + k_groups:
        copy_heads(
            v, v_cache, batch, batch, (group - q_groups - k_groups) * HEADS, k_heads, rows, slot,
            kept, v_batch, v_head, v_row, v_dim, vc_batch, vc_head, vc_row, vc_dim,
            0, VALUES, VALUE_BLOCK, HEADS,
        )  # fmt: skip
    else:
        c, s = tables_at(
            cos, sin, positions, batch, rows, here, table_rows,
            table_batch, table_row, position_batch, position_row, INVERSE, WIDE, PAIRS, BLOCK,
        )  # fmt: skip
        if group < q_groups:
            _turn_heads(
                q, q_out, c, s, batch, batch, group * HEADS, q_heads, rows, rows, here,
                q_batch, q_head, q_row, q_dim, qo_batch, qo_head, qo_row, qo_dim,
                INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, HEADS,
            )  # fmt: skip
        else:
            _turn_heads(
                k, k_cache, c, s, batch, batch, (group - q_groups) * HEADS, k_heads, rows, slot,
                kept, k_batch, k_head, k_row, k_dim, kc_batch, kc_head, kc_row, kc_dim,
                INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, HEADS,
            )  # fmt: skip


@triton.jit
def tokens_at(block, seq, ROWS: tl.constexpr):
    """Which text and which of its tokens a program works on, and which of these exist."""
    blocks = tl.cdiv(seq, ROWS)
    batch = (block // blocks).to(tl.int64)
    rows = (block % blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    return batch, rows, rows < seq


@triton.jit
def heads_at(first, i, ROWS: tl.constexpr, HEADS: tl.constexpr):
    """The heads of a tile: the i-th, for each of the tokens, or every one, for a single token."""
    head = first + i if ROWS > 1 else first + tl.arange(0, HEADS)
    return head.to(tl.int64)


@triton.jit
def tables_at(
    cos, sin, positions, batch, rows, here, table_rows,
    table_batch, table_row, position_batch, position_row,
    INVERSE: tl.constexpr, WIDE: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Cosines and sines of the rows, (ROWS, BLOCK); NaN for a position beyond the table."""
    if positions is not None:
        where = positions + batch * position_batch + rows * position_row
        rows = tl.load(where, mask=here, other=0).to(tl.int64)
        here = here & (rows >= 0) & (rows < table_rows)
    pairs = tl.arange(0, BLOCK)
    at = batch * table_batch + rows[:, None] * table_row + pairs[None, :]
    mask = here[:, None] & (pairs < PAIRS)[None, :]
    c = tl.load(cos + at, mask=mask, other=float("nan")).to(WIDE)
    s = tl.load(sin + at, mask=mask, other=float("nan")).to(WIDE)
    if INVERSE:
        s = -s
    return c, s


@triton.jit
def _turn_heads(
    x, out, c, s, batch, out_batch, first, heads, rows, out_rows, here,
    x_batch, x_head, x_row, x_dim, o_batch, o_head, o_row, o_dim,
    INTERLEAVED: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    pairs = tl.arange(0, BLOCK)
    both = tl.arange(0, 2 * BLOCK)
    for i in tl.static_range(HEADS if rows.shape[0] > 1 else 1):
        head = heads_at(first, i, rows.shape[0], HEADS)
        source = x + batch * x_batch + (head * x_head + rows * x_row)[:, None]
        target = out + out_batch * o_batch + (head * o_head + out_rows * o_row)[:, None]
        row = (here & (rows * 0 + head < heads))[:, None]  # as a row: some interpreters need it
        if INTERLEAVED:
            mask = row & (both < 2 * PAIRS)[None, :]
            number = tl.load(source + (START + both)[None, :] * x_dim, mask=mask, other=0.0)
            wide = tl.reshape(number.to(c.dtype), (number.shape[0], BLOCK, 2))
            a, b = tl.split(wide)
            turned = tl.join(a * c - b * s, a * s + b * c)
            turned = tl.reshape(turned, (number.shape[0], 2 * BLOCK))
            place = target + (START + both)[None, :] * o_dim
            tl.store(place, turned.to(out.dtype.element_ty), mask=mask)
        else:
            mask = row & (pairs < PAIRS)[None, :]
            one = (START + pairs)[None, :]
            two = one + PAIRS
            a = tl.load(source + one * x_dim, mask=mask, other=0.0).to(c.dtype)
            b = tl.load(source + two * x_dim, mask=mask, other=0.0).to(c.dtype)
            tl.store(target + one * o_dim, (a * c - b * s).to(out.dtype.element_ty), mask=mask)
            tl.store(target + two * o_dim, (a * s + b * c).to(out.dtype.element_ty), mask=mask)
    if REST > 0:
        copy_heads(
            x, out, batch, out_batch, first, heads, rows, out_rows, here,
            x_batch, x_head, x_row, x_dim, o_batch, o_head, o_row, o_dim,
            REST_START, REST, REST_BLOCK, HEADS,
        )  # fmt: skip


@triton.jit
def copy_heads(
    x, out, batch, out_batch, first, heads, rows, out_rows, here,
    x_batch, x_head, x_row, x_dim, o_batch, o_head, o_row, o_dim,
    START: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    columns = tl.arange(0, BLOCK)
    for i in tl.static_range(HEADS if rows.shape[0] > 1 else 1):
        head = heads_at(first, i, rows.shape[0], HEADS)
        source = x + batch * x_batch + (head * x_head + rows * x_row)[:, None]
        target = out + out_batch * o_batch + (head * o_head + out_rows * o_row)[:, None]
        row = (here & (rows * 0 + head < heads))[:, None]
        mask = row & (columns < WIDTH)[None, :]
        number = tl.load(source + (START + columns)[None, :] * x_dim, mask=mask, other=0.0)
        place = target + (START + columns)[None, :] * o_dim
        tl.store(place, number.to(out.dtype.element_ty), mask=mask)
