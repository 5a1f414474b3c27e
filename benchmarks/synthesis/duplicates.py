"""Near-duplicates: precision and recall on planted edits, and time and memory of many texts.

python benchmarks/synthesis/duplicates.py [--texts 100000] [--seeds 5]
"""

import argparse
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes"), str(Path(__file__).parent)]
from planted_edits import Sample, samples  # noqa: E402

from kiln_mcp.datasets.near_duplicates import NEAR, NearDuplicates  # noqa: E402
from many_texts import bookings, letters  # noqa: E402


def notes(count: int) -> list[str]:
    """Return texts of 8 to 16 words of 20,000, each tenth with another word, planted."""
    draw = random.Random(1)
    vocabulary = [
        "".join(draw.choice("bcdfglmnprst") + draw.choice("aeiou") for _ in range(size))
        for size in draw.choices(range(1, 5), k=20_000)
    ]
    lines = [
        " ".join(vocabulary[int(20_000 * draw.random() ** 2.5)] for _ in range(draw.randint(8, 16)))
        for _ in range(count)
    ]
    for place in range(0, count, 10):
        words = lines[place + 1].split()
        words[draw.randrange(len(words))] = "kindly"
        lines[place] = " ".join(words)
    return lines


MAKERS: Mapping[str, Callable[[int], list[str]]] = {
    "bookings": bookings,
    "letters": letters,
    "notes": notes,
}


def accuracy(texts: list[Sample], threshold: float) -> tuple[float, float, float, Counter[str]]:
    """Return precision, recall of all pairs, that of edits and originals, and misses by edit."""
    near = NearDuplicates([sample.text for sample in texts], threshold)
    predicted = {
        (first, second)
        for firsts, seconds in near.duplicate_pairs()
        for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True)
    }
    true = {
        (first, second)
        for second in range(len(texts))
        for first in range(second)
        if texts[first].meaning == texts[second].meaning
    }
    direct = {pair for pair in true if "original" in (texts[pair[0]].edit, texts[pair[1]].edit)}
    missed = Counter(
        edit
        for pair in direct - predicted
        for edit in (texts[pair[0]].edit, texts[pair[1]].edit)
        if edit != "original"
    )
    right = len(true & predicted)
    return (
        right / max(1, len(predicted)),
        right / len(true),
        len(direct & predicted) / len(direct),
        missed,
    )


def measure_accuracy(seeds: int) -> None:
    """Print precision and recall at several thresholds, and where the chosen one misses."""
    sets = [samples(seed) for seed in range(seeds)]
    print(
        f"{len(sets[0])} texts in {len({own.language for own in sets[0]})} languages, {seeds} seeds"
    )
    print("| threshold | precision | recall, all pairs | recall, edit and original |")
    print("|---|---|---|---|")
    for threshold in (0.55, 0.6, 0.65, NEAR, 0.7, 0.75, 0.8):
        rows = [accuracy(own, threshold) for own in sets]
        values = [fmean(values) for values in zip(*(row[:3] for row in rows), strict=True)]
        print(f"| {threshold} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    missed: Counter[str] = Counter()
    edits: Counter[str] = Counter()
    for own in sets:
        missed.update(accuracy(own, NEAR)[3])
        edits.update(sample.edit for sample in own)
    print({edit: f"{count} of {edits[edit]}" for edit, count in missed.most_common()})


def measure_scale(name: str, count: int) -> None:
    """Print the time and the memory of one kind of texts."""
    lines = MAKERS[name](count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    near = NearDuplicates(lines)
    duplicates = near.duplicate_count
    seconds, own_cpu = time.perf_counter() - start, time.process_time() - cpu
    planted = sum(
        near.duplicate_groups[place] == near.duplicate_groups[place + 1]
        for place in range(0, count, 10)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"| {name} | {count:,} | {seconds:.1f} | {own_cpu:.1f} | {peak / 1024:.0f} "
        f"({before / 1024:.0f} before) | {duplicates:,} | {planted:,} of {-(-count // 10):,} |",
        flush=True,
    )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(MAKERS), help="one kind of texts, in this process")
    options = parser.parse_args()
    if options.only:
        measure_scale(options.only, options.texts)
        return
    measure_accuracy(options.seeds)
    print("| texts | count | seconds | CPU | peak MB | duplicates | planted ones found |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in MAKERS:
        command = [sys.executable, __file__, "--only", name, "--texts", str(options.texts)]
        subprocess.run(command, check=True, timeout=1800)


if __name__ == "__main__":
    main()
