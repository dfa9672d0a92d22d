"""The kernels that also normalise, in Triton. Imported only where one is about to run.

A tile is one head of ROWS tokens, or HEADS heads of one token: its rows are normalised each by
itself, or all together (ALL). What is between the first read and the last write stays in registers,
in float32 or wider.
"""

import triton
import triton.language as tl

from .programs import copy_heads, heads_at, tables_at, tokens_at


@triton.jit
def norm_turn_qk(
    q, k, q_weight, k_weight, q_out, k_out, cos, sin, positions,
    seq, q_heads, k_heads, table_rows,
    q_batch, q_head, q_row, q_dim, k_batch, k_head, k_row, k_dim,
    qo_batch, qo_head, qo_row, qo_dim, ko_batch, ko_head, ko_row, ko_dim,
    qw_head, kw_head, table_batch, table_row, position_batch, position_row,
    INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, WIDE: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    EPS: tl.constexpr, AFTER: tl.constexpr, ALL: tl.constexpr, EACH: tl.constexpr,
    ROWS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """Queries and keys in one launch. Heads are numbered through: first q's groups, then k's."""
    q_groups = tl.cdiv(q_heads, HEADS)
    groups = q_groups + tl.cdiv(k_heads, HEADS)
    program = tl.program_id(0)
    group = program % groups
    batch, rows, here = tokens_at(program // groups, seq, ROWS)
    c, s = _clean_tables(
        cos, sin, positions, batch, rows, here, table_rows,
        table_batch, table_row, position_batch, position_row, INVERSE, WIDE, PAIRS, BLOCK,
    )  # fmt: skip
    if group < q_groups:
        _norm_heads(
            q, q_weight, q_out, c, s, batch, group * HEADS, q_heads, rows, rows, here,
            q_batch, q_head, q_row, q_dim, qw_head, qo_batch, qo_head, qo_row, qo_dim, 1.0,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
            EPS, AFTER, ALL, EACH, 0.0, HEADS,
        )  # fmt: skip
    else:
        _norm_heads(
            k, k_weight, k_out, c, s, batch, (group - q_groups) * HEADS, k_heads, rows, rows, here,
            k_batch, k_head, k_row, k_dim, kw_head, ko_batch, ko_head, ko_row, ko_dim, 1.0,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
            EPS, AFTER, ALL, EACH, 0.0, HEADS,
        )  # fmt: skip


@triton.jit
def norm_turn_into_cache(
    q, k, v, q_weight, k_weight, q_out, k_cache, v_cache, cos, sin, positions, slots,
    seq, q_heads, k_heads, table_rows, cache_rows, k_scale, v_scale,
    q_batch, q_head, q_row, q_dim, k_batch, k_head, k_row, k_dim, v_batch, v_head, v_row, v_dim,
    qo_batch, qo_head, qo_row, qo_dim, kc_batch, kc_head, kc_row, kc_dim,
    vc_batch, vc_head, vc_row, vc_dim, qw_head, kw_head,
    table_batch, table_row, position_batch, position_row, slot_batch, slot_row,
    INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, WIDE: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    EPS: tl.constexpr, AFTER: tl.constexpr, ALL: tl.constexpr, EACH: tl.constexpr,
    VALUES: tl.constexpr, VALUE_BLOCK: tl.constexpr, LIMIT: tl.constexpr,
    ROWS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """The same, with keys and plain values written to the rows of a cache.

    A cache of 8 bits (LIMIT > 0) holds what is divided by a scale.
    """
    q_groups = tl.cdiv(q_heads, HEADS)
    k_groups = tl.cdiv(k_heads, HEADS)
    groups = q_groups + 2 * k_groups
    program = tl.program_id(0)
    group = program % groups
    batch, rows, here = tokens_at(program // groups, seq, ROWS)
    slot = tl.load(slots + batch * slot_batch + rows * slot_row, mask=here, other=-1).to(tl.int64)
    kept = here & (slot >= 0) & (slot < cache_rows)
    if group >= q_groups + k_groups:
        _copy_values(
            v, v_cache, batch, (group - q_groups - k_groups) * HEADS, k_heads, rows, slot, kept,
            v_batch, v_head, v_row, v_dim, vc_batch, vc_head, vc_row, vc_dim, v_scale,
            VALUES, VALUE_BLOCK, LIMIT, HEADS,
        )  # fmt: skip
    else:
        c, s = _clean_tables(
            cos, sin, positions, batch, rows, here, table_rows,
            table_batch, table_row, position_batch, position_row, INVERSE, WIDE, PAIRS, BLOCK,
        )  # fmt: skip
        if group < q_groups:
            _norm_heads(
                q, q_weight, q_out, c, s, batch, group * HEADS, q_heads, rows, rows, here,
                q_batch, q_head, q_row, q_dim, qw_head, qo_batch, qo_head, qo_row, qo_dim, 1.0,
                INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
                EPS, AFTER, ALL, EACH, 0.0, HEADS,
            )  # fmt: skip
        else:
            _norm_heads(
                k, k_weight, k_cache, c, s, batch, (group - q_groups) * HEADS, k_heads, rows, slot,
                kept, k_batch, k_head, k_row, k_dim, kw_head, kc_batch, kc_head, kc_row, kc_dim,
                k_scale, INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
                EPS, AFTER, ALL, EACH, LIMIT, HEADS,
            )  # fmt: skip


@triton.jit
def norm_turn_back(
    q, k, q_weight, k_weight, q_up, k_up, q_down, k_down, partial, cos, sin, positions,
    seq, q_heads, k_heads, table_rows, blocks, steps,
    q_batch, q_head, q_row, q_dim, k_batch, k_head, k_row, k_dim,
    qu_batch, qu_head, qu_row, qu_dim, ku_batch, ku_head, ku_row, ku_dim,
    qd_batch, qd_head, qd_row, qd_dim, kd_batch, kd_head, kd_row, kd_dim,
    qw_head, kw_head, table_batch, table_row, position_batch, position_row,
    INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, WIDE: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    EPS: tl.constexpr, AFTER: tl.constexpr, ALL: tl.constexpr, EACH: tl.constexpr,
    ROWS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """Gradients of q and k, and what each program adds to those of the weights.

    A program works through ``steps`` of the ``blocks`` of tokens, so that there are few partial
    sums: ``partial`` has a row for each program, or for each of its heads where weights differ
    from head to head (EACH).
    """
    q_groups = tl.cdiv(q_heads, HEADS)
    groups = q_groups + tl.cdiv(k_heads, HEADS)
    program = tl.program_id(0)
    group = program % groups
    first_block = program // groups * steps
    if group < q_groups:
        _norm_back(
            q, q_weight, q_up, q_down, partial, cos, sin, positions,
            program, first_block, blocks, steps, group * HEADS, q_heads, seq, table_rows,
            q_batch, q_head, q_row, q_dim, qu_batch, qu_head, qu_row, qu_dim,
            qd_batch, qd_head, qd_row, qd_dim, qw_head,
            table_batch, table_row, position_batch, position_row,
            INTERLEAVED, INVERSE, WIDE, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
            EPS, AFTER, ALL, EACH, ROWS, HEADS,
        )  # fmt: skip
    else:
        _norm_back(
            k, k_weight, k_up, k_down, partial, cos, sin, positions,
            program, first_block, blocks, steps, (group - q_groups) * HEADS, k_heads, seq,
            table_rows, k_batch, k_head, k_row, k_dim, ku_batch, ku_head, ku_row, ku_dim,
            kd_batch, kd_head, kd_row, kd_dim, kw_head,
            table_batch, table_row, position_batch, position_row,
            INTERLEAVED, INVERSE, WIDE, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
            EPS, AFTER, ALL, EACH, ROWS, HEADS,
        )  # fmt: skip


@triton.jit
def _norm_heads(
    x, weight, out, c, s, batch, first, heads, rows, out_rows, here,
    x_batch, x_head, x_row, x_dim, w_head, o_batch, o_head, o_row, o_dim, scale,
    INTERLEAVED: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    EPS: tl.constexpr, AFTER: tl.constexpr, ALL: tl.constexpr, EACH: tl.constexpr,
    LIMIT: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    for i in tl.static_range(HEADS if rows.shape[0] > 1 else 1):
        head = heads_at(first, i, rows.shape[0], HEADS)
        row = (here & (rows * 0 + head < heads))[:, None]
        a, b, rest = _numbers(
            x + batch * x_batch + (head * x_head + rows * x_row)[:, None], x_dim, row,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, c.dtype,
        )  # fmt: skip
        if AFTER:
            a, b = a * c - b * s, a * s + b * c
        r = tl.rsqrt(_mean(a, b, rest, a, b, rest, heads, 2 * PAIRS + REST, ALL) + EPS)
        wa, wb, w_rest = _weights(
            weight, w_head, head, row,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, EACH, c.dtype,
        )  # fmt: skip
        a, b, rest = a * r * wa, b * r * wb, rest * r * w_rest
        if not AFTER:
            a, b = a * c - b * s, a * s + b * c
        if LIMIT > 0:
            a, b = _limited(a, scale, LIMIT), _limited(b, scale, LIMIT)
            rest = _limited(rest, scale, LIMIT)
        _store(
            out + batch * o_batch + (head * o_head + out_rows * o_row)[:, None], o_dim, row,
            a, b, rest, INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
        )  # fmt: skip


@triton.jit
def _copy_values(
    v, out, batch, first, heads, rows, out_rows, here,
    v_batch, v_head, v_row, v_dim, o_batch, o_head, o_row, o_dim, scale,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, LIMIT: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    if LIMIT > 0:
        columns = tl.arange(0, BLOCK)
        for i in tl.static_range(HEADS if rows.shape[0] > 1 else 1):
            head = heads_at(first, i, rows.shape[0], HEADS)
            row = (here & (rows * 0 + head < heads))[:, None]
            source = v + batch * v_batch + (head * v_head + rows * v_row)[:, None]
            target = out + batch * o_batch + (head * o_head + out_rows * o_row)[:, None]
            mask = row & (columns < WIDTH)[None, :]
            number = tl.load(source + columns[None, :] * v_dim, mask=mask, other=0.0)
            number = _limited(number.to(tl.float32), scale, LIMIT).to(out.dtype.element_ty)
            tl.store(target + columns[None, :] * o_dim, number, mask=mask)
    else:
        copy_heads(
            v, out, batch, batch, first, heads, rows, out_rows, here,
            v_batch, v_head, v_row, v_dim, o_batch, o_head, o_row, o_dim,
            0, WIDTH, BLOCK, HEADS,
        )  # fmt: skip


@triton.jit
def _limited(number, scale, LIMIT: tl.constexpr):
    """What 8 bits can hold; NaN stays."""
    return tl.clamp(number / scale, -LIMIT, LIMIT, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _norm_back(
    x, weight, up, down, partial, cos, sin, positions,
    program, first_block, blocks, steps, first, heads, seq, table_rows,
    x_batch, x_head, x_row, x_dim, u_batch, u_head, u_row, u_dim,
    d_batch, d_head, d_row, d_dim, w_head,
    table_batch, table_row, position_batch, position_row,
    INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, WIDE: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
    EPS: tl.constexpr, AFTER: tl.constexpr, ALL: tl.constexpr, EACH: tl.constexpr,
    ROWS: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """With n = x r: the gradient of x is r (u - n mean(u n)), where u is that of n."""
    TILE: tl.constexpr = ROWS if ROWS > 1 else HEADS
    sum_a = tl.zeros((TILE, BLOCK), WIDE)
    sum_b = tl.zeros((TILE, BLOCK), WIDE)
    sum_rest = tl.zeros((TILE, REST_BLOCK), WIDE)
    for step in range(steps):
        batch, rows, here = tokens_at(first_block + step, seq, ROWS)
        here = here & (rows * 0 + first_block + step < blocks)
        c, s = _clean_tables(
            cos, sin, positions, batch, rows, here, table_rows,
            table_batch, table_row, position_batch, position_row, INVERSE, WIDE, PAIRS, BLOCK,
        )  # fmt: skip
        for i in tl.static_range(HEADS if ROWS > 1 else 1):
            head = heads_at(first, i, ROWS, HEADS)
            row = (here & (rows * 0 + head < heads))[:, None]
            a, b, rest = _numbers(
                x + batch * x_batch + (head * x_head + rows * x_row)[:, None], x_dim, row,
                INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, WIDE,
            )  # fmt: skip
            ua, ub, u_rest = _numbers(
                up + batch * u_batch + (head * u_head + rows * u_row)[:, None], u_dim, row,
                INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, WIDE,
            )  # fmt: skip
            if AFTER:
                a, b = a * c - b * s, a * s + b * c
            else:
                ua, ub = ua * c + ub * s, ub * c - ua * s
            r = tl.rsqrt(_mean(a, b, rest, a, b, rest, heads, 2 * PAIRS + REST, ALL) + EPS)
            r = tl.where(row, r, 0.0)  # infinite where there is no token and EPS is 0
            a, b, rest = a * r, b * r, rest * r
            if weight is not None:
                sum_a += ua * a
                sum_b += ub * b
                sum_rest += u_rest * rest
                wa, wb, w_rest = _weights(
                    weight, w_head, head, row,
                    INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, EACH, WIDE,
                )  # fmt: skip
                ua, ub, u_rest = ua * wa, ub * wb, u_rest * w_rest
            m = _mean(ua, ub, u_rest, a, b, rest, heads, 2 * PAIRS + REST, ALL)
            a, b, rest = r * (ua - a * m), r * (ub - b * m), r * (u_rest - rest * m)
            if AFTER:
                a, b = a * c + b * s, b * c - a * s
            _store(
                down + batch * d_batch + (head * d_head + rows * d_row)[:, None], d_dim, row,
                a, b, rest, INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
            )  # fmt: skip
    if weight is not None:
        _store_partial(
            partial, program, sum_a, sum_b, sum_rest,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, EACH,
        )  # fmt: skip


@triton.jit
def _store_partial(
    partial, program, a, b, rest,
    INTERLEAVED: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr, EACH: tl.constexpr,
):  # fmt: skip
    """A row for each head of a tile, or one, the sum over the tile."""
    if EACH:
        lanes = program.to(tl.int64) * a.shape[0] + tl.arange(0, a.shape[0])
    else:
        a = tl.sum(a, 0, keep_dims=True)
        b = tl.sum(b, 0, keep_dims=True)
        rest = tl.sum(rest, 0, keep_dims=True)
        lanes = program.to(tl.int64) + tl.arange(0, 1)
    _store(
        partial + (lanes * (2 * PAIRS + REST))[:, None], 1, (lanes >= 0)[:, None], a, b, rest,
        INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK,
    )  # fmt: skip


@triton.jit
def _clean_tables(
    cos, sin, positions, batch, rows, here, table_rows,
    table_batch, table_row, position_batch, position_row,
    INVERSE: tl.constexpr, WIDE: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """As in :func:`tables_at`, with zeros where there is no pair: such places enter sums here."""
    c, s = tables_at(
        cos, sin, positions, batch, rows, here, table_rows,
        table_batch, table_row, position_batch, position_row, INVERSE, WIDE, PAIRS, BLOCK,
    )  # fmt: skip
    real = here[:, None] & (tl.arange(0, BLOCK) < PAIRS)[None, :]
    return tl.where(real, c, 0.0), tl.where(real, s, 0.0)


@triton.jit
def _mean(a, b, rest, a2, b2, rest2, heads, WIDTH: tl.constexpr, ALL: tl.constexpr):
    """The mean of products over each row of a tile, or over all of it."""
    total = tl.sum(a * a2 + b * b2, 1, keep_dims=True) + tl.sum(rest * rest2, 1, keep_dims=True)
    if ALL:
        total = tl.sum(total, 0, keep_dims=True) / heads
    return total / WIDTH


@triton.jit
def _numbers(
    source, dim, row,
    INTERLEAVED: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Both numbers of each pair, and the numbers in no pair; zeros where there are none."""
    pairs = tl.arange(0, BLOCK)
    if INTERLEAVED:
        both = tl.arange(0, 2 * BLOCK)
        mask = row & (both < 2 * PAIRS)[None, :]
        number = tl.load(source + (START + both)[None, :] * dim, mask=mask, other=0.0).to(WIDE)
        a, b = tl.split(tl.reshape(number, (number.shape[0], BLOCK, 2)))
    else:
        mask = row & (pairs < PAIRS)[None, :]
        one = (START + pairs)[None, :]
        a = tl.load(source + one * dim, mask=mask, other=0.0).to(WIDE)
        b = tl.load(source + (one + PAIRS) * dim, mask=mask, other=0.0).to(WIDE)
    if REST > 0:
        columns = tl.arange(0, REST_BLOCK)
        mask = row & (columns < REST)[None, :]
        place = source + (REST_START + columns)[None, :] * dim
        rest = tl.load(place, mask=mask, other=0.0).to(WIDE)
    else:
        rest = tl.zeros((a.shape[0], 1), WIDE)
    return a, b, rest


@triton.jit
def _weights(
    weight, w_head, head, row,
    INTERLEAVED: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr, EACH: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """As :func:`_numbers`: those of each head (EACH), or the same for every row; or ones."""
    if weight is not None:
        # For every row of the tile, or they would lie in other registers than what they multiply.
        lanes = head if EACH else tl.zeros((row.shape[0],), tl.int64)
        a, b, rest = _numbers(
            weight + (lanes * w_head)[:, None], 1, row,
            INTERLEAVED, PAIRS, BLOCK, START, REST, REST_START, REST_BLOCK, WIDE,
        )  # fmt: skip
    else:
        a = tl.full((1, BLOCK), 1.0, WIDE)
        b = a
        rest = tl.full((1, REST_BLOCK), 1.0, WIDE)
    return a, b, rest


@triton.jit
def _store(
    target, dim, row, a, b, rest,
    INTERLEAVED: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr, START: tl.constexpr,
    REST: tl.constexpr, REST_START: tl.constexpr, REST_BLOCK: tl.constexpr,
):  # fmt: skip
    """Undo :func:`_numbers`, rounding once."""
    kind: tl.constexpr = target.dtype.element_ty
    pairs = tl.arange(0, BLOCK)
    if INTERLEAVED:
        both = tl.arange(0, 2 * BLOCK)
        number = tl.reshape(tl.join(a, b), (a.shape[0], 2 * BLOCK)).to(kind)
        mask = row & (both < 2 * PAIRS)[None, :]
        tl.store(target + (START + both)[None, :] * dim, number, mask=mask)
    else:
        mask = row & (pairs < PAIRS)[None, :]
        one = (START + pairs)[None, :]
        tl.store(target + one * dim, a.to(kind), mask=mask)
        tl.store(target + (one + PAIRS) * dim, b.to(kind), mask=mask)
    if REST > 0:
        columns = tl.arange(0, REST_BLOCK)
        mask = row & (columns < REST)[None, :]
        tl.store(target + (REST_START + columns)[None, :] * dim, rest.to(kind), mask=mask)
