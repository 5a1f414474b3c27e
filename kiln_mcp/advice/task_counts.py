"""Take the inventory of a task from the store's index, without reading its runs."""

from kiln_mcp.advice.inventory import EvalInventory, OpenSession, TaskInventory
from kiln_mcp.advice.item_counts import ItemCounts
from kiln_mcp.datasets.counts import is_known_filter
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.spec_judges import stale_judges
from kiln_mcp.labels.ledger import read_labels
from kiln_mcp.spec_texts.check_hints import check_hints, rule_texts
from kiln_mcp.spec_texts.session_files import read_sessions
from kiln_mcp.spec_texts.spec_kinds import fields_of, kind_of
from storage import (
    Eval,
    EvalConfig,
    ProjectStore,
    Spec,
    Task,
)
from storage.format.filters import is_filter


async def take_inventory(store: ProjectStore, task: Task) -> TaskInventory:
    """Count the records of a task and of each of its evals."""
    counts = await store.counts(task)
    items = ItemCounts(store, task)
    evals = [await _eval(store, task, items, record) for record in await store.children(task, Eval)]
    sessions = [session for session in await read_sessions(store, task) if session.is_open]
    specs = await store.children(task, Spec)
    texts = [text for spec in specs for text in rule_texts(kind_of(spec), fields_of(spec))]
    return TaskInventory(
        name=task.name,
        runs=counts.get("task_run", 0),
        specs=counts.get("spec", 0),
        run_configs=counts.get("task_run_config", 0),
        prompts=counts.get("prompt", 0),
        evals=tuple(evals),
        inputs=counts.get("eval_input", 0),
        check_hints=tuple(check_hints(texts)),
        sessions=tuple(
            OpenSession(session.id, session.wish, len(session.open_questions))
            for session in sessions
        ),
    )


async def _eval(store: ProjectStore, task: Task, items: ItemCounts, record: Eval) -> EvalInventory:
    evaluators = await store.children(record, EvalConfig)
    stale = await stale_judges(store, task, record)
    asking = {record.saved.path for record in evaluators if evaluator_of(record).model}
    cells = await store.score_counts(record)
    of_configs = [cell for cell in cells if cell.run_config_id]
    golden = await items.golden(record, await _certificate_items(store, record))
    return EvalInventory(
        name=record.name,
        evaluators=len(evaluators),
        test_items=await items.test_items(record),
        golden_items=golden.items,
        rated_items=golden.rated_items,
        one_sided=golden.is_one_sided,
        results=sum(cell.items for cell in of_configs),
        result_run_configs=len({cell.run_config_id for cell in of_configs}),
        model_judges=len(asking),
        unknown_filter=_unknown_filter(record),
        stale_judges=tuple(judge.name for judge in stale if _is_in_use(record, judge)),
        has_agreement=any(cell.evaluator in asking for cell in cells if not cell.run_config_id),
    )


def _is_in_use(record: Eval, judge: EvalConfig) -> bool:
    """Return whether a judge is the one that an eval uses."""
    return record.current_config_id in {None, judge.id}


async def _certificate_items(store: ProjectStore, record: Eval) -> frozenset[str]:
    """Return the items that have a confirmed label for a certificate."""
    labels = (await read_labels(store, record)).entries
    return frozenset(label.item for label in labels if label.certifies)


def _unknown_filter(record: Eval) -> str | None:
    test, golden = record.part("test"), record.eval_configs_filter_id
    if test is not None and not is_known_filter(test):
        return test.filter_id
    return golden if golden is not None and not is_filter(golden) else None
