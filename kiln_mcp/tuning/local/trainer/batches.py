"""The order of the data, and batches of it as tensors."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.examples import TokenExample
from kiln_mcp.tuning.local.trainer.libraries import library

_SORTED_TOGETHER: Final = 8
"""Batches' worth of examples that are sorted by length, so that little is filled up."""
NOT_LEARNT: Final = -100
"""torch leaves this label out of the loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples that are learnt in one step, filled up on the left.

    Attributes:
        ids: Tokens, by example and place.
        mask: 1 for a token, 0 for a filler.
        labels: For the last `length` places, the token that comes next and is learnt.
        length: The places at the end whose prediction is needed. Answers end together, so these are
            few.
        tokens: Tokens without what is filled up.
    """

    ids: Any
    mask: Any
    labels: Any
    length: int
    tokens: int


def epoch_order(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches of an epoch as places of examples; the same for the same seed and epoch.

    Args:
        lengths: The tokens of each example.
        size: Examples in a batch; the last may have fewer.
        seed: Of the training.
        epoch: From 0.
    """
    chance = random.Random(f"{seed}/{epoch}")
    places = list(range(len(lengths)))
    chance.shuffle(places)
    group = size * _SORTED_TOGETHER
    batches: list[list[int]] = []
    for begin in range(0, len(places), group):
        near = sorted(places[begin : begin + group], key=lambda place: lengths[place])
        batches += [near[start : start + size] for start in range(0, len(near), size)]
    chance.shuffle(batches)
    return batches


def make_batch(examples: Sequence[TokenExample], filler: int, device: str) -> Batch:
    """Return examples as tensors.

    Args:
        examples: One or more.
        filler: The token to fill up with.
        device: Where the tensors lie.
    """
    torch = library("torch")
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), filler, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, NOT_LEARNT)
    for row, example in enumerate(examples):
        begin = longest - len(example.ids)
        own = torch.tensor(example.ids)
        ids[row, begin:], mask[row, begin:] = own, 1
        labels[row, begin:] = torch.where(torch.tensor(example.is_learnt), own, NOT_LEARNT)
    length = max(len(example.ids) - example.first_learnt for example in examples) + 1
    length = min(length, longest)
    # The prediction at one place is of the token at the next.
    nexts = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=NOT_LEARNT)[:, -length:]
    tokens = sum(len(example.ids) for example in examples)
    return Batch(ids.to(device), mask.to(device), nexts.to(device), length, tokens)


def loss_of(model: Any, batch: Batch) -> tuple[Any, int]:
    """Return the summed loss of what is learnt, in nats, and how many tokens that are."""
    torch = library("torch")
    logits = model(
        input_ids=batch.ids,
        attention_mask=batch.mask,
        position_ids=(batch.mask.cumsum(-1) - 1).clamp(min=0),
        logits_to_keep=batch.length,
    ).logits
    is_learnt = batch.labels != NOT_LEARNT
    predictions = logits[is_learnt].float()
    loss = torch.nn.functional.cross_entropy(predictions, batch.labels[is_learnt], reduction="sum")
    return loss, int(is_learnt.sum())
