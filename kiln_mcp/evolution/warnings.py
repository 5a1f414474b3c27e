"""What to know about the result of a search for a better prompt."""

from collections import Counter
from collections.abc import Mapping, Sequence

from kiln_mcp.evals.run_outcomes import Failure
from kiln_mcp.evolution.blocks import Candidate, placeholders
from kiln_mcp.evolution.search import SearchResult


def search_warnings(
    result: SearchResult,
    failures_by_reason: Mapping[str, int],
    failures: Sequence[Failure],
    start: Candidate,
) -> list[str]:
    """Return the warnings of a search.

    Args:
        result: What it found.
        failures_by_reason: Runs of candidates without a score, by reason.
        failures: Held-out items that could not be scored.
        start: The candidate that it started from.
    """
    warnings: list[str] = []
    if failures_by_reason:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failures_by_reason.items())
        count = sum(failures_by_reason.values())
        warnings.append(
            f"{count} runs of the search have no score ({reasons}): they count for no candidate, "
            "and against none."
        )
    for name, count in Counter(failure.run_config for failure in failures).items():
        warnings.append(
            f"{count} held-out items of {name} could not be scored and are left out of the "
            "comparison."
        )
    if result.set_aside:
        names = ", ".join(sorted(placeholders(start.text))) or "none"
        warnings.append(
            f"{result.set_aside} proposals were set aside: they lost placeholders of the start "
            f"({names}) or had new ones."
        )
    return warnings
