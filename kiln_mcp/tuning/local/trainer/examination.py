"""Look at a training before it starts: count its tokens, its weights, its memory and its time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from kiln_mcp.tuning.local.outlook import Outlook, duration
from kiln_mcp.tuning.local.trainer.base_model import (
    Device,
    empty_model,
    find_device,
    load_tokenizer,
)
from kiln_mcp.tuning.local.trainer.examples import (
    TokenExample,
    excerpt_of,
    read_conversations,
    tokenize,
)
from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.trainer.trackers import check_tracker
from kiln_mcp.tuning.local.work_folder import LocalRequest, WorkFolder

_EXCERPTS: Final = 3
_LIBRARY_BYTES: Final = 700_000_000
"""What torch and transformers take themselves, measured on Linux."""
_NEW_WEIGHT_BYTES: Final = 20
"""A new weight, its gradient, the two moments of Adam, and the best one so far, 4 bytes each."""
_ACTIVATIONS: Final = (16, 10)
"""Numbers that a layer keeps of a token for the way back, by width and by inner width; measured
with SmolLM2-135M, see benchmarks/tuning."""
_OPERATIONS: Final = 4
"""Floating-point operations for a weight and a token, forward and back, if the base stands still;
a multiplication and an addition each way."""
_EFFICIENCY: Final = 0.5
"""The share of a plain product's speed that a whole model reaches, about."""
_PROBE: Final = (512, 1024)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a model.

    Attributes:
        weights: Of the base.
        new: Of the adapter.
        width: Of a token's vector.
        inner: Of the widest inner vector.
        layers: How many there are.
        words: Of the vocabulary.
        longest: Tokens that it was made for.
    """

    weights: int
    new: int
    width: int
    inner: int
    layers: int
    words: int
    longest: int


def default_learning_rate(width: int) -> float:
    """Return a learning rate for LoRA by the model's width.

    The rule and its constants are those fitted in "LoRA Without Regret" (Thinking Machines, 2025)
    for models of the Llama family: ten times that of full training, 5e-5 · (2000/width)^0.781.
    """
    return 5e-4 * (2000 / width) ** 0.781


def examine(folder: WorkFolder) -> Outlook:
    """Return what is known of a training; nothing is trained.

    Raises:
        Unusable: It cannot be trained.
    """
    request = folder.request()
    device = find_device()
    _check_qlora(request, device)
    check_tracker(str(request.parameters.get("report_to", "none")))
    tokenizer = load_tokenizer(request)
    examples = [
        tokenize(tokenizer, conversation)
        for conversation in read_conversations(folder.path / request.train)
    ]
    sizes = _sizes(request)
    _check_lengths(request, examples, sizes)
    outlook = Outlook(
        device=device.title,
        parameters=sizes.weights,
        new_parameters=sizes.new,
        tokens=sum(len(example.ids) for example in examples),
        learnt_tokens=sum(sum(example.is_learnt) for example in examples),
        longest=max(len(example.ids) for example in examples),
        free_bytes=device.free_bytes,
        needed_bytes=_needed_bytes(request, device, sizes, examples),
        seconds=_seconds(request, device, sizes, examples),
        excerpts=tuple(excerpt_of(tokenizer, example) for example in examples[:_EXCERPTS]),
        learning_rate=learning_rate_of(request, sizes.width),
    )
    return outlook.model_copy(update={"refusal": _refusal(request, outlook)})


def learning_rate_of(request: LocalRequest, width: int) -> float:
    """Return the learning rate that was asked for, or the default one."""
    return float(request.parameters.get("learning_rate") or default_learning_rate(width))


def _check_qlora(request: LocalRequest, device: Device) -> None:
    if request.parameters.get("qlora") != "yes":
        return
    if device.name != "cuda":
        raise Unusable("qlora needs a GPU that CUDA reaches, and there is none; leave qlora out")
    if find_spec("bitsandbytes") is None:
        raise Unusable(
            "qlora needs bitsandbytes. Install it with pip install 'kiln-mcp-server[tune,qlora]', "
            "or leave qlora out"
        )


def _check_lengths(request: LocalRequest, examples: Sequence[TokenExample], sizes: Sizes) -> None:
    limit = min(int(request.parameters["max_tokens"]), sizes.longest)
    for line, example in enumerate(examples, 1):
        if len(example.ids) > limit:
            raise Unusable(
                f"line {line} of {request.train} has {len(example.ids)} tokens, more than {limit}. "
                "Take it out, or raise max_tokens up to what the model was made for "
                f"({sizes.longest})"
            )


def _sizes(request: LocalRequest) -> Sizes:
    model = empty_model(request)
    config = model.config.get_text_config()
    rank = int(request.parameters["lora_rank"])
    linear = library("torch").nn.Linear
    output = model.get_output_embeddings()
    new = sum(
        rank * (module.in_features + module.out_features)
        for module in model.modules()
        if isinstance(module, linear) and module is not output
    )
    width = int(config.hidden_size)
    return Sizes(
        weights=int(model.num_parameters()),
        new=new,
        width=width,
        inner=int(getattr(config, "intermediate_size", None) or 4 * width),
        layers=int(config.num_hidden_layers),
        words=int(config.vocab_size),
        longest=int(getattr(config, "max_position_embeddings", None) or 2**30),
    )


def _largest_batch(request: LocalRequest, examples: Sequence[TokenExample]) -> tuple[int, int, int]:
    """Return the examples, tokens and learnt places of the largest batch that can come up."""
    size = min(int(request.parameters["batch_size"]), len(examples))
    longest = max(len(example.ids) for example in examples)
    length = max(len(example.ids) - example.first_learnt for example in examples) + 1
    return size, size * longest, size * length


def _needed_bytes(
    request: LocalRequest, device: Device, sizes: Sizes, examples: Sequence[TokenExample]
) -> int:
    number = 2 if device.is_half else 4
    weight = 0.6 if request.parameters.get("qlora") == "yes" else number
    _, tokens, length = _largest_batch(request, examples)
    by_width, by_inner = _ACTIVATIONS
    layer = by_width * sizes.width + by_inner * sizes.inner
    # With checkpointing, a layer keeps its input alone, and one layer at a time is computed again.
    kept_layers = (
        sizes.layers * layer if device.name != "cuda" else sizes.layers * sizes.width + layer
    )
    activations = tokens * kept_layers * number
    logits = length * sizes.words * 4 * 3
    base = sizes.weights * weight
    return round(base + sizes.new * _NEW_WEIGHT_BYTES + activations + logits + _LIBRARY_BYTES)


def _seconds(
    request: LocalRequest, device: Device, sizes: Sizes, examples: Sequence[TokenExample]
) -> float:
    tokens = sum(len(example.ids) for example in examples) * float(request.parameters["epochs"])
    return _OPERATIONS * sizes.weights * tokens / (_EFFICIENCY * _speed(device))


def _speed(device: Device) -> float:
    """Return the floating-point operations a second of a product of two matrices here."""
    torch = library("torch")
    rows, width = _PROBE
    left = torch.ones(rows, width, dtype=device.dtype, device=device.name)
    right = torch.ones(width, width, dtype=device.dtype, device=device.name)
    times: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        float((left @ right)[0, 0])  # the number is waited for
        times.append(time.perf_counter() - started)
    return 2 * rows * width * width / min(times)


def _refusal(request: LocalRequest, outlook: Outlook) -> str:
    """Return why a training does not fit in memory or time; "" if it does."""
    free = outlook.free_bytes
    if free is not None and outlook.needed_bytes > free:
        return (
            f"it needs about {outlook.needed_bytes / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free. Lower batch_size or max_tokens, take a smaller base, "
            "or free some memory"
        )
    limit = float(request.parameters["most_hours"]) * 3600
    if outlook.seconds > limit:
        return (
            f"it would take about {duration(outlook.seconds)}, more than most_hours allows "
            f"({duration(limit)}). Train fewer epochs or a smaller base, or raise most_hours"
        )
    return ""
