"""Find the searches beside an eval, and report one."""

from collections.abc import Sequence
from typing import Final

import anyio

from kiln_mcp.evolution.report_answers import (
    CandidateRow,
    CurvePoint,
    PromptSearchReport,
    SearchRow,
    StandingRow,
)
from kiln_mcp.evolution.search_events import BEST, START, SearchEvents, read_search
from kiln_mcp.evolution.search_log import FILE
from storage import Eval, ProjectStore
from storage.errors import NextStep, Refusal
from storage.text.excerpts import excerpts

_PREFIX, _, _SUFFIX = FILE.partition("{run}")
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
    name: str, searches: dict[str, SearchEvents], compare: Sequence[str] | None
) -> PromptSearchReport:
    """Return the report of a search.

    Args:
        name: Its name.
        searches: All searches of the eval.
        compare: Two candidates, whose difference is shown; None for the start and the best one.

    Raises:
        InvalidValue: A candidate is unknown.
    """
    events = searches[name]
    first, second = compare or (START, BEST)
    start = events.start
    return PromptSearchReport(
        search=name,
        state=ENDED if events.end else UNFINISHED,
        verdict=events.end.verdict if events.end else RUNNING,
        stop_reason=events.end.stop_reason if events.end else "",
        start=start.name,
        model=start.model,
        reflecting=start.reflecting,
        max_calls=start.budget,
        seed=start.seed,
        best_prompt=events.text(BEST),
        tree=_tree(events),
        curve=[CurvePoint(calls=c, candidate=n, expected_gain=g) for c, n, g in events.heads],
        standings=[
            StandingRow(
                candidate=line.candidate,
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


def _tree(events: SearchEvents) -> list[CandidateRow]:
    return [
        CandidateRow(
            candidate=line.candidate,
            parent=line.onto,
            operator=line.operator,
            accepted=line.accepted,
            lesson=line.lesson,
            reason=line.reason,
            gain=line.gain,
            loss=line.loss,
            better_on=line.better_on,
            worse_on=line.worse_on,
            items=[*line.items],
            calls=line.calls,
        )
        for line in events.decisions
    ]
