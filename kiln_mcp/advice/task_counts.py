"""Take the inventory of a task from the store's index, without reading its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiln_mcp.advice.inventory import EvalInventory, OpenSession, TaskInventory
from kiln_mcp.advice.item_counts import ItemCounts
from kiln_mcp.advice.shared_inputs import SharedInputs
from kiln_mcp.datasets.counts import is_known_filter
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.spec_judges import source_of, stale_judges
from kiln_mcp.judging.golden_sets import audit_golden_set
from kiln_mcp.labels.certificate_lines import is_certified
from kiln_mcp.labels.golden_set import open_golden_set
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
    TaskRunConfig,
)
from storage.format.filters import is_filter
from storage.index.queries import RunQuery


async def take_inventory(store: ProjectStore, task: Task, home: Path) -> TaskInventory:
    """Count the records of a task and of each of its evals.

    Args:
        store: The open project.
        task: The task.
        home: Whose key signs certificates.
    """
    counts = await store.counts(task)
    items = ItemCounts(store, task)
    shared = SharedInputs(store, task, counts.get("task_run", 0))
    specs = await store.children(task, Spec)
    run_configs = await store.children(task, TaskRunConfig)
    parts = _Parts(store, task, items, shared, {spec.id: spec.name for spec in specs}, home)
    evals = [await _eval(parts, record) for record in await store.children(task, Eval)]
    sessions = [session for session in await read_sessions(store, task) if session.is_open]
    texts = [text for spec in specs for text in rule_texts(kind_of(spec), fields_of(spec))]
    return TaskInventory(
        name=task.name,
        runs=await store.count_runs(task, RunQuery("all", is_from_eval=False)),
        specs=counts.get("spec", 0),
        run_configs=counts.get("task_run_config", 0),
        only_run_config=run_configs[0].name if len(run_configs) == 1 else None,
        prompts=counts.get("prompt", 0),
        evals=tuple(evals),
        inputs=counts.get("eval_input", 0),
        check_hints=tuple(check_hints(texts)),
        sessions=tuple(
            OpenSession(session.id, session.wish, len(session.open_questions))
            for session in sessions
        ),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the evals of a task are counted with; `spec_names` are by id, `home` has the key."""

    store: ProjectStore
    task: Task
    items: ItemCounts
    shared: SharedInputs
    spec_names: Mapping[str, str]
    home: Path


async def _eval(parts: _Parts, record: Eval) -> EvalInventory:
    store, task, items = parts.store, parts.task, parts.items
    evaluators = await store.children(record, EvalConfig)
    stale = await stale_judges(store, task, record)
    asking = {record.saved.path for record in evaluators if evaluator_of(record).model}
    cells = await store.score_counts(record)
    of_configs = [cell for cell in cells if cell.run_config_id]
    golden = await items.golden(record, await _certificate_items(store, record))
    judges = [judge for judge in evaluators if evaluator_of(judge).model]
    own_stale = [judge for judge in stale if _is_in_use(record, judge)]
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
        stale_judges=tuple(judge.name for judge in own_stale),
        changed_spec=await _changed_spec(parts, own_stale),
        label_faults=await _label_faults(parts, record, golden.rated_items),
        shared_inputs=await parts.shared.count(record),
        uncertified_judges=tuple(
            [
                judge.name
                for judge in judges
                if _is_in_use(record, judge) and not await is_certified(store, judge, parts.home)
            ]
        ),
        has_agreement=any(cell.evaluator in asking for cell in cells if not cell.run_config_id),
    )


async def _changed_spec(parts: _Parts, stale: Sequence[EvalConfig]) -> str | None:
    """Return the name of the spec that the first stale judge was compiled from."""
    for judge in stale:
        source = await source_of(parts.store, judge)
        if source is not None and source.spec in parts.spec_names:
            return parts.spec_names[source.spec]
    return None


async def _label_faults(parts: _Parts, record: Eval, rated_items: int) -> tuple[str, ...]:
    """Return why the labels of an eval can measure no judge; nothing if there are none."""
    if not rated_items:
        return ()
    golden_set = await open_golden_set(parts.store, TaskEval(parts.task, record), may_be_empty=True)
    audits = await audit_golden_set(parts.store, golden_set)
    return tuple(fault for audit in audits.values() for fault in audit.faults)


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
