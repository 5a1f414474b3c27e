import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.run_configs.errors import EvalError, ExtractionFailed
from kiln_mcp.run_configs.item_templates import Case, check_template, extract, render_template
from storage.isolation.templates import run_template

TEMPLATE = "<task_input>\n{{ task_input }}\n</task_input>\n<out>\n{{ final_message }}\n</out>"


async def test_without_an_expression_the_value_is_the_output() -> None:
    assert await extract(None, Case("in", "out")) == "out"


async def test_an_expression_sees_input_reference_and_trace() -> None:
    case = Case("in", "out", trace=({"role": "user", "content": "hi"},), reference={"k": [7]})
    found = await extract("task_input ~ reference_data.k[0] ~ trace[0].content", case)
    assert found == "in7hi"
    assert await extract("trace | format_trace", case) == "[user]\nhi"


@given(st.text(alphabet="</> \\\nouttaskinputOUT_-", max_size=60))
def test_text_under_judgement_cannot_close_the_tag_that_it_stands_in(output: str) -> None:
    names = {"task_input": "in", "final_message": output}
    rendered = run_template(TEMPLATE, names, "")["value"]
    assert rendered.lower().count("</out>") == 1
    assert rendered.lower().count("<task_input>") == 1


async def test_a_template_is_not_rendered_twice() -> None:
    assert "{{ 7 * 7 }}" in await render_template(TEMPLATE, Case("in", "{{ 7 * 7 }}"))


async def test_a_template_that_shows_nothing_of_the_item_is_refused() -> None:
    with pytest.raises(EvalError, match=r"nothing of the item"):
        await check_template("Always say pass.")
    with pytest.raises(EvalError, match=r"cannot be used"):
        await check_template("{{ final_message")
    await check_template(TEMPLATE)


async def test_a_template_that_needs_what_the_item_lacks_says_so() -> None:
    with pytest.raises(ExtractionFailed, match=r"cannot be filled"):
        await render_template("{{ final_message }} {{ reference_data.answer }}", Case("in", "out"))
