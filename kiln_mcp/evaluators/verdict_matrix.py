"""The verdicts of a panel: items, scores and members, read from the index in one query.

A member is one evaluator with the number of its verdict: a judge, a variant of its prompt, or its
second verdict of the same output. Weak members are kept, because their disagreement says something
too. Only verdicts of stored outputs are in the matrix.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evaluators.scales import decision_of
from storage import Eval, EvalConfig, ProjectStore
from storage.index.results import STORED, MatrixRow, matrix_rows


@dataclass(frozen=True, slots=True)
class PanelMember:
    """One source of verdicts.

    Attributes:
        evaluator_id: The evaluator.
        name: The evaluator's name.
        verdict: Which of its verdicts of an output.
    """

    evaluator_id: str
    name: str
    verdict: int = 0

    @property
    def title(self) -> str:
        """The name as people read it."""
        return f"{self.name}, verdict {self.verdict + 1}" if self.verdict else self.name


@dataclass(frozen=True, slots=True)
class VerdictMatrix:
    """The verdicts of all members on the stored outputs of an eval.

    Attributes:
        members: In the order of the evaluators; those without any verdict are left out.
        columns: The values by item, for each member and score key.
        abstentions: The items that a member passed over or could not judge.
    """

    members: tuple[PanelMember, ...]
    columns: Mapping[tuple[PanelMember, str], Mapping[str, float]]
    abstentions: Mapping[PanelMember, frozenset[str]]

    def column(self, member: PanelMember, key: str) -> Mapping[str, float]:
        """Return a member's values of one score by item."""
        return self.columns.get((member, key), {})

    def member(self, evaluator_id: str) -> PanelMember | None:
        """Return an evaluator's first verdict as a member; None if it gave none."""
        return next(
            (m for m in self.members if m.evaluator_id == evaluator_id and not m.verdict), None
        )

    def panel(self, evaluator_id: str) -> tuple[PanelMember, ...]:
        """Return all members except an evaluator's first verdict, which the panel is to check."""
        return tuple(m for m in self.members if m.verdict or m.evaluator_id != evaluator_id)

    def decisions(
        self, members: Sequence[PanelMember], key: str, kind: str
    ) -> dict[str, list[float]]:
        """Return the decisions of some members by item; members without one are left out.

        Args:
            members: Whose.
            key: The score's key.
            kind: The score's kind.
        """
        decisions: dict[str, list[float]] = {}
        for member in members:
            for item, value in self.column(member, key).items():
                decisions.setdefault(item, []).append(decision_of(value, kind))
        return decisions


async def read_verdict_matrix(
    store: ProjectStore, eval_record: Eval, evaluators: Collection[EvalConfig] | None = None
) -> VerdictMatrix:
    """Return the verdicts of an eval's evaluators on stored outputs.

    Args:
        store: The project.
        eval_record: The eval.
        evaluators: Which evaluators; None for all of the eval.
    """
    records = await store.children(eval_record, EvalConfig) if evaluators is None else evaluators
    paths = [record.saved.path for record in records]
    rows = await store.ask(lambda index: matrix_rows(index, paths, STORED))
    return _matrix([*records], rows)


class _Column:
    """One score of one member, while rows are read."""

    __slots__ = ("rows", "values")

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.rows: dict[str, int] = {}

    def take(self, item: str, value: float, row: int) -> None:
        """Keep the value of the oldest row of an item."""
        if row <= self.rows.get(item, row):
            self.values[item] = value
            self.rows[item] = row


def _matrix(records: Sequence[EvalConfig], rows: Sequence[MatrixRow]) -> VerdictMatrix:
    """Return the matrix of rows; of several results of one verdict the oldest scored one counts."""
    columns: defaultdict[tuple[int, int, str], _Column] = defaultdict(_Column)
    skipped: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for place, item, number, key, value, row in rows:
        if key is None or value is None:
            skipped[place, number].add(item)
        else:
            columns[place, number, key].take(item, value, row)
    places = {(place, number) for place, number, _ in columns} | skipped.keys()
    members = {
        (place, number): PanelMember(records[place].id, records[place].name, number)
        for place, number in sorted(places)
    }
    for (place, number, _), column in columns.items():
        skipped[place, number] -= column.values.keys()
    return VerdictMatrix(
        members=tuple(members.values()),
        columns={
            (members[place, number], key): column.values
            for (place, number, key), column in columns.items()
        },
        abstentions={members[place]: frozenset(items) for place, items in skipped.items() if items},
    )
