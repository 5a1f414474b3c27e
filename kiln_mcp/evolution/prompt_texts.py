"""Prompts as candidates of the engine: an instruction in blocks, and examples by item."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from kiln_mcp.evals.eval_items import Item
from kiln_mcp.evaluators.references import REFERENCE_KEY
from kiln_mcp.evolution.engine import Block, Candidate, Evaluation
from kiln_mcp.evolution.engine import Item as EngineItem
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, INSTRUCTION, split_blocks
from kiln_mcp.programs.toolbox import SKILL, TOOL
from kiln_mcp.run_configs.system_prompts import (
    Example,
    PromptText,
    split_examples,
    with_examples,
)
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig

THINKING: Final = "thinking"
"""The component that says what the model is to think about first."""
GIVEN: Final = "given"
"""Ids of demonstrations that the start prompt brought along begin with this."""


@dataclass(frozen=True)
class PromptTexts:
    """The examples that candidates name by id.

    Attributes:
        examples: By the id of a block.
    """

    examples: dict[str, Example]

    def prompt(self, candidate: Candidate) -> str:
        """Return a candidate's whole prompt, as it is saved and as Kiln runs it."""
        return with_examples(candidate.text_of(INSTRUCTION), self._examples_of(candidate))

    def with_candidate(
        self, resolved_config: ResolvedRunConfig, candidate: Candidate
    ) -> ResolvedRunConfig:
        """Return a run config, resolved, with the candidate's prompt in the place of its own."""
        return replace(
            resolved_config,
            prompt=candidate.text_of(INSTRUCTION),
            examples=tuple(self._examples_of(candidate)),
            thinking=thinking_of(candidate),
            tool_texts=tool_texts_of(candidate),
        )

    def take(self, candidate: Candidate) -> None:
        """Take over the examples of a candidate of another search.

        Raises:
            ValueError: An example is no pair of input and output.
        """
        for block in candidate.blocks_of(DEMONSTRATIONS):
            task_input, output = cast("list[str]", json.loads(block.text))
            self.examples.setdefault(block.id, Example(task_input, output))

    def render(self, item: EngineItem, evaluation: Evaluation) -> str:
        """Return an accepted output as a demonstration; "" if it cannot be written as one."""
        example = Example(item.text, evaluation.output)
        if not _is_writable(example):
            return ""
        self.examples.setdefault(item.id, example)
        return _text_of(example)

    def _examples_of(self, candidate: Candidate) -> list[Example]:
        return [self.examples[name] for name in candidate.demonstrations]


def thinking_of(candidate: Candidate) -> str | None:
    """Return what a candidate tells the model to think about first; None for nothing."""
    return candidate.text_of(THINKING) or None


def is_tool_text(component: str) -> bool:
    """Return whether a component is the description of a tool, or the body of a skill."""
    return component.startswith((TOOL, SKILL))


def tool_texts_of(candidate: Candidate) -> dict[str, str]:
    """Return what a candidate says of tools and in skills, by component."""
    names = filter(is_tool_text, candidate.components)
    return {name: candidate.text_of(name) for name in names}


def with_tool_texts(candidate: Candidate, texts: Mapping[str, str]) -> Candidate:
    """Return a candidate with the texts of tools and skills that it lacks."""
    lacking = [name for name in texts if name not in candidate.components]
    blocks = [block for name in lacking for block in split_blocks(texts[name], name)]
    return Candidate((*candidate.blocks, *blocks))


def texts_of(training: Sequence[Item], prompt: PromptText) -> tuple[PromptTexts, Candidate]:
    """Return what can be shown, and a prompt as the candidate to start from.

    Training items whose reference cannot be written as a demonstration are left out.
    """
    text, examples = split_examples(prompt.prompt)
    by_id = {f"{GIVEN} {n}": example for n, example in enumerate(examples, 1)}
    demonstrations = tuple(
        Block(name, _text_of(example), DEMONSTRATIONS) for name, example in by_id.items()
    )
    thinking = split_blocks(prompt.thinking, THINKING) if prompt.thinking else ()
    start = Candidate((*split_blocks(text), *thinking, *demonstrations))
    for item in training:
        reference = (item.reference or {}).get(REFERENCE_KEY)
        if reference is None:
            continue
        output = reference if isinstance(reference, str) else json.dumps(reference)
        example = Example(item.task_input, output)
        if _is_writable(example):
            by_id[item.id] = example
    return PromptTexts(by_id), start


def demonstration_texts(texts: PromptTexts, training: Sequence[Item]) -> dict[str, str]:
    """Return the demonstrations of training items, by item."""
    by_id = texts.examples
    return {item.id: _text_of(by_id[item.id]) for item in training if item.id in by_id}


def _is_writable(example: Example) -> bool:
    return split_examples(with_examples("x", [example])) == ("x", (example,))


def _text_of(example: Example) -> str:
    return json.dumps([example.task_input, example.output], ensure_ascii=False)
