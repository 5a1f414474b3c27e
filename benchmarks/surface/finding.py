"""How often a search for a user's words finds the tool: BM25 over name, first sentence, hint.

    python benchmarks/surface/finding.py [FILE...] [--misses] [--set default]

Assistants that defer tools search their names and first sentences, and Claude Code the search
hints. A line of a file is what a user says, a tab, and the tool that does it (or several, with |).
"""

import argparse
import math
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]
from kiln_mcp.catalogue import AnyCapability, with_extensions  # noqa: E402

OWN: Final = Path(__file__).with_name("utterances.tsv")
SATURATION: Final = 1.5
LENGTH_WEIGHT: Final = 0.75
"""The usual constants of BM25, k1 and b."""
_WORD: Final = re.compile(r"[a-z0-9]+")
_FIRST_SENTENCE: Final = re.compile(r"(?<=\.)\s")


class Utterance(NamedTuple):
    """What a user says, and the tools that do it."""

    text: str
    tools: frozenset[str]


class Index:
    """Texts by name, searched by the words of a query, without stems and stop words."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._counts = {name: Counter(words(text)) for name, text in texts.items()}
        self._lengths = {name: counts.total() for name, counts in self._counts.items()}
        self._mean = sum(self._lengths.values()) / len(self._lengths)
        self._holders = Counter(word for counts in self._counts.values() for word in counts)

    def ranking(self, query: str) -> Sequence[str]:
        """Return the names that share a word with a query, the best first."""
        scores = {name: sum(self._scores(name, query)) for name in self._counts}
        matches = [name for name, score in scores.items() if score > 0]
        return sorted(matches, key=lambda name: -scores[name])

    def _scores(self, name: str, query: str) -> Iterator[float]:
        counts, length = self._counts[name], self._lengths[name] / self._mean
        for word in words(query):
            holders = self._holders[word]
            rarity = math.log1p((len(self._counts) - holders + 0.5) / (holders + 0.5))
            damping = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length)
            yield rarity * counts[word] * (SATURATION + 1) / (counts[word] + damping)


def words(text: str) -> list[str]:
    """Return the words of a text in small letters; a name falls apart at its underscores."""
    return _WORD.findall(text.casefold())


def text_of(item: AnyCapability, *, with_hint: bool) -> str:
    """Return what a search knows of a tool."""
    sentence = _FIRST_SENTENCE.split(" ".join(item.help.split()), maxsplit=1)[0]
    hint = item.discovery.search_hint if with_hint else ""
    return f"{item.name} {sentence} {hint}"


def read_utterances(file: Path) -> list[Utterance]:
    """Return the lines of a file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line.strip()]
    return [Utterance(text, frozenset(tools.split("|"))) for text, tools in rows]


def rank(index: Index, utterance: Utterance) -> int | None:
    """Return the place of the first right tool, from 1; None if no word finds it."""
    ranking = index.ranking(utterance.text)
    places = (place for place, name in enumerate(ranking, 1) if name in utterance.tools)
    return next(places, None)


def share_within(ranks: Collection[int | None], most: int) -> float:
    """Return the share of places that are among the first ones."""
    return sum(place is not None and place <= most for place in ranks) / len(ranks)


def main() -> None:
    """Print the hit rates of each file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path, default=[OWN])
    parser.add_argument("--set", choices=["all", "default"], default="all")
    parser.add_argument("--misses", action="store_true", help="print what is not in the top three")
    options = parser.parse_args()
    items = [
        item
        for item in with_extensions(()).capabilities
        if options.set == "all" or item.discovery.toolset.value == options.set
    ]
    names = {item.name for item in items}
    print("| utterances | searched | top 1 | top 3 |\n|---|---|---|---|")
    for file in options.files:
        utterances = [entry for entry in read_utterances(file) if entry.tools & names]
        for with_hint in (False, True):
            index = Index({item.name: text_of(item, with_hint=with_hint) for item in items})
            ranks = [rank(index, utterance) for utterance in utterances]
            searched = "name, sentence" + ", hint" * with_hint
            shares = [f"{share_within(ranks, most):.0%}" for most in (1, 3)]
            print(f"| {file.name}: {len(ranks)} | {searched} | {' | '.join(shares)} |")
            if options.misses and with_hint:
                for utterance, place in zip(utterances, ranks, strict=True):
                    if place is None or place > 3:
                        first = index.ranking(utterance.text)[:3]
                        print(f"    {utterance.text} -> {'|'.join(utterance.tools)}: {first}")


if __name__ == "__main__":
    main()
