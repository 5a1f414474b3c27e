"""Pools of judged items with people's labels, read from recorded data that is not kept here."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from kiln_mcp.judging.certificates.strata import panel_strata
from kiln_mcp.labels.audit_lines import AuditStratum
from kiln_mcp.statistics.scales import PASS_FAIL

MODELS = ("ChatGPT", "ChatGPT-0301", "Falcon", "GPT-4", "LLaMA2", "PaLM2")
STRATEGIES = ("Vanilla", "CoT", "Metrics_Reference")
FEWEST_ITEMS = 150


@dataclass(frozen=True)
class Pool:
    """Items with a judge's verdict, a person's label, and strata as an audit makes them."""

    name: str
    verdicts: Mapping[str, float]
    labels: Mapping[str, float]
    strata: tuple[AuditStratum, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(stratum.items) for stratum in self.strata)

    @property
    def priors(self) -> tuple[float, ...]:
        return tuple(stratum.prior for stratum in self.strata)

    @property
    def agreements(self) -> tuple[int, ...]:
        return tuple(
            sum(self.verdicts[i] == self.labels[i] for i in stratum.items)
            for stratum in self.strata
        )

    @property
    def mean(self) -> float:
        return sum(self.agreements) / sum(self.sizes)

    @property
    def best_ratio(self) -> float:
        """The labels that the best allocation takes, as a share of those of an even draw."""
        spread = sum(
            size * ((hits / size) * (1 - hits / size)) ** 0.5
            for size, hits in zip(self.sizes, self.agreements, strict=True)
        ) / sum(self.sizes)
        return spread**2 / (self.mean * (1 - self.mean))


def read_pools(folder: Path) -> Iterator[Pool]:
    yield from _pairs(folder / "llmbar_judges.csv")
    yield from _scores(folder / "unieval_scores.csv")


def demo_pools(file: Path) -> Iterator[Pool]:
    """The golden set of Kiln's demo: ten judges, each audited with the others as its panel."""
    verdicts: dict[str, dict[str, float]] = {}
    labels: dict[str, float] = {}
    for row in _rows(file):
        score = PASS_FAIL.nearest(float(row["judge_score"]))
        verdicts.setdefault(row["judge_name"], {})[row["item"]] = score
        labels[row["item"]] = float(row["human"])
    for name, own in verdicts.items():
        panel = [other for judge, other in verdicts.items() if judge != name]
        yield Pool(name, own, labels, panel_strata(own, panel, PASS_FAIL))


def _pairs(file: Path) -> Iterator[Pool]:
    """Which of two answers is better; the panel is the five other models, asked the same way."""
    verdicts: dict[tuple[str, str], dict[str, float]] = {}
    labels: dict[str, float] = {}
    for row in _rows(file):
        if row["verdict_order1"] in {"1", "2"}:
            item = f"{row['subset']}/{row['item']}"
            judge = row["judge_model"], row["prompt_strategy"]
            verdicts.setdefault(judge, {})[item] = float(row["verdict_order1"] == "1")
            labels[item] = float(row["gold"] == "1")
    for strategy in STRATEGIES:
        for model in MODELS:
            own = verdicts[model, strategy]
            panel = [verdicts[other, strategy] for other in MODELS if other != model]
            yield Pool(f"{model} {strategy}", own, labels, panel_strata(own, panel, PASS_FAIL))


def _scores(file: Path) -> Iterator[Pool]:
    """Scores, cut at their medians into pass and fail; there is no panel."""
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    for row in _rows(file):
        name = f"{row['dataset']} {row['dimension']}"
        item = f"{row['item']}/{row['system']}"
        scores.setdefault(name, {})[item] = float(row["judge"]), float(row["human"])
    for name, own in scores.items():
        if len(own) < FEWEST_ITEMS:
            continue
        middle = median(judge for judge, _ in own.values())
        centre = fmean(human for _, human in own.values())
        verdicts = {item: float(judge >= middle) for item, (judge, _) in own.items()}
        labels = {item: float(human >= centre) for item, (_, human) in own.items()}
        yield Pool(name, verdicts, labels, panel_strata(verdicts, [], PASS_FAIL))


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)
