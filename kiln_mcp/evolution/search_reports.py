"""Find the searches beside an eval, and report one."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import anyio

from kiln_mcp.evals.eval_items import items_of, read_items
from kiln_mcp.evolution.report_answers import (
    CandidateRow,
    CurvePoint,
    PromptSearchReport,
    SearchRow,
    StandingRow,
)
from kiln_mcp.evolution.search_events import BEST, START, SearchEvents, read_search
from kiln_mcp.evolution.search_log import FILE
from kiln_mcp.evolution.stop_reasons import stop_sentence
from storage import Eval, ProjectStore, Task
from storage.errors import NextStep, Refusal
from storage.text.excerpts import excerpt_line, excerpts

_PREFIX, _, _SUFFIX = FILE.partition("{run}")
LONGEST_INPUT: Final = 60
UNFINISHED: Final = "unfinished"
ENDED: Final = "ended"
RUNNING: Final = "The search has not ended: it runs, or was stopped. Nothing is claimed yet."


async def searches_of(store: ProjectStore, eval_record: Eval) -> dict[str, SearchEvents]:
    """Return the searches beside an eval by name, the newest first."""
    folder = anyio.Path(store.side_folder(eval_record))
    names = [file.name async for file in folder.glob(f"{_PREFIX}*{_SUFFIX}")]
    searches: dict[str, SearchEvents] = {}
    for name in names:
        events = read_search(await store.side_lines(eval_record, name))
        if events is not None:
            searches[name.removeprefix(_PREFIX).removesuffix(_SUFFIX)] = events
    return dict(sorted(searches.items(), key=lambda pair: pair[1].start.at, reverse=True))


def choose_search(searches: dict[str, SearchEvents], name: str | None, eval_name: str) -> str:
    """Return the name of a search: the one that is named, or the newest.

    Raises:
        Refusal: There is none.
    """
    if not searches:
        raise Refusal(
            "No search for a better prompt lies beside '{name}'.",
            name=eval_name,
            next=[NextStep(tool="improve_prompt", reason="begin one")],
        )
    if name is None:
        return next(iter(searches))
    matches = [own for own in searches if name in own]
    if len(matches) != 1:
        raise Refusal(
            "'{name}' names {count} searches; there are: {names}.",
            name=name,
            count=len(matches),
            names=excerpts([*searches]),
        )
    return matches[0]


def report_of(
    name: str,
    searches: dict[str, SearchEvents],
    compare: Sequence[str] | None,
    inputs: Mapping[str, str],
) -> PromptSearchReport:
    """Return the report of a search.

    Args:
        name: Its name.
        searches: All searches of the eval.
        compare: Two candidates, whose difference is shown; None for the start and the best one.
        inputs: The inputs of items, by id; of those that are there no more the id is told.

    Raises:
        InvalidValue: A candidate is unknown.
    """
    events = searches[name]
    first, second = compare or (START, BEST)
    start, names = events.start, events.names
    stop_reason = events.end.stop_reason if events.end else ""
    return PromptSearchReport(
        search=name,
        state=ENDED if events.end else UNFINISHED,
        verdict=events.end.verdict if events.end else RUNNING,
        stop_reason=stop_reason,
        stop_sentence=stop_sentence(stop_reason),
        comparison=[*events.end.comparison] if events.end else [],
        start=start.name,
        model=start.model,
        reflecting=start.reflecting,
        max_calls=start.budget,
        seed=start.seed,
        best_prompt=events.text(BEST),
        tree=_tree(events, names, inputs),
        curve=[
            CurvePoint(calls=calls, candidate=names.get(id, id), expected_gain=gain)
            for calls, id, gain in events.heads
        ],
        standings=[
            StandingRow(
                candidate=names.get(line.candidate, line.candidate),
                items=line.items,
                scores={key: round(value, 4) for key, value in line.scores.items()},
                cost_usd=line.cost_usd,
                seconds=round(line.seconds, 3),
                words=events.words(line.candidate),
                on_pareto_front=line.is_on_front,
            )
            for line in events.standings
        ],
        difference=events.difference(first, second),
        searches=[
            SearchRow(
                search=own,
                at=other.start.at,
                start=other.start.name,
                state=ENDED if other.end else UNFINISHED,
                decisions=len(other.decisions),
            )
            for own, other in searches.items()
        ],
    )


async def inputs_of(
    store: ProjectStore, task: Task, eval_record: Eval, ids: Collection[str]
) -> dict[str, str]:
    """Return the inputs of training and validation items by id, each shortened to a line."""
    parts = [eval_record.part(name) for name in ("train", "val")]
    references = [own for part in parts for own in await items_of(store, task, part)]
    items = await read_items(store, [own for own in references if own.id in ids])
    return {item.id: excerpt_line(item.task_input, LONGEST_INPUT) for item in items}


def _tree(
    events: SearchEvents, names: Mapping[str, str], inputs: Mapping[str, str]
) -> list[CandidateRow]:
    return [
        CandidateRow(
            number=number,
            name=names.get(line.candidate, ""),
            candidate=line.candidate,
            parent=names.get(line.onto, line.onto),
            operator=line.operator,
            accepted=line.accepted,
            lesson=line.lesson,
            reason=line.reason,
            gain=line.gain,
            loss=line.loss,
            better_on=line.better_on,
            worse_on=line.worse_on,
            items=[f"{inputs[id]} ({id})" if id in inputs else id for id in line.items],
            calls=line.calls,
        )
        for number, line in enumerate(events.decisions, 1)
    ]
