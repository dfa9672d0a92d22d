"""What the real model is asked: passages of plays, and facts that were planted in what came before.

A window is a stretch of the plays that ends with a passage. Into the text before it sentences like
"The secret number of Oswald is 41592." are planted, each at a chosen distance before the passage.
After the passage the model is asked for each number by the same words. One reading of the text so
answers two questions: how well is the passage predicted, and what is found again from how far away?
"""

from dataclasses import dataclass

import numpy
import torch
from llama import Llama
from memory import Memory, Way, read
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy

from rope_lib.course.text import shakespeare

NAMES = ("Oswald", "Marcus", "Helena", "Philip", "Agnes", "Conrad", "Bertha", "Roland")
DIGITS = 5


@dataclass
class Question:
    """Words after which a planted number comes, and how far back it was planted."""

    asked: torch.Tensor
    answer: torch.Tensor
    distance: int


@dataclass
class Window:
    """Tokens of the text, of the passage after it, and the questions."""

    text: torch.Tensor
    passage: torch.Tensor
    questions: list[Question]


def plays(tokenizer: Tokenizer) -> torch.Tensor:
    """All the plays as token ids."""
    text = torch.cat((shakespeare("train"), shakespeare("validation")))
    return torch.tensor(
        tokenizer.encode(text.to(torch.uint8).numpy().tobytes().decode("utf-8")).ids
    )


def make_window(
    tokenizer: Tokenizer,
    ids: torch.Tensor,
    number: float,
    *,
    count: int,
    length: int,
    passage: int,
    distances: tuple[int, ...] = (),
    seed: int = 0,
) -> Window:
    """Window ``number`` of ``count``, spread evenly over ``ids``: passages do not overlap.

    Args:
        length: tokens of the text before the passage, planted sentences included.
        passage: tokens of the passage.
        distances: of the planted facts, in tokens before the passage, falling.
        seed: of names and numbers.
    """
    end = round(length + (len(ids) - passage - length) * number / max(1, count - 1))
    rng = numpy.random.default_rng((seed, round(2 * number)))
    names = rng.permutation(NAMES)[: len(distances)]
    text, questions = ids[max(0, end - length) : end], []
    # From the nearest to the farthest, so that what is planted moves nothing that stands after it.
    for name, distance in sorted(zip(names, distances, strict=True), key=lambda two: two[1]):
        digits = "".join(str(digit) for digit in rng.integers(0, 10, DIGITS))
        asked, fact = _sentence(tokenizer, name, digits)
        place = len(text) - distance
        text = torch.cat((text[:place], fact, text[place:]))
        answer = torch.tensor(tokenizer.encode(f"The {digits}").ids[-DIGITS:])
        questions.append(Question(asked, answer, distance))
    return Window(text[-length:], ids[end : end + passage], questions)


def without_questions(window: Window) -> Window:
    """The same text and passage, and nothing to find again."""
    return Window(window.text, window.passage, [])


def _sentence(tokenizer: Tokenizer, name: str, digits: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The words before the number, and the whole sentence, each on a line of its own."""
    words = f"\nThe secret number of {name} is "  # the space is a token of its own before digits
    asked, whole = (tokenizer.encode(text).ids for text in (words, f"{words}{digits}.\n"))
    return torch.tensor(asked), torch.tensor(whole)


@torch.no_grad()
def ask(
    model: Llama, window: Window, way: Way, memory: Memory, *, first: int | None = None
) -> dict:
    """Read the passage and all questions after ``memory``, in one go.

    Each question sees the memory, the passage and itself, and stands right after the passage.

    Args:
        first: position of the passage; by default it follows the memory.

    Returns:
        ``loss``: nats a token over the passage, without its first token. ``digit_loss``: by
        question, nats a digit. ``found``: by question, 1 if each digit was the likeliest one.
    """
    tails = [torch.cat((question.asked, question.answer)) for question in window.questions]
    if first is None:
        first = memory.positions[-1] + 1 if len(memory) else 0
    tokens, positions, sees = _joined(window.passage, tails, first)
    x, _ = read(model, tokens, way, memory, positions=positions, sees=sees)
    begin = len(window.passage)
    scores = model.scores(x[: begin - 1]).cpu()
    result = {
        "loss": cross_entropy(scores, window.passage[1:]).item(),
        "digit_loss": [],
        "found": [],
    }
    for question, tail in zip(window.questions, tails, strict=True):
        last = begin + len(tail) - 1
        scores = model.scores(x[last - len(question.answer) : last]).cpu()
        result["digit_loss"].append(cross_entropy(scores, question.answer).item())
        result["found"].append(int(torch.equal(scores.argmax(dim=-1), question.answer)))
        begin += len(tail)
    return result


def _joined(passage: torch.Tensor, tails: list[torch.Tensor], first: float) -> tuple:
    """Passage and questions as one row of tokens: their positions, and who sees whom."""
    owners = torch.cat([torch.full((len(part),), n) for n, part in enumerate((passage, *tails))])
    order = torch.arange(len(owners))
    sees = (order[:, None] >= order) & ((owners == owners[:, None]) | (owners == 0))
    starts = [0, *(len(passage) for _ in tails)]
    places = [start + torch.arange(len(part))
              for start, part in zip(starts, (passage, *tails), strict=True)]  # fmt: skip
    return torch.cat((passage, *tails)), first + torch.cat(places), sees
