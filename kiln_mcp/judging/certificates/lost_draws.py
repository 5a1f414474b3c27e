"""Tell whether an audit lost draws that the eval's ledger still names."""

from collections.abc import Sequence
from datetime import UTC

from kiln_mcp.labels.audit_lines import AuditRecord
from kiln_mcp.labels.ledger import Draw, Label


def lost_draws(
    audit: AuditRecord,
    audits: Sequence[AuditRecord],
    draws: Sequence[Draw],
    labels: Sequence[Label],
) -> bool:
    """Return whether the ledger names draws of an audit that its side file lacks.

    A draw is of an audit if it has the audit's strata, came after its opening, and is no other
    audit's. A label whose draw the ledger lacks names an item with its stratum.

    Args:
        audit: The audit.
        audits: Those of the same judge.
        draws: The ledger's of the judge.
        labels: The ledger's.
    """
    opening = audit.opening
    opened_at = opening.at if opening.at.tzinfo else opening.at.replace(tzinfo=UTC)
    drawn = {draw.item for draw in audit.draws}
    other_draws = {draw.draw for other in audits if other is not audit for draw in other.draws}
    sizes = {stratum.name: len(stratum.items) for stratum in opening.strata}
    strata = {item: stratum.name for stratum in opening.strata for item in stratum.items}
    own = [
        draw
        for draw in draws
        if draw.at >= opened_at
        and draw.id not in other_draws
        and {name: stratum.size for name, stratum in draw.strata.items()} == sizes
    ]
    if any(item not in drawn for draw in own for item in draw.items):
        return True
    return any(
        label.item not in drawn and strata.get(label.item) == label.stratum
        for label in labels
        if label.score == opening.score
        and label.at >= opened_at
        and label.stratum is not None
        and label.draw not in other_draws
    )
