"""The text of a run config's system prompt, by Kiln's prompt ids."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.run_configs.definitions import RunConfigDefinition
from kiln_mcp.run_configs.errors import unsupported_run_config
from storage import Prompt, Task, TaskRun, TaskRunConfig, task_run_filter
from storage.records.handles import choose
from storage.text.kind_words import split_handle

SAVED_PROMPT: Final = "id::"
"""How the id of a saved prompt begins in a run config."""
FEW_SHOT: Final = 4
MANY_SHOT: Final = 25
WITH_EXAMPLES: Final = frozenset(
    {
        "few_shot_prompt_builder",
        "few_shot_chain_of_thought_prompt_builder",
        "multi_shot_prompt_builder",
        "multi_shot_chain_of_thought_prompt_builder",
        "repairs_prompt_builder",
    }
)
"""The ids of prompts that show runs of the task."""
DEFAULT_THINKING: Final = "Think step by step about how to do the task, and explain your reasoning."


_HEADING: Final = "\n\n# Examples\n\n"
_NEXT: Final = re.compile(r"\n\n(?=## Example \d+\nInput: )")
_OUTPUT: Final = "\nOutput: "


@dataclass(frozen=True, slots=True)
class Example:
    """A demonstration: an input with a good output."""

    task_input: str
    output: str


@dataclass(frozen=True, slots=True)
class PromptText:
    """A system prompt, and what the model is told to think about first, if anything."""

    prompt: str
    thinking: str | None = None


def instruction_prompt(task: Task) -> str:
    """Return the task's instruction with its requirements."""
    if not task.requirements:
        return task.instruction
    lines = [f"{n}) {r.instruction}" for n, r in enumerate(task.requirements, 1)]
    return f"{task.instruction}\n\nYour answer must satisfy:\n" + "\n".join(lines)


def with_examples(prompt: str, examples: Sequence[Example]) -> str:
    """Return a prompt with demonstrations at its end, in the form that `split_examples` reads."""
    if not examples:
        return prompt
    blocks = [_block(number, example) for number, example in enumerate(examples, 1)]
    return prompt + _HEADING + "\n\n".join(blocks)


def split_examples(prompt: str) -> tuple[str, tuple[Example, ...]]:
    """Return a prompt without the demonstrations at its end, and these.

    Small models follow demonstrations far better as turns of the conversation than as text of
    the system prompt; files hold them as text, so that Kiln can run the same prompt. What is not
    in exactly the form of `with_examples` stays in the prompt.
    """
    instruction, heading, after = prompt.rpartition(_HEADING)
    if not heading:
        return prompt, ()
    examples: list[Example] = []
    for number, block in enumerate(_NEXT.split(after), 1):
        opening = f"## Example {number}\nInput: "
        if not block.startswith(opening) or block.count(_OUTPUT) != 1:
            return prompt, ()
        task_input, _, output = block.removeprefix(opening).partition(_OUTPUT)
        examples.append(Example(task_input, output))
    return instruction, tuple(examples)


def _block(number: int, example: Example) -> str:
    return f"## Example {number}\nInput: {example.task_input}{_OUTPUT}{example.output}"


def choose_examples(runs: Sequence[TaskRun], count: int) -> list[Example]:
    """Return the runs to show as examples: repaired ones first, then the highest rated.

    Runs without a good rating are never shown; equals come oldest first.
    """

    def rank(run: TaskRun) -> tuple[int, float, str]:
        rating = run.output.rating
        value = rating.value if rating and rating.value is not None else 0.0
        return (0 if run.repaired_output else 1, -value, str(run.created_at))

    is_good = task_run_filter("high_rating")
    good = [run for run in runs if is_good(run)]
    examples = sorted(good, key=rank)[:count]
    return [Example(run.input, run.best_output) for run in examples]


def prompt_text(
    task: Task, run_config: TaskRunConfig, prompts: Sequence[Prompt], runs: Sequence[TaskRun]
) -> PromptText:
    """Return the system prompt of a run config: its frozen one, or what its prompt id means.

    Args:
        task: The task that is run.
        run_config: The run config.
        prompts: The task's saved prompts.
        runs: The task's runs that may be shown, for prompts with examples.

    Raises:
        Refusal: The prompt id means nothing here.
    """
    if run_config.prompt:
        frozen = run_config.prompt
        return PromptText(frozen.prompt, frozen.chain_of_thought_instructions)
    properties = run_config.run_config_properties
    if properties.type == "mcp":
        raise unsupported_run_config(run_config.name, "it calls an MCP tool instead of a model")
    text = built_prompt(task, properties.prompt_id, prompts, runs)
    if text is None:
        raise unsupported_run_config(
            run_config.name, f"its prompt {properties.prompt_id!r} is not in this project"
        )
    return text


def shows_examples(run_config: TaskRunConfig) -> bool:
    """Return whether a run config's prompt shows runs of its task."""
    properties = run_config.run_config_properties
    if run_config.prompt or properties.type == "mcp":
        return False
    return properties.prompt_id in WITH_EXAMPLES


def with_prompt_named(
    definition: RunConfigDefinition, prompts: Sequence[Prompt]
) -> RunConfigDefinition:
    """Return a definition whose saved prompt is named by its id, whatever named it before.

    Raises:
        RecordNotFound: It names a saved prompt that is not there.
    """
    prompt_id = definition.prompt_id
    is_handle = split_handle(prompt_id)[0] == Prompt.type_name()
    if not is_handle and not prompt_id.startswith(SAVED_PROMPT):
        return definition
    saved = choose(Prompt, prompts, prompt_id.removeprefix(SAVED_PROMPT))
    return replace(definition, prompt_id=f"{SAVED_PROMPT}{saved.id}")


def built_prompt(
    task: Task, prompt_id: str, prompts: Sequence[Prompt], runs: Sequence[TaskRun]
) -> PromptText | None:
    """Return the prompt that an id means; None if it means nothing here."""
    if prompt_id.startswith(SAVED_PROMPT):
        definition = prompt_id.removeprefix(SAVED_PROMPT)
        saved = next((prompt for prompt in prompts if prompt.id == definition), None)
        return PromptText(saved.prompt, saved.chain_of_thought_instructions) if saved else None
    plain = instruction_prompt(task)
    thinking = task.thinking_instruction or DEFAULT_THINKING
    match prompt_id:
        case "simple_prompt_builder":
            return PromptText(plain)
        case "simple_chain_of_thought_prompt_builder":
            return PromptText(plain, thinking)
        case "few_shot_prompt_builder":
            return PromptText(with_examples(plain, choose_examples(runs, FEW_SHOT)))
        case "few_shot_chain_of_thought_prompt_builder":
            return PromptText(with_examples(plain, choose_examples(runs, FEW_SHOT)), thinking)
        case "multi_shot_prompt_builder":
            return PromptText(with_examples(plain, choose_examples(runs, MANY_SHOT)))
        case "multi_shot_chain_of_thought_prompt_builder":
            return PromptText(with_examples(plain, choose_examples(runs, MANY_SHOT)), thinking)
        case "repairs_prompt_builder":
            repaired_runs = [run for run in runs if run.repaired_output]
            return PromptText(with_examples(plain, choose_examples(repaired_runs, MANY_SHOT)))
        case _:
            return None
