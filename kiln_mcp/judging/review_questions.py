"""The labels of a review as questions to the person: one output and score at a time, all blind."""

from typing import Final

from pydantic import JsonValue

from kiln_mcp.workbench.person_questions import AnswerPlace, PersonQuestion
from kiln_mcp.workbench.proposal import JsonObject

_NOT_OFFERED: Final = frozenset({"both", "skip"})
_MOST_FORMS: Final = 60
"""The most forms of one review, reasons included; the person may end it at any of them."""
_TOOL: Final = "draw_items_to_label"


def review_question(data: JsonObject) -> PersonQuestion | None:
    """Return the question for the first label that is missing; None if there is none to ask.

    Args:
        data: A batch of items to label, as a door returns it.
    """
    item, scores = _first_item(data), _scores(data)
    if data.get("purpose") != "review" or item is None:
        return None
    labelled_scores = item.get("labelled_scores") or []
    assert isinstance(labelled_scores, list)
    name = next((name for name in scores if name not in labelled_scores), None)
    if name is None:
        return None
    arguments: dict[str, JsonValue] = {"eval": _evals(data), "rater": data.get("rater") or ""}
    id = str(item["item"])
    return PersonQuestion(
        id=id,
        text=f"Input: {item['input']}\n\nOutput: {item['output']}\n\n{name}: which label?",
        options=scores[name],
        tool=_TOOL,
        arguments=arguments,
        place=AnswerPlace(
            argument="labels",
            entry={"item": id, "score": name},
            field="label",
            tool="label_items",
        ),
        has_own_words=False,
        limit=_MOST_FORMS,
    )


def after_label(
    data: JsonObject, question: PersonQuestion, answer: str, reply: JsonObject
) -> tuple[JsonObject, PersonQuestion | None]:
    """Return a batch after one label, and the question why where a judge differs.

    Args:
        data: The batch, as a door returns it.
        question: The question for the label, or for its reason.
        answer: The label, or the reason.
        reply: What saving it returned.
    """
    place, item = question.place, _first_item(data)
    if place is None or place.field != "label" or item is None or item["item"] != question.id:
        return data, None
    name = str(place.entry["score"])
    labelled_scores: list[JsonValue] = [*_strings(item.get("labelled_scores")), name]
    items = data["items"]
    assert isinstance(items, list)
    is_whole = set(_scores(data)) <= {str(score) for score in labelled_scores}
    first: list[JsonValue] = [] if is_whole else [{**item, "labelled_scores": labelled_scores}]
    later: dict[str, JsonValue] = {**data, "items": [*first, *items[1:]]}
    if question.id not in _strings(reply.get("differences")):
        return later, None
    update: dict[str, object] = {
        "text": f"{question.text}\n\nYou said {answer}, and a judge differs. Why is it {answer}?",
        "options": [],
        "has_own_words": True,
        "place": place.model_copy(
            update={"entry": {**place.entry, "label": answer}, "field": "reason"}
        ),
    }
    return later, question.model_copy(update=update)


def reason_question(data: JsonObject) -> PersonQuestion | None:
    """Return the question why a label of a review differs from a judge; None if all is said.

    Args:
        data: A report of disagreements, as a door returns it.
    """
    for row in _rows(data):
        if not row.get("wants_reason") or not row.get("rater"):
            continue
        id, label = str(row["item"]), str(row["label"])
        entry: dict[str, JsonValue] = {"item": id, "label": label}
        if row.get("score"):
            entry["score"] = row["score"]
        judge_reason = f" ({row['judge_reason']})" if row.get("judge_reason") else ""
        return PersonQuestion(
            id=id,
            text=f"Input: {row['input']}\n\nOutput: {row['output']}\n\n{row['rater']} said "
            f"{label}, the judge {row['verdict']}{judge_reason}. Why is it {label}?",
            options=[],
            tool="check_judge",
            arguments={"eval": [data["eval"]], "rater": row["rater"]},
            place=AnswerPlace(argument="labels", entry=entry, field="reason", tool="label_items"),
        )
    return None


def after_reason(data: JsonObject, question: PersonQuestion, answer: str) -> JsonObject:
    """Return a report of disagreements with a reason in it; the item is not asked about again."""
    rows: list[JsonValue] = [
        {**row, "label_reason": answer, "wants_reason": False}
        if row["item"] == question.id
        else row
        for row in _rows(data)
    ]
    return {**data, "disagreements": rows}


def _rows(data: JsonObject) -> list[dict[str, JsonValue]]:
    rows = data.get("disagreements")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _first_item(data: JsonObject) -> dict[str, JsonValue] | None:
    items = data.get("items")
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, dict) else None


def _scores(data: JsonObject) -> dict[str, list[str]]:
    """Return the labels that each score offers, by the score's name."""
    scores = data.get("scores")
    if not isinstance(scores, dict):  # a job's result that an earlier version stored
        return {}
    return {
        name: [word for word in _strings(words) if word not in _NOT_OFFERED]
        for name, words in scores.items()
    }


def _evals(data: JsonObject) -> JsonValue:
    """Return the names of the evals, as the step that saves labels has them."""
    steps = data.get("next")
    step = steps[0] if isinstance(steps, list) and steps else None
    arguments = step.get("arguments") if isinstance(step, dict) else None
    return arguments.get("eval") if isinstance(arguments, dict) else data.get("eval")


def _strings(value: JsonValue) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []
