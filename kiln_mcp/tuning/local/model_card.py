"""The card of a tuned model: what it is made of, and how it came out."""

from kiln_mcp.tuning.local.outlook import duration
from kiln_mcp.tuning.local.work_folder import LocalRequest, LossPoint

_CARD = """---
base_model: {title}
license: {licence}
library_name: peft
tags: [lora, kiln-mcp]
---

# {name}

A LoRA adapter of `{title}`, trained on this machine.

| | |
|---|---|
| base model | `{title}` |
| licence of the base | {licence}; the adapter may be used as the base may |
| training data | {examples} examples, SHA-256 `{fingerprint}` |
| seed | {seed} |
{parameters}
| steps | {steps}, {tokens:,} tokens, {time} |
| loss, nats a token | {first:.3f} at the first step, {last:.3f} at the last |
{validation}

![Losses by step](losses.svg)

The losses of all steps are in `losses.jsonl`. They say how well the data was learnt, and nothing
about how well the model does its task: compare it with its base on items that it has not seen.
"""


def write_card(name: str, request: LocalRequest, examples: int, points: list[LossPoint]) -> str:
    """Return the card as Markdown.

    Args:
        name: Of the tuned model.
        request: What was trained.
        examples: How many were learnt.
        points: The losses of all steps, one at least.
    """
    validation_losses = [(p.validation, p.step) for p in points if p.validation is not None]
    best = min(validation_losses, default=None)
    validation = (
        "| validation | none |"
        if best is None
        else f"| validation loss | {best[0]:.3f} after step {best[1]}, whose weights are kept |"
    )
    parameters = "\n".join(f"| {key} | {value} |" for key, value in request.parameters.items())
    return _CARD.format(
        name=name,
        title=request.title,
        licence=request.licence,
        examples=examples,
        fingerprint=request.fingerprint,
        seed=request.seed,
        parameters=parameters,
        steps=len(points),
        tokens=sum(point.tokens for point in points),
        time=duration(sum(point.seconds for point in points)),
        first=points[0].loss,
        last=points[-1].loss,
        validation=validation,
    )
