"""How well near-duplicates are found in texts that chose no threshold.

`held_out_texts.tsv` holds edits that were written by hand, in six languages, by people's ways of
saying a thing again: another order of words, synonyms, politeness, typing errors, or two of these.
Edits of a number and other requests of the same matter are not the same. Free rewordings, which
share few words, are counted by themselves: nothing promises to find them. No text stands in
`texts.tsv`, whose edits chose the threshold. All texts are compared with each other at once.

With the folder of a model2vec model, meanings are compared as well, and the cosines of each kind of
edit are printed.

    python benchmarks/synthesis/held_out_duplicates.py [--embeddings FOLDER]
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from kiln_mcp.datasets.meanings import Meanings  # noqa: E402
from kiln_mcp.datasets.near_duplicates import NEAR, NearDuplicates  # noqa: E402
from kiln_mcp.statistics import wilson_interval  # noqa: E402

OTHER_MEANING = frozenset({"number", "matter"})
"""Kinds of edits after which a text says something else."""
FREE = "free"


def main() -> None:
    """Print precision and recall at the threshold of the product, by kind and language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embeddings", type=Path)
    folder: Path | None = parser.parse_args().embeddings
    lines = (FOLDER / "held_out_texts.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    chosen_on = {
        line.split("\t")[1] for line in (FOLDER / "texts.tsv").read_text("utf-8").splitlines()
    }
    texts = list(dict.fromkeys([*(base for _, _, base, _ in rows), *(text for *_, text in rows)]))
    shared = chosen_on.intersection(texts)
    assert not shared, f"texts that chose the threshold: {shared}"
    place = {text: number for number, text in enumerate(texts)}

    def pair(row: list[str]) -> tuple[int, ...]:
        return tuple(sorted((place[row[2]], place[row[3]])))

    meanings: dict[str, set[str]] = {base: {base} for _, _, base, _ in rows}
    free_places = {place[text] for _, kind, _, text in rows if kind == FREE}

    def is_free(own: tuple[int, ...]) -> bool:
        return not free_places.isdisjoint(own)

    free = {pair(row) for row in rows if row[1] == FREE}
    for _, kind, base, text in rows:
        if kind not in OTHER_MEANING and kind != FREE:
            meanings[base].add(text)
    true: set[tuple[int, ...]] = {
        tuple(sorted((place[first], place[second])))
        for own in meanings.values()
        for first, second in combinations(own, 2)
    }
    near = NearDuplicates(texts, NEAR, embeddings=folder)
    predicted: set[tuple[int, ...]] = {
        (min(own), max(own))
        for firsts, seconds in near.duplicate_pairs()
        for own in zip(firsts.tolist(), seconds.tolist(), strict=True)
    }
    found_freely = free & predicted
    # A free rewording says the same as the other edits of its text, too.
    predicted -= {own for own in predicted if is_free(own)}
    right = true & predicted
    print(f"{len(texts)} texts, {len(true)} pairs that say the same, threshold {NEAR}")
    for name, hits, count in (
        ("precision", len(right), len(predicted)),
        ("recall, all pairs", len(right), len(true)),
        *_direct([row for row in rows if row[1] != FREE], pair, predicted),
        ("recall, free rewordings", len(found_freely), len(free)),
    ):
        interval = wilson_interval(hits, count)
        print(f"{name:32} {hits / count:.4f} ({hits} of {count}; {interval.low:.3f} to "
              f"{interval.high:.3f})")  # fmt: skip
    for first, second in sorted(predicted - true):
        print("wrong:", texts[first], "|", texts[second])
    for row in rows:
        if row[1] not in {*OTHER_MEANING, FREE} and pair(row) not in predicted:
            print(f"missed ({row[1]}):", row[2], "|", row[3])
    if folder is not None:
        _print_cosines(rows, folder)


def _print_cosines(rows: list[list[str]], folder: Path) -> None:
    """Print the cosines of an edit and its original, by language and kind."""
    cosines: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for language, kind, base, text in rows:
        cosines[language, kind].append(Meanings([base, text], folder).cosine(0, 1))
    for (language, kind), values in sorted(cosines.items()):
        print(f"cosines, {language} {kind:11}", *(f"{value:.2f}" for value in sorted(values)))


def _direct(
    rows: list[list[str]],
    pair: Callable[[list[str]], tuple[int, ...]],
    predicted: set[tuple[int, ...]],
) -> list[tuple[str, int, int]]:
    """Return the recall of edits and their originals: of all, and by kind and language."""
    found: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for row in rows:
        language, kind = row[:2]
        if kind in OTHER_MEANING:
            continue
        is_found = pair(row) in predicted
        for name in ("edit and original", f"  {kind}", f"  {language}"):
            counts[name] += 1
            found[name] += is_found
    return [(f"recall, {name}", found[name], counts[name]) for name in counts]


if __name__ == "__main__":
    main()
