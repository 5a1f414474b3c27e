"""Check a spec without a model: what can be decided by comparing and counting, in any language.

A finding below `findings.ALARM_CONFIDENCE` is a hint. Meaning is not read: a spec without findings
may still be weak, and `rules_note` says so.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kiln_mcp.spec_texts.clause_comparison import (
    BindingText,
    comparison_findings,
    other_spec_findings,
)
from kiln_mcp.spec_texts.example_checks import example_findings
from kiln_mcp.spec_texts.findings import finding
from kiln_mcp.spec_texts.schema_checks import JsonSchema, schema_findings
from kiln_mcp.spec_texts.spec_content import Finding, FindingKind, Polarity, SpecContent
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.spec_texts.word_hints import languages_of, word_hints


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What binds the same outputs beside the spec.

    Attributes:
        instruction: The task's instruction, as its model reads it.
        input_schema: The JSON schema of the task's input; None if it is plain text.
        output_schema: The JSON schema of the task's output; None if it is plain text.
        other_specs: The other specs of the task.
        documents: Texts that the spec may rest on, by title.
    """

    instruction: str = ""
    input_schema: JsonSchema | None = None
    output_schema: JsonSchema | None = None
    other_specs: Sequence[SpecContent] = ()
    documents: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def binding_texts(self) -> tuple[BindingText, ...]:
        """Return the instruction and the documents with titles."""
        documents = [BindingText(f'"{title}"', text) for title, text in self.documents.items()]
        return (BindingText("The task's instruction", self.instruction), *documents)


def check_content(content: SpecContent, context: CheckContext) -> tuple[Finding, ...]:
    """Return what the rules find in a spec, the surest first.

    Examples on both sides for one input are a strength: `example_checks.contrastive_pairs`.
    """
    at_hand = "\n".join([context.instruction, *context.documents, *context.documents.values()])
    inputs = "\n".join(example.input for example in content.examples)
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        partial(comparison_findings, content, context.binding_texts),
        partial(other_spec_findings, content, context.other_specs),
        partial(
            schema_findings,
            content,
            context.output_schema,
            context.input_schema,
            f"{at_hand}\n{inputs}",
        ),
        partial(example_findings, content),
        partial(_polarity_findings, content),
        partial(word_hints, content.clauses, at_hand),
    )
    findings: dict[str, Finding] = {}
    for check in checks:
        for item in check():
            earlier = findings.get(item.id)
            if earlier is None or earlier.confidence < item.confidence:
                findings[item.id] = item
    return tuple(sorted(findings.values(), key=lambda item: -item.confidence))


_WISH: Final = re.compile(
    r"^(?:(?:the|a|every|each) )?(?:reply|replies|answers?|outputs?|responses?|summary|text|model"
    r"|it) (?:must|should|shall|has to|needs to) (?!not\b|never\b)"
    r"|^(?:(?:die|jede) )?(?:antwort(?:en)?|ausgaben?|zusammenfassung) "
    r"(?:muss|soll|müssen|sollen)\b(?!.*\b(?:nicht|keine?\w?|nie)\b)"
    r"|^(?:返信|回答|出力|要約)[はに](?!.*ない).*(?:べき|なければならない|必要がある)",
    re.IGNORECASE,
)


def _polarity_findings(content: SpecContent) -> Iterator[Finding]:
    """Yield clauses that describe a right output where the faulty one is wanted."""
    if content.kind is not SpecKind.ISSUE:
        return
    for clause in content.clauses:
        if clause.polarity is Polarity.MUST_NOT and _WISH.search(clause.text):
            yield finding(
                FindingKind.UNDERSPECIFIED,
                clause.id,
                clause.text,
                "An issue describes the fault, and this describes the right output: a reviewer "
                "may read it either way.",
                confidence=0.5,
            )


def rules_note(content: SpecContent) -> str:
    """Say what the rules looked for, and what they cannot see."""
    languages = languages_of(content.clauses)
    words = (
        f"words that often divide reviewers ({', '.join(languages)})"
        if languages
        else "no words, since the language is none of English, German and Japanese"
    )
    return (
        "Rules compared numbers, clauses, examples, schemas and other specs, and looked for "
        f"{words}. They do not read meaning."
    )
