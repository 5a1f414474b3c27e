"""The refusals of draws for which there is no item."""

from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import Purpose
from storage.errors import NextStep, Refusal


def nothing_to_draw(labelling: LabellingPass, purpose: Purpose) -> Refusal:
    """Return the refusal of a draw for which there is no item."""
    names = " and ".join(labelling.eval_names)
    arguments = {"eval": labelling.eval_names[0]}
    measure = NextStep(
        tool="check_judge", reason="measure the judges against the labels", arguments=arguments
    )
    if purpose == "second_look":
        return Refusal(
            "No label of '{names}' is in doubt: no judge or check contradicts one clearly.",
            names=names,
            next=[measure],
        )
    if purpose == "repeat":
        return Refusal(
            "No item of '{names}' can be shown again yet: that needs more than ten labels of one "
            "rater. Name the rater if there are several.",
            names=names,
            next=[NextStep(tool="draw_items_to_label", reason="draw new items first")],
        )
    if not labelling.runs:
        return Refusal(
            "The golden set of '{names}' is empty, and the task has no output of a model to add. "
            "Add outputs, or name some of the task's with `outputs`, such as tag::prod or all.",
            names=names,
            next=[NextStep(tool="add_data", reason="add outputs of your feature")],
        )
    return Refusal(
        "All {count} items of the golden set of '{names}' have labels, or another rater is at "
        "them. Name further outputs of the task with `outputs`, such as tag::prod or all.",
        count=len(labelling.runs),
        names=names,
        next=[measure],
    )
