"""The right outputs of an item, of which there may be several."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evaluators.text_comparison import json_text

REFERENCE_KEY: Final = "reference_answer"
"""The key under which an item's stored output is its reference."""
OTHER_RIGHT_OUTPUTS: Final = "other_right_outputs"
"""The key under which a list of other outputs stands that are right as well."""


def references_of(output: str, other_right_outputs: Sequence[JsonValue]) -> Mapping[str, JsonValue]:
    """Return the references of an item whose stored output is right."""
    references: dict[str, JsonValue] = {REFERENCE_KEY: output}
    if other_right_outputs:
        references[OTHER_RIGHT_OUTPUTS] = list(other_right_outputs)
    return references


def other_right_outputs(references: Mapping[str, JsonValue] | None) -> Sequence[JsonValue]:
    """Return the outputs that are right as well as the reference; none for most items."""
    values = (references or {}).get(OTHER_RIGHT_OUTPUTS)
    return values if isinstance(values, list) else ()


def with_others_in_words(
    references: Mapping[str, JsonValue] | None,
) -> Mapping[str, JsonValue] | None:
    """Return references such that the reference's text names the other right outputs, too."""
    other_outputs = other_right_outputs(references)
    if not other_outputs or references is None or references.get(REFERENCE_KEY) is None:
        return references
    lines = [json_text(references[REFERENCE_KEY]), "", "Each of these is right as well:"]
    lines += [
        f"{number}. {json_text(output)}" for number, output in enumerate(other_outputs, start=1)
    ]
    return {**references, REFERENCE_KEY: "\n".join(lines)}
