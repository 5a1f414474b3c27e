"""Splits of planted clusters, planted leaks, and the level and power of the realism test.

python benchmarks/synthesis/splits.py [--repeats 100]
"""

import argparse
import random
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import anyio

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from kiln_mcp.datasets.parts import SHARES  # noqa: E402
from kiln_mcp.datasets.splits import split_sizes  # noqa: E402
from kiln_mcp.datasets.summaries import ItemSummary, Lineage  # noqa: E402
from kiln_mcp.statistics import TwoSampleTest  # noqa: E402
from kiln_mcp.synthesis.leak_report import leak_report  # noqa: E402
from kiln_mcp.synthesis.realism import realism  # noqa: E402
from kiln_mcp.synthesis.split_assignment import DealRequest, deal_items  # noqa: E402

SYLLABLES = ("ba", "de", "ki", "lo", "mu", "ra", "ne", "po", "su", "ti", "vo", "wa", "zi", "ge")
OUTCOMES = ("pass", "fail", "borderline")


def text_of(draw: random.Random, count: int = 8) -> str:
    """Return a text of random words."""
    return " ".join("".join(draw.choices(SYLLABLES, k=3)) for _ in range(count))


def item(number: int, text: str, topic: str | None, lineage: Lineage) -> ItemSummary:
    """Return an item that was never saved."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ItemSummary(f"{number}", now, f"{number}", "", True, text, (), topic, lineage=lineage)


def planted(draw: random.Random) -> tuple[list[ItemSummary], list[int]]:
    """Return items and the cluster of each: duplicates, a topic, a document or a seed example."""
    items: list[ItemSummary] = []
    clusters: list[int] = []
    while len(items) < 240:
        kind, size = draw.choice(("lone", "copies", "topic", "document", "seed")), 1
        if kind != "lone":
            size = draw.randint(2, 12)
        base, name = text_of(draw), f"{kind} {len(items)}"
        for number in range(size):
            text = f"{base}{'!' * number}" if kind == "copies" else text_of(draw)
            lineage = Lineage(
                document=name if kind == "document" else f"document of {len(items)}",
                seed_example=name if kind == "seed" else "",
                outcome=draw.choice(OUTCOMES),
                label=draw.choice(("a", "b", "c")),
            )
            topic = name if kind == "topic" else f"topic of {len(items)}"
            items.append(item(len(items), text, topic, lineage))
            clusters.append(len(items) - 1 - number)
    return items, clusters


WORDS = {
    "a copy": "pairs that say the same",
    "another number": "pairs of alike texts",
    "the topic": "topics are in several parts",
    "the document": "documents are in several parts",
    "the seed example": "seed examples are in several parts",
}


def leaks_of(own: ItemSummary, text: str) -> dict[str, ItemSummary]:
    """Return items that leak what is in another part, one for each kind of leak."""
    lineage = own.lineage
    return {
        "a copy": item(1000, f"Hello, {own.text}", None, Lineage()),
        "another number": item(1000, f"{own.text} 17", None, Lineage()),
        "the topic": item(1000, text, own.topic or "lone", Lineage()),
        "the document": item(1000, text, None, Lineage(document=lineage.document or "lone")),
        "the seed example": item(1000, text, None, Lineage(seed_example=own.id)),
    }


async def measure_splits(repeats: int) -> None:
    """Print whether planted clusters cross, how far sizes are off, and whether leaks are found."""
    crossings, false_alarms, found = 0, 0, Counter[str]()
    off_sizes, off_strata = list[float](), list[float]()
    for seed in range(repeats):
        draw = random.Random(seed)
        items, clusters = planted(draw)
        request = DealRequest("s", "s", dict(SHARES), seed, "topics", is_new=True)
        deal = await deal_items(items, request)
        parts_of: dict[int, set[str]] = defaultdict(set)
        for cluster, part in zip(clusters, deal.parts, strict=True):
            parts_of[cluster].add(part)
        crossings += sum(len(parts) > 1 for parts in parts_of.values())
        sizes = split_sizes(len(items), SHARES)
        largest = max(Counter(clusters).values())
        off_sizes.append(
            max(abs(deal.record.sizes[part] - sizes[part]) / largest for part in sizes)
        )
        counts = Counter(
            (part, own.lineage.outcome) for part, own in zip(deal.parts, items, strict=True)
        )
        totals = Counter(own.lineage.outcome for own in items)
        off_strata += [
            abs(counts[part, outcome] / deal.record.sizes[part] - totals[outcome] / len(items))
            for part in sizes
            for outcome in OUTCOMES
        ]
        false_alarms += not deal.leaks.is_clean
        place = draw.choice([n for n, part in enumerate(deal.parts) if part == "train"])
        for kind, leak in leaks_of(items[place], text_of(draw)).items():
            report = leak_report([*items, leak], [*deal.parts, "test"], deal.near_duplicates)
            found[kind] += WORDS[kind] in " ".join(report.sentences)
    print(f"{repeats} splits of 240 items or more: {crossings} clusters cross parts")
    print(f"sizes are off by {max(off_sizes):.2f} of the largest cluster at most")
    print(f"shares of outcomes are off by {fmean(off_strata):.3f} on average")
    print(f"planted leaks found, of {repeats} each: {dict(found)}")
    print(f"{false_alarms} clean splits called leaking")


def measure_realism(repeats: int) -> None:
    """Print how often alike and different inputs are told apart at 5 %."""
    for added, count in (("", 40), ("kindly ", 40), ("kindly ", 100)):
        told, covered, accuracies = 0, 0, list[float]()
        for seed in range(repeats):
            draw = random.Random(seed)
            real = [text_of(draw, draw.randint(4, 9)) for _ in range(count)]
            written = [
                (added if draw.random() < 0.4 else "") + text_of(draw, draw.randint(4, 9))
                for _ in range(count)
            ]
            test = realism(real, written, seed).test
            assert isinstance(test, TwoSampleTest)
            told += test.p_value <= 0.05
            covered += 0.5 in test.interval
            accuracies.append(test.accuracy)
        name = "alike" if not added else "one word added to 40 %"
        print(
            f"| {name} | {count} | {fmean(accuracies):.3f} | {told / repeats:.2f} | "
            f"{covered / repeats:.2f} |"
        )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    anyio.run(measure_splits, repeats)
    print("| inputs | of each kind | accuracy | told apart at 5 % | interval has 0.5 |")
    print("|---|---|---|---|---|")
    measure_realism(repeats)


if __name__ == "__main__":
    main()
