"""A real model with the rows of its projections in the wrong order: its loss and its words.

The file of SmolLM2 has the rows of queries and keys in interleaved order. A model that rotates
half-split pairs needs both converted. Measured over the same passages: both converted; neither
(the pairing is wrong, consistently); only the keys or only the queries converted (so that the two
sides of a score do not fit each other either); and a model that was converted twice, there and
back, whose weights must be those of the file. Then each writes on from a few prompts, always
taking the likeliest token.

What would count as harm: the mean difference over the windows has a 95 % interval above 0.
"""

import argparse
from functools import partial

import passages
import real
import smollm
import torch
from common import Place, run_all
from memory import Memory, read
from ways import scaled

ORDERS = {
    "right": ("query", "key"),
    "both wrong": (),
    "queries wrong": ("key",),
    "keys wrong": ("query",),
}
PROMPTS = (
    "The capital of France is",
    "Once upon a time, there was a little girl who",
    "Two plus two is four, and three plus three is",
    "To be, or not to be, that is",
)


def work(run: dict, place: Place, *, folder: str) -> dict:
    """Losses of one window, or, for the run without a window, what the models write."""
    path = f"{folder}/{run['model']}"
    right, (tokenizer, _) = real.load(path, place.device), real.words(path)
    made = smollm.reorder(right.state_dict(), right.sizes, ("query", "key"), "interleaved")
    found = {}
    for name, half_split in ORDERS.items():
        state = smollm.reorder(made, right.sizes, half_split, "half")
        model = smollm.build(right.sizes, state)
        if run["window"] is None:
            found[name] = [write(model, tokenizer, prompt, run["tokens"]) for prompt in PROMPTS]
        else:
            found[name] = loss(model, real.window(run, path, run["length"], run["passage"]))
        place.tick(1)
        if name == "right":
            names = state.keys()
            same = all(torch.equal(state[key], right.state_dict()[key]) for key in names)
    key = "texts" if run["window"] is None else "losses"
    return {key: real.rounded(found), "converted_there_and_back_is_equal": same}


def loss(model, window) -> float:
    """Nats a token over the passage, after the text before it."""
    way = scaled(model.sizes)
    _, memory = read(model, window.text, way)
    return passages.ask(model, window, way, memory)["loss"]


@torch.no_grad()
def write(model, tokenizer, prompt: str, tokens: int) -> str:
    """What follows ``prompt``, one likeliest token after the other."""
    way, memory = scaled(model.sizes), Memory()
    ids, written = torch.tensor(tokenizer.encode(prompt).ids), []
    for _ in range(tokens):
        x, memory = read(model, ids, way, memory)
        ids = model.scores(x[-1:]).argmax(dim=-1).cpu()
        written += ids.tolist()
    return tokenizer.decode(written)


def plan(args: argparse.Namespace) -> list[dict]:
    """One run for each window, and one for the texts."""
    runs = real.plan(args, length=args.length, passage=args.passage, steps=len(ORDERS))
    texts = {**runs[0], "name": "texts", "window": None, "tokens": args.tokens}
    return [*runs, texts]


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--length", type=int, default=768, help="tokens before the passage")
    made.add_argument("--passage", type=int, default=256)
    made.add_argument("--tokens", type=int, default=40, help="to write after each prompt")
    args = made.parse_args()
    run_all("real_pairing", args, plan(args), partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
