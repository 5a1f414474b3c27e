"""Questions to a person about outputs that split the readings of a clause."""

from hashlib import blake2b
from typing import Final

from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.spec_texts.spec_content import Clause, QuestionOption, SpecQuestion
from kiln_mcp.specs.clause_panel import ClausePanel
from kiln_mcp.specs.model_calls import ModelReply, SpecWriter, ask_writer
from kiln_mcp.statistics.question_value import QuestionValue
from kiln_mcp.statistics.reading_verdicts import Cell
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage.text.excerpts import excerpt_line

PASSES: Final = 0
"""The place of the option which says that the output passes."""
FAILS: Final = 1
_LONGEST_QUOTE: Final = 160


class _Reply(ModelReply):
    question: str
    passes: str
    passes_clause: str
    fails: str
    fails_clause: str


async def clause_question(
    writer: SpecWriter | None, panel: ClausePanel, value: QuestionValue
) -> SpecQuestion:
    """Return the question about one output; a template is its text if no model writes it.

    The first option says that the output passes, the second that it fails.

    Args:
        writer: The model that writes it; None for the template.
        panel: The panel whose readings differ.
        value: Which clause and output the question is about.

    Raises:
        ModelError: The model cannot be asked. An answer without use leaves the template.
    """
    clause = next(clause for clause in panel.clauses if clause.id == value.clause)
    if writer is not None:
        try:
            return await _ask(writer, panel, clause, value)
        except BadAnswer:
            pass
    return _by_template(panel, clause, value)


def question_id(panel: ClausePanel, value: QuestionValue) -> str:
    """Return a question's id: the same for the same clause and output."""
    output = panel.output(value.item)
    content = f"{value.clause}\0{output.input}\0{output.output}"
    digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    return f"{value.clause}-{digest}"


def _question(
    panel: ClausePanel, value: QuestionValue, text: str, options: tuple[QuestionOption, ...]
) -> SpecQuestion:
    output = panel.output(value.item)
    return SpecQuestion(
        id=question_id(panel, value),
        text=text,
        options=options,
        clause=value.clause,
        input=output.input,
        output=output.output,
        value=value.reduction,
    )


def _by_template(panel: ClausePanel, clause: Clause, value: QuestionValue) -> SpecQuestion:
    """Return the question in our own words; each option adds the output as a case of the clause."""
    quote = excerpt_line(panel.output(value.item).output, _LONGEST_QUOTE)
    text = f"Does this output meet the clause “{clause.text}”? Readers of the clause differ on it."
    stem = clause.text.rstrip()
    options = tuple(
        QuestionOption(label, f"{stem} {case}: “{quote}”{_because(panel, value, passes=passes)}")
        for label, case, passes in (
            ("It passes.", "This passes", True),
            ("It fails.", "This fails", False),
        )
    )
    return _question(panel, value, text, options)


def _because(panel: ClausePanel, value: QuestionValue, *, passes: bool) -> str:
    reason = _reason(panel, value, passes=passes)
    return f" ({reason.rstrip('.')})." if reason else "."


def _reason(panel: ClausePanel, value: QuestionValue, *, passes: bool) -> str:
    """Return the reason of a reading that gave this verdict; the most probable reading's first."""
    champion = value.pass_reading if passes else value.fail_reading
    readings = [champion, *(reading.id for reading in panel.readings if reading.id != champion)]
    for reading in readings:
        cell = Cell(value.clause, value.item, reading)
        verdicts = panel.verdicts.get(cell, ())
        if verdicts and verdicts[0] == passes and panel.reasons.get(cell):
            return panel.reasons[cell]
    return ""


async def _ask(
    writer: SpecWriter, panel: ClausePanel, clause: Clause, value: QuestionValue
) -> SpecQuestion:
    output = panel.output(value.item)
    values: dict[str, str | int] = {
        "task_instruction": writer.instruction,
        "clause": clause.text,
        "input": output.input,
        "output": output.output,
        "pass_reason": _reason(panel, value, passes=True) or "No reason.",
        "fail_reason": _reason(panel, value, passes=False) or "No reason.",
    }
    prompt = load_prompt("specs", "clause_question")
    texts = await ask_writer(writer, prompt, values, _Reply)
    fields = (texts.question, texts.passes, texts.passes_clause, texts.fails, texts.fails_clause)
    if not all(text.strip() for text in fields) or texts.passes_clause == texts.fails_clause:
        return _by_template(panel, clause, value)
    options = (
        QuestionOption(texts.passes, texts.passes_clause),
        QuestionOption(texts.fails, texts.fails_clause),
    )
    return _question(panel, value, texts.question, options)
