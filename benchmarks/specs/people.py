"""Simulated people with a hidden reading, asked by value or in random order."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from kiln_mcp.statistics.reading_beliefs import ReadingBeliefs, reading_beliefs
from kiln_mcp.statistics.reading_verdicts import Cell, ReadingVerdicts

MOST_QUESTIONS: Final = 80
"""Questions after which a simulated person gives up."""
GOAL: Final = 0.95
Structure = Literal["independent", "degrees", "blocks"]
"""How the verdicts of readings differ: each on outputs of its own, by a limit on one scale, or in
groups of readings that agree among themselves."""


@dataclass(frozen=True, slots=True)
class PersonDesign:
    """A kind of panel and person; see `draw_person`.

    Attributes:
        items: Outputs.
        clauses: Clauses, all ambiguous.
        readings: Readings of the panel; the person has one of them for each clause.
        contested: The share of outputs on which readings can differ.
        structure: How they differ.
        consistency: How often a clause is read as the person's usual member reads it.
        panel_noise: How often a verdict of the panel flips.
        answer_noise: How often the person's answer flips.
    """

    items: int = 60
    clauses: int = 3
    readings: int = 6
    contested: float = 0.4
    structure: Structure = "independent"
    consistency: float = 0.0
    panel_noise: float = 0.05
    answer_noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Person:
    """A panel's verdicts, and what the person says of each output."""

    verdicts: ReadingVerdicts
    truth: dict[tuple[str, str], bool]


def draw_person(design: PersonDesign, draw: np.random.Generator) -> Person:
    """Return a panel, and a person who reads each clause as one of its readings does."""
    shape = (design.clauses, design.items, design.readings)
    truth = np.broadcast_to(draw.random(shape[:2])[..., None] < 0.6, shape).copy()
    count = round(design.contested * design.items)
    for own in truth:
        contested = draw.choice(design.items, count, replace=False)
        match design.structure:
            case "independent":
                own[contested] = draw.random((count, design.readings)) < 0.5
            case "degrees":
                limits = (np.argsort(draw.random(design.readings)) + 0.5) / design.readings
                own[contested] = draw.random(count)[:, None] < limits[None]
            case _:
                groups = draw.integers(0, 3, design.readings)
                own[contested] = (draw.random((count, 3)) < 0.5)[:, groups]
    usual = int(draw.integers(design.readings))
    is_usual = draw.random(design.clauses) < design.consistency
    hidden = np.where(is_usual, usual, draw.integers(0, design.readings, design.clauses))
    flips = draw.random((*shape, 2)) < design.panel_noise
    verdicts = truth[..., None] ^ flips
    return Person(
        {
            Cell(f"c{c}", f"i{i}", f"r{r}"): [bool(v) for v in verdicts[c, i, r]]
            for c, i, r in np.ndindex(shape)
        },
        {
            (f"c{c}", f"i{i}"): bool(truth[c, i, hidden[c]])
            for c in range(design.clauses)
            for i in range(design.items)
        },
    )


Choice = Callable[[ReadingBeliefs], tuple[str, str] | None]


def by_value(beliefs: ReadingBeliefs) -> tuple[str, str] | None:
    """Return the question of the greatest value."""
    value = beliefs.best_question()
    return None if value is None else (value.clause, value.item)


def at_random(seed: int, beliefs: ReadingBeliefs, *, only_splits: bool = True) -> Choice:
    """Return a choice of questions in random order, of all outputs or of those that split."""
    cells = [
        (clause, item)
        for c, clause in enumerate(beliefs.table.clauses)
        for i, item in enumerate(beliefs.table.items)
        if not only_splits or np.ptp(beliefs.passes[c, i]) >= 0.25
    ]
    random.Random(seed).shuffle(cells)
    order = iter(cells)
    return lambda _: next(order, None)


def questions_needed(person: Person, choice: Choice, noise: float, seed: int) -> int:
    """Return after how many answers 95 % of the predicted verdicts are the person's."""
    beliefs = reading_beliefs(person.verdicts)
    flips = random.Random(seed)
    for number in range(MOST_QUESTIONS):
        if agreement(beliefs, person) >= GOAL:
            return number
        question = choice(beliefs)
        if question is None:
            break
        says = person.truth[question] != (flips.random() < noise)
        beliefs = beliefs.with_answer(*question, passes=says)
    return MOST_QUESTIONS


def agreement(beliefs: ReadingBeliefs, person: Person) -> float:
    """Return the share of verdicts that are predicted as the person gives them."""
    predictions = beliefs.predictions()
    return sum(predictions[cell] == person.truth[cell] for cell in predictions) / len(predictions)
