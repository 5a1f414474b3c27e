"""Measure ambiguity and questions on simulated panels and people.

PYTHONPATH=. python benchmarks/specs/simulation.py --repeats 100
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from panels import NOISES, Ambiguity, PanelDesign, draw_panel
from people import PersonDesign, at_random, by_value, draw_person, questions_needed

from kiln_mcp.statistics.clause_ambiguity import AmbiguityDecision, measure_ambiguity
from kiln_mcp.statistics.reading_beliefs import reading_beliefs

AMBIGUITIES: Sequence[Ambiguity] = ("groups", "dissenter", "degrees", "own")
EVERY_NOISE: Mapping[str, PanelDesign] = {
    "24 outputs": PanelDesign(),
    "1 clause, 48 outputs": PanelDesign(clauses=1, items=48),
    "2 clauses, 48 outputs": PanelDesign(clauses=2, items=48),
}
"""Of 6 clauses and 4 readings x 2, with flips of 10 % and 30 % of outputs that split, where nothing
else is said. These are drawn with noise of every structure."""
EVEN_NOISE: Mapping[str, PanelDesign] = {
    **{f"{n} clauses": PanelDesign(clauses=n, items=48) for n in (3, 4, 8)},
    "12 clauses, 3 ambiguous": PanelDesign(clauses=12, items=48, planted=3),
    "flips 2 %": PanelDesign(items=48, flips=0.02),
    "flips 20 %": PanelDesign(items=48, flips=0.2),
    "1 clause, flips 2 %": PanelDesign(clauses=1, items=48, flips=0.02),
    "1 clause, flips 20 %": PanelDesign(clauses=1, items=48, flips=0.2),
    "1 clause, flips 20 %, 4 repeats": PanelDesign(clauses=1, items=48, flips=0.2, repeats=4),
    "20 outputs": PanelDesign(items=20),
    "200 outputs": PanelDesign(items=200),
    "1 clause, 20 outputs": PanelDesign(clauses=1, items=20),
    "1 clause, 200 outputs": PanelDesign(clauses=1, items=200),
    "1 clause, 200 outputs, flips 20 %": PanelDesign(clauses=1, items=200, flips=0.2),
    "split on 10 %": PanelDesign(items=48, contested=0.1),
    "split on 50 %": PanelDesign(items=48, contested=0.5),
    "1 clause, split on 10 %": PanelDesign(clauses=1, items=48, contested=0.1),
    "1 clause, split on 50 %": PanelDesign(clauses=1, items=48, contested=0.5),
    "3 readings": PanelDesign(items=48, readings=3),
    "1 clause, 3 readings": PanelDesign(clauses=1, items=48, readings=3),
    "1 clause, 6 readings": PanelDesign(clauses=1, items=48, readings=6),
}
"""With even noise alone, on 48 outputs where nothing else is said."""
PEOPLE: Mapping[str, PersonDesign] = {
    "3 clauses, 6 readings each on outputs of its own": PersonDesign(),
    "by degrees": PersonDesign(structure="degrees"),
    "in three groups": PersonDesign(structure="blocks"),
    "one reading for all clauses": PersonDesign(consistency=1.0),
    "1 clause": PersonDesign(clauses=1),
    "6 clauses by degrees": PersonDesign(clauses=6, structure="degrees"),
    "3 readings": PersonDesign(readings=3),
    "10 % of answers wrong": PersonDesign(answer_noise=0.1),
    "15 % of the panel's verdicts flip": PersonDesign(panel_noise=0.15),
    "200 outputs": PersonDesign(items=200),
}


@dataclass(frozen=True, slots=True)
class PanelResult:
    """How often the worst clause was a planted one, and how often one was called ambiguous."""

    is_first: float
    is_found: float


def panel_result(design: PanelDesign, repeats: int, first_seed: int) -> PanelResult:
    """Return the shares over so many panels; for noise alone, how often anything is found."""
    first, found = 0, 0
    for seed in range(first_seed, first_seed + repeats):
        verdicts, planted = draw_panel(design, np.random.default_rng(seed))
        clauses = measure_ambiguity(verdicts, seed)
        first += clauses[0].clause in planted
        found += any(
            clause.decision is AmbiguityDecision.AMBIGUOUS
            and (not planted or clause.clause in planted)
            for clause in clauses
        )
    return PanelResult(first / repeats, found / repeats)


def print_panels(repeats: int, seed: int, words: str) -> None:
    """Print a table: a row for each design and structure of noise whose name has some words."""
    print("| panel | noise | alarm without | " + " | ".join(AMBIGUITIES) + " |")
    print("|---|---|---|" + "---|" * len(AMBIGUITIES))
    rows = list(EVEN_NOISE.items())
    rows += [
        (name, replace(design, noise=noise))
        for name, design in EVERY_NOISE.items()
        for noise in NOISES
    ]
    for name, design in rows:
        if words not in f"{name}, {design.noise}":
            continue
        alone = panel_result(replace(design, ambiguity="none"), repeats, seed)
        cells = [
            panel_result(replace(design, ambiguity=kind), repeats, seed) for kind in AMBIGUITIES
        ]
        parts = " | ".join(f"{cell.is_first:.2f} / {cell.is_found:.2f}" for cell in cells)
        print(f"| {name} | {design.noise} | {alone.is_found:.2f} | {parts} |", flush=True)


def print_people(repeats: int, seed: int) -> None:
    """Print a table: the questions until 95 % of the verdicts are the person's."""
    print("| person | by value | random, outputs that split | random, all outputs |")
    print("|---|---|---|---|")
    for name, design in PEOPLE.items():
        counts: dict[str, list[int]] = {"value": [], "splits": [], "all": []}
        for number in range(seed, seed + repeats):
            person = draw_person(design, np.random.default_rng(number))
            beliefs = reading_beliefs(person.verdicts)
            orders: Mapping[str, Callable[..., tuple[str, str] | None]] = {
                "value": by_value,
                "splits": at_random(number, beliefs),
                "all": at_random(number, beliefs, only_splits=False),
            }
            for order, choice in orders.items():
                counts[order].append(questions_needed(person, choice, design.answer_noise, number))
        cells = " | ".join(f"{fmean(own):.1f}" for own in counts.values())
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--seed", type=int, default=10_000)
    parser.add_argument("--only", choices=["panels", "people"])
    parser.add_argument("--rows", default="", help="words of a row, such as '1 clause, 48'")
    arguments = parser.parse_args()
    begin = time.process_time()
    if arguments.only != "people":
        print_panels(arguments.repeats, arguments.seed, arguments.rows)
    if arguments.only != "panels":
        print_people(arguments.repeats, arguments.seed)
    print(f"{time.process_time() - begin:.0f} s of processor time")


if __name__ == "__main__":
    main()
