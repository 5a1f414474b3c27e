"""What splits and reports need to know of the items of a dataset: their records are not kept."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.lineage import (
    AIM,
    CLAUSE,
    DIFFICULTY,
    DOCUMENT,
    JUDGES,
    LABEL,
    OUTCOME,
    PAIR_OF,
    PLAN,
    SEED_EXAMPLE,
    VERDICTS,
)
from kiln_mcp.datasets.topics import topic_of
from storage import DataSource, EvalInput, EvalItemSource, TaskRun

_SESSION: Final = "session_id"
"""The property of imported traces that names their conversation."""
_OUTCOMES: Final = {outcome: outcome for outcome in ("pass", "fail", "borderline")}
"""What an aim can be but "any"."""
_LONGEST_CLASS: Final = 60
"""Characters of an output that may be a class."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How much a panel disagreed on an edited output.

    Attributes:
        share: The share of its verdicts against the outcome that the edit was made for.
        verdicts: All of them.
        judges: The different models that gave them.
    """

    share: float
    verdicts: int
    judges: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an item was made from and for; "" for what is not known.

    Attributes:
        document: The document that its input rests on.
        seed_example: The item that it was rewritten or edited from.
        conversation: The conversation that it is a turn of.
        clause: The clause that it is about.
        outcome: Whether its output passes, fails or is borderline: verified, else as planned.
        label: Its class: as planned, else its output if that is short.
        plan: The plan that it was generated for.
        aim: The outcome that its input is meant to provoke.
        cost: What its output cost, in US dollars; None if that is not known.
        difficulty: How much a panel disagreed on its output; None if it was not edited.
    """

    document: str = ""
    seed_example: str = ""
    conversation: str = ""
    clause: str = ""
    outcome: str = ""
    label: str = ""
    plan: str = ""
    aim: str = ""
    cost: float | None = None
    difficulty: Difficulty | None = None


@dataclass(frozen=True, slots=True)
class ItemSummary:
    """An item of a dataset: a run, or an input without an output.

    Attributes:
        id: Its id.
        created_at: When it was created.
        path: Its file; "" if it was never saved.
        revision: The fingerprint of its file, as it was read; "" if it was never saved.
        is_run: Whether it has an output.
        text: The text by which it is like others.
        tags: Its tags.
        topic: Its topic; None if it has none.
        source: Where its input came from.
        parent_task_run_id: The turn before, in a conversation.
        eval_source: Set on runs that an eval made.
        lineage: What it was made from and for.
    """

    id: str
    created_at: datetime
    path: str
    revision: str
    is_run: bool
    text: str
    tags: tuple[str, ...]
    topic: str | None = None
    source: str = "unknown"
    parent_task_run_id: str | None = None
    eval_source: EvalItemSource | None = None
    lineage: Lineage = Lineage()


def summary_of(run: TaskRun) -> ItemSummary:
    """Return what is kept of a run."""
    origin = run.origin
    return ItemSummary(
        run.id,
        run.created_at,
        origin.path if origin else "",
        origin.revision if origin else "",
        True,
        "\n".join(run.user_turns),
        run.tags,
        topic_of(run),
        run.input_source.type if run.input_source else "unknown",
        run.parent_task_run_id,
        run.eval_source,
        _lineage_of(run),
    )


def _lineage_of(run: TaskRun) -> Lineage:
    properties = {**_properties(run.output.source), **_properties(run.input_source)}
    output = run.output.output.strip()
    return Lineage(
        document=properties.get(DOCUMENT, ""),
        seed_example=properties.get(PAIR_OF) or properties.get(SEED_EXAMPLE, ""),
        conversation=properties.get(_SESSION, ""),
        clause=properties.get(CLAUSE, ""),
        outcome=properties.get(OUTCOME) or _OUTCOMES.get(properties.get(AIM, ""), ""),
        label=properties.get(LABEL) or _class_in(output),
        plan=properties.get(PLAN, ""),
        aim=properties.get(AIM, ""),
        cost=run.usage.cost if run.usage else None,
        difficulty=_difficulty_of(run.output.source),
    )


def _difficulty_of(source: DataSource | None) -> Difficulty | None:
    """Return the difficulty that an output keeps; None for none, or none that can be read."""
    own = source.properties if source else {}
    match own.get(DIFFICULTY), own.get(VERDICTS), own.get(JUDGES):
        case (float() | int()) as share, int(verdicts), int(judges) if 0 <= share <= 1:
            return Difficulty(float(share), verdicts, judges)
        case _:
            return None


def _class_in(output: str) -> str:
    """Return a short output as a class; of an object with one value, this value."""
    if len(output) > _LONGEST_CLASS:
        return ""
    try:
        value: JsonValue = json.loads(output) if output.startswith("{") else None
    except (ValueError, RecursionError):
        return output
    values = list(value.values()) if isinstance(value, dict) else []
    only = values[0] if len(values) == 1 else None
    return only if isinstance(only, str) else output


def _properties(source: DataSource | None) -> dict[str, str]:
    return {name: str(value) for name, value in source.properties.items()} if source else {}


def summary_of_input(item: EvalInput) -> ItemSummary:
    """Return what is kept of an input without an output."""
    origin = item.saved
    text = item.opening_text
    if item.data.type != "single_turn":
        user = item.data.synthetic_user_info
        text = "\n".join((text, user.persona, user.goal))
    return ItemSummary(
        item.id,
        item.created_at,
        origin.path,
        origin.revision,
        False,
        text,
        item.tags,
        item.topic,
    )
