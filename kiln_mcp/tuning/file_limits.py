"""Refuse before an upload what a service's documentation says that it refuses after it."""

from collections.abc import Sequence

from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.providers.provider import TuningProvider
from kiln_mcp.tuning.training_files import PartFile
from storage.errors import InvalidValue, NextStep, Refusal


def check_thinking(provider: TuningProvider, thinking: Thinking) -> None:
    """Refuse a reasoning whose messages a provider does not take in their order.

    Raises:
        InvalidValue: It is so.
    """
    if thinking is Thinking.LEGACY and not provider.limits.takes_later_system:
        raise InvalidValue(
            "Nothing was trained: {provider} takes a system message at the beginning alone, and "
            "`{thinking}` has another one later. Take {other}, which asks for the reasoning in "
            "the user's message.",
            provider=provider.title,
            thinking=thinking,
            other=Thinking.TWO_MESSAGES,
        )


def check_files(provider: TuningProvider, files: Sequence[PartFile]) -> None:
    """Refuse files that a provider does not take: too large, or of too few or too many examples.

    Args:
        provider: Who trains.
        files: What is learnt, then what it is validated on if anything is.

    Raises:
        Refusal: It is so.
    """
    limits = provider.limits
    ranges = (
        (provider.fewest_examples, limits.most_examples),
        (limits.fewest_validation_examples, limits.most_validation_examples),
    )
    for file, (fewest, largest_count) in zip(files, ranges, strict=False):
        count, size = file.counts.examples, file.content.path.stat().st_size
        if count < fewest:
            raise _misfit(provider, file, f"{fewest:,} examples or more", f"{count:,}")
        if largest_count is not None and count > largest_count:
            raise _misfit(provider, file, f"{largest_count:,} examples at most", f"{count:,}")
        if limits.largest_bytes is not None and size > limits.largest_bytes:
            largest, own = f"{limits.largest_bytes / 1e6:,.0f} MB", f"{size / 1e6:,.1f} MB"
            raise _misfit(provider, file, f"files up to {largest}", own)


def _misfit(provider: TuningProvider, file: PartFile, limit_text: str, own_text: str) -> Refusal:
    return Refusal(
        "Nothing was trained: {provider} takes {taken}, and the file of {part} has {given}. "
        "Freeze a split whose part {part} fits.",
        provider=provider.title,
        taken=limit_text,
        part=file.part,
        given=own_text,
        next=[NextStep(tool="split_data", reason="deal the items in other shares, and freeze")],
    )
