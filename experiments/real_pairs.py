"""Which pairs of a real model carry what: bands of frequencies silenced, and bands frozen.

The 32 pairs of each head are cut into bands, from the fastest to the slowest. A *silenced* band
adds nothing to any score; a *frozen* one adds what it would at distance 0, so that its content
stays and its positions go. Each is done in the trained model, in all layers at once, and the model
reads a text, a passage and questions after planted numbers that way.

One more run looks at the sizes of the pairs, without changing anything: the mean length of each
pair of queries, of keys, and of values, by layer and head. Massive values (arXiv 2502.01563) are
pairs far longer than the median of their head. Values are not rotated: they are the control.

What would count as needed: the mean difference from the untouched model over the windows has a 95 %
interval above 0, corrected for twice the number of bands.
"""

from dataclasses import replace
from functools import partial

import passages
import real
import torch
import ways
from common import Place, run_all
from llama import Llama
from memory import Way, queries_keys_values, read

from rope_lib.frequencies import wavelengths

SKIPPED = 4  # tokens at the start, some of which are far larger than all others


def work(run: dict, place: Place, *, folder: str) -> dict:
    """Every band of one window; or the sizes of pairs, for the run without a window."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    plain = ways.scaled(model.sizes)
    if run["window"] is None:
        return real.rounded(sizes_of_pairs(run, path, model, plain))
    distances = (run["length"] * 4 // 5, run["length"] // 3)
    window = real.window(run, path, run["length"], run["passage"], distances)
    found = {"untouched": _read_and_ask(model, window, plain)}
    for number, band in enumerate(bands(len(plain.inv_freq), run["bands"])):
        found[f"silenced {number}"] = _read_and_ask(model, window, replace(plain, silent=band))
        found[f"frozen {number}"] = _read_and_ask(model, window, frozen(plain, band))
        place.tick(1)
    lengths = wavelengths(plain.inv_freq).split(len(plain.inv_freq) // run["bands"])
    spans = [[round(part.min().item(), 1), round(part.max().item(), 1)] for part in lengths]
    return real.rounded({"bands_span": spans, "found": found})


def bands(pairs: int, count: int) -> list[tuple[int, ...]]:
    """The numbers of the pairs in each band; equally many, so ``count`` divides ``pairs``."""
    size = pairs // count
    return [tuple(range(first, first + size)) for first in range(0, pairs, size)]


def frozen(way: Way, band: tuple[int, ...]) -> Way:
    """The pairs of ``band`` do not turn."""
    inv_freq = way.inv_freq.clone()
    inv_freq[list(band)] = 0.0
    return replace(way, inv_freq=inv_freq)


def _read_and_ask(model, window, way: Way) -> dict:
    _, memory = read(model, window.text, way)
    return passages.ask(model, window, way, memory)


@torch.no_grad()
def sizes_of_pairs(run: dict, path: str, model: Llama, way: Way) -> dict:
    """Mean lengths of pairs of q, k and v over all windows: ``[layer][head][pair]`` each."""
    layers = model.sizes.layers
    sums = {name: [0.0] * layers for name in ("queries", "keys", "values")}
    for number in range(run["windows"]):
        window = real.window({**run, "window": number}, path, run["length"], run["passage"])
        for layer, three in enumerate(queries_keys_values(model, window.text, way)):
            for name, x in zip(sums, three, strict=True):
                pairs = torch.stack(x.chunk(2, dim=-1), dim=-1).norm(dim=-1)
                sums[name][layer] += pairs[0, :, SKIPPED:].mean(dim=1) / run["windows"]
    return {name: torch.stack(layers) for name, layers in sums.items()}


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--length", type=int, default=768, help="tokens before the passage")
    made.add_argument("--passage", type=int, default=256)
    made.add_argument("--bands", type=int, default=8)
    args = made.parse_args()
    runs = real.plan(
        args, length=args.length, passage=args.passage, bands=args.bands, steps=args.bands
    )
    runs.append({**runs[0], "name": "sizes", "window": None})
    run_all("real_pairs", args, runs, partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
