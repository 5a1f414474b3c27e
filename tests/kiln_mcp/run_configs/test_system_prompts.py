import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.run_configs.system_prompts import (
    Example,
    PromptText,
    built_prompt,
    split_examples,
    with_examples,
)
from storage import Prompt, Task, TaskRequirement

line = st.text(st.characters(codec="utf-8", exclude_characters="#"), max_size=30).filter(
    lambda text: "\nOutput: " not in text
)
examples = st.lists(st.builds(Example, line, line), min_size=1, max_size=5)


@given(st.text(max_size=40), examples)
def test_demonstrations_that_were_written_into_a_prompt_are_read_back_from_it(
    prompt: str, shown: list[Example]
) -> None:
    assert split_examples(with_examples(prompt, shown)) == (prompt, tuple(shown))


@given(st.text(max_size=80))
def test_a_prompt_without_demonstrations_stays_as_it_is(prompt: str) -> None:
    assert split_examples(with_examples(prompt, [])) == (prompt, ())


@pytest.mark.parametrize(
    "tail",
    [
        "# Examples\n\nOne: a gives b.",
        "# Examples\n\n## Example 2\nInput: a\nOutput: b",
        "# Examples\n\n## Example 1\nInput: a\nOutput: b\nOutput: c",
        "# Examples\n\n## Example 1\nInput: a",
    ],
)
def test_a_persons_own_examples_stay_in_the_prompt(tail: str) -> None:
    prompt = f"Do it.\n\n{tail}"
    assert split_examples(prompt) == (prompt, ())


def test_prompt_ids_mean_what_they_mean_in_kiln() -> None:
    task = Task(
        name="T",
        instruction="Do it.",
        thinking_instruction="Think hard.",
        requirements=(TaskRequirement(name="short", instruction="Be short."),),
    )
    saved = Prompt(id="123456789012", name="P", prompt="Do it so.")
    plain = "Do it.\n\nYour answer must satisfy:\n1) Be short."

    def built(prompt_id: str) -> PromptText | None:
        return built_prompt(task, prompt_id, [saved], [])

    assert built("simple_prompt_builder") == PromptText(plain)
    assert built("few_shot_prompt_builder") == PromptText(plain)
    assert built("simple_chain_of_thought_prompt_builder") == PromptText(plain, "Think hard.")
    assert built("id::123456789012") == PromptText("Do it so.")
    assert built("id::999999999999") is None
    assert built("no_such_builder") is None
