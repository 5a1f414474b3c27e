"""Read the reasons that a judge gave for its verdicts on stored outputs."""

from collections.abc import Mapping, Sequence

from storage import EvalConfig, EvalRun, ProjectStore
from storage.index.results import STORED, results_of_items


async def read_verdict_texts(
    store: ProjectStore, record: EvalConfig, items: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """Return the texts of a judge's first verdicts by item, as Kiln keeps them."""
    path = record.saved.path
    files = await store.ask(lambda index: results_of_items(index, path, STORED, items))
    records = await store.read_all(EvalRun, [*files.values()])
    return {
        item: records[file].intermediate_outputs or {}
        for item, file in files.items()
        if file in records
    }


def reason_in(texts: Mapping[str, str], key: str) -> str:
    """Return the reason for one score: its own, else that of the whole verdict."""
    return texts.get(f"{key}_feedback") or texts.get("chain_of_thought") or ""


async def read_verdict_reasons(
    store: ProjectStore, record: EvalConfig, items: Sequence[str]
) -> dict[str, str]:
    """Return the reasons of a judge's first verdicts by item, for all scores together."""
    texts = await read_verdict_texts(store, record, items)
    return {item: reason_in(own, "") for item, own in texts.items()}
