"""Let a model examine a spec by kinds of fault, and let it refute what it found.

The model is asked twice: for faults, and then, with the reports of the rules' hints beside its own,
which of them hold. What quotes words that the spec does not have is dropped.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import Field

from kiln_mcp.llm import EMBEDDED
from kiln_mcp.spec_texts.clause_readings import describes_ban
from kiln_mcp.spec_texts.findings import finding_id, is_alarm, is_missing_example
from kiln_mcp.spec_texts.spec_checks import CheckContext, rules_note
from kiln_mcp.spec_texts.spec_content import Finding, FindingKind, SpecContent
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from kiln_mcp.spec_texts.text_terms import normal
from kiln_mcp.specs.model_calls import ModelReply, SpecWriter, ask_writer
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import Task
from storage.text.excerpts import counted_excerpt

MOST_FINDINGS: Final = 12
_LONGEST_TEXT: Final = 20_000
"""The most characters of a document, or of all examples, that the model reads."""
_NOTHING: Final = "None."
_MARKS: Final = " \t\n\"'“”„「」`"
_PIECES: Final = re.compile(r"…|\.\.\.| / ")
"""What stands between two pieces of a quotation."""


class _Report(ModelReply):
    clause: str = Field(max_length=20)
    words: str = Field(max_length=600)
    kind: FindingKind
    why: str = Field(max_length=500)
    mend: str = Field(max_length=600)
    confidence: float = Field(ge=0, le=1)


class _Reports(ModelReply):
    findings: list[_Report] = Field(max_length=MOST_FINDINGS)


class _Check(ModelReply):
    number: int
    reason: str = Field(max_length=500)
    kind: FindingKind
    holds: bool


class _Checks(ModelReply):
    checks: list[_Check]


def task_context(
    task: Task,
    other_specs: Sequence[SpecContent] = (),
    documents: Mapping[str, str] | None = None,
) -> CheckContext:
    """Return what binds the outputs of a task beside one of its specs."""
    return CheckContext(
        instruction=task.instruction,
        input_schema=_schema(task.input_json_schema),
        output_schema=_schema(task.output_json_schema),
        other_specs=other_specs,
        documents=documents or {},
    )


def _schema(text: str | None) -> Mapping[str, Any] | None:
    return json.loads(text) if text else None


async def examine(
    writer: SpecWriter,
    content: SpecContent,
    context: CheckContext,
    findings: Sequence[Finding],
) -> tuple[Finding, ...]:
    """Ask the model for faults, and which of them and of the rules' hints hold.

    Args:
        writer: The model.
        content: The spec.
        context: What binds the same outputs.
        findings: What the rules found, as `check_content` returns it.

    Returns:
        The rules' alarms and missing examples, and what the model confirmed; the surest first.

    Raises:
        ModelError: The model gave no usable answer.
    """
    slots = _slots(content, context)
    prompt = load_prompt("specs", "examination")
    answer = await ask_writer(writer, prompt, slots, _Reports)
    firm = [item for item in findings if is_alarm(item) or is_missing_example(item)]
    firm_places = {(item.kind, item.clause) for item in firm}
    hints = [item for item in findings if item not in firm]
    own = _own_findings(answer.findings, content, writer.model)
    candidates = [item for item in own if (item.kind, item.clause) not in firm_places]
    places = {(item.kind, item.clause) for item in candidates}
    candidates += [item for item in hints if (item.kind, item.clause) not in places]
    confirmed = await _confirmations(writer, slots, candidates) if candidates else []
    return tuple(sorted([*firm, *confirmed], key=lambda item: -item.confidence))


def examination_note(content: SpecContent, model: str | None = None) -> str:
    """Say what was looked for in a spec, and by whom; never that nothing is open.

    Args:
        content: The spec.
        model: The model that examined it; None if only the rules did.
    """
    kinds = ", ".join(kind.replace("_", " ") for kind in FindingKind)
    if model is None:
        return f"{rules_note(content)} No model looked for: {kinds}."
    note = (
        f"{rules_note(content)} {model} looked for eight kinds of fault ({kinds}) and was asked "
        "to refute its reports. What it overlooked stays open."
    )
    if model == EMBEDDED:
        note += " The embedded model is too small for this: take its reports for guesses."
    return note


def _own_findings(
    reports: Sequence[_Report], content: SpecContent, model: str
) -> tuple[Finding, ...]:
    """Return the reports whose words the spec has; each place and kind once."""
    texts = {clause.id: clause.text for clause in content.clauses}
    examples = "\n".join(f"{item.input}\n{item.output}\n{item.reason}" for item in content.examples)
    result: dict[tuple[FindingKind, str, str], Finding] = {}
    for report in reports:
        words = _bare(report.words)
        clause = _clause_of(report, words, texts)
        place = texts.get(clause, "")
        if report.kind is FindingKind.CONTRADICTING_EXAMPLES:
            place = f"{place}\n{examples}"
        if not _plain(words) or _plain(words) not in _plain(place):
            continue
        item = Finding(
            id=finding_id(report.kind, clause, words),
            kind=report.kind,
            words=words,
            why=report.why.strip(),
            source=model,
            clause=clause,
            mend=report.mend.strip(),
            confidence=report.confidence,
        )
        result.setdefault((item.kind, clause, _plain(words)), item)
    return tuple(result.values())


def _bare(words: str) -> str:
    """Return words without quotation marks around them, and only the first of several pieces."""
    return _PIECES.split(words.strip(_MARKS))[0].strip(_MARKS)


def _clause_of(report: _Report, words: str, texts: Mapping[str, str]) -> str:
    """Return the clause that has the words: the one named, or else the only other one."""
    if _plain(words) in _plain(texts.get(report.clause, "")):
        return report.clause
    matches = [id for id, text in texts.items() if _plain(words) in _plain(text)]
    if len(matches) == 1:
        return matches[0]
    return report.clause if report.clause in texts else ""


def _plain(text: str) -> str:
    return " ".join(normal(text).split())


async def _confirmations(
    writer: SpecWriter, slots: Mapping[str, str], candidates: Sequence[Finding]
) -> list[Finding]:
    """Return the candidates that the model does not refute, with the kind that it settles on."""
    reports = "\n".join(
        f"{number}. {item.clause or 'the whole'} · {item.kind} · "
        f"{json.dumps(item.words, ensure_ascii=False)}: {item.why}"
        for number, item in enumerate(candidates, start=1)
    )
    prompt = load_prompt("specs", "examination_check")
    answer = await ask_writer(writer, prompt, {**slots, "reports": reports}, _Checks)
    checks = {check.number: check for check in answer.checks if check.holds}
    return [
        _with_check(item, checks[number], writer.model)
        for number, item in enumerate(candidates, start=1)
        if number in checks
    ]


def _with_check(item: Finding, check: _Check, model: str) -> Finding:
    return replace(
        item,
        id=finding_id(check.kind, item.clause, item.words),
        kind=check.kind,
        source=model,
        confidence=max(item.confidence, 0.5),
    )


def _slots(content: SpecContent, context: CheckContext) -> dict[str, str]:
    schema = context.output_schema
    return {
        "task_instruction": context.instruction or _NOTHING,
        "output_schema": json.dumps(schema, ensure_ascii=False) if schema else "Plain text.",
        "documents": "\n\n".join(
            f"{title}:\n{counted_excerpt(text, _LONGEST_TEXT)}"
            for title, text in context.documents.items()
        )
        or _NOTHING,
        "other_specs": "\n\n".join(
            f"{spec.name} ({spec.kind}):\n{_clauses(spec)}" for spec in context.other_specs
        )
        or _NOTHING,
        "kind": f"{content.kind} ({FORMS[content.kind].purpose})",
        "clauses": _clauses(content) or _NOTHING,
        "examples": counted_excerpt(_examples(content), _LONGEST_TEXT) or _NOTHING,
    }


def _clauses(content: SpecContent) -> str:
    ban = "describes the fault" if content.kind is SpecKind.ISSUE else "a prohibition"
    lines: list[str] = []
    for clause in content.clauses:
        is_ban = describes_ban(content.kind, clause)
        # Polarity may have been read from a "not" that is about something else.
        mark = f" (perhaps {ban})" if is_ban is None else f" ({ban})" if is_ban else ""
        lines.append(f"{clause.id}{mark}: {clause.text}")
    return "\n".join(lines)


def _examples(content: SpecContent) -> str:
    lines: list[str] = []
    for example in content.examples:
        parts = [f"{example.id} {'passes' if example.verdict == 'pass' else 'fails'}."]
        if example.input:
            parts.append(f"Input: {json.dumps(example.input, ensure_ascii=False)}.")
        parts.append(f"Output: {json.dumps(example.output, ensure_ascii=False)}.")
        if example.reason:
            parts.append(f"Reason: {example.reason}")
        lines.append(" ".join(parts))
    return "\n".join(lines)
