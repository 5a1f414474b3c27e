"""What is wrong with the arguments of a call, in sentences of ours."""

import re
from collections.abc import Iterator

import pytest
from pydantic import JsonValue, ValidationError

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.workbench.arguments import argument_problems
from kiln_mcp.workbench.workspace import Workspace

CATALOGUE = installed_catalogue()
FOREIGN = re.compile(
    r"Input should|Input tag|valid (dictionary|list|string|integer|number|boolean)|instance of|"
    r"after validation|Value error|Field required|Unable to|unable to|discriminator|wrong kind"
)


@pytest.mark.parametrize(
    ("tool", "argument", "value", "sentence"),
    [
        (
            "create_evaluator",
            "type",
            "exact",
            "'type' is wrong: it has to be one of: cascade, code_eval, command_check, contains, "
            "exact_match, json_schema, llm_judge, number_check, pattern_match, set_check, "
            "step_count_check, tool_call_check. Did you mean 'exact_match'? (given: 'exact').",
        ),
        ("create_evaluator", "project", "P", "'type' is missing. It has to be one of: cascade"),
        ("label_items", "labels", [], "'labels' is wrong: it needs at least 1 entry (given: [])."),
        ("label_items", "rater", "", "'rater' is wrong: it needs at least 1 character (given: '')"),
        ("run_eval", "limit_calls", -1, "'limit_calls' is wrong: it has to be at least 0 ("),
        ("run_eval", "wait_s", -1, "'wait_s' is wrong: it has to be from 0 to 300 (given: -1)."),
        ("find", "kind", "x", "embedding_config, vector_store_config, reranker_config, trash ("),
        ("find", "project", ["x"], "'project' is wrong: it has to be text (given: ['x'])."),
        ("add_data", "items", "x", "'items[0]' is wrong: it has to be an object with: input, outp"),
        (
            "add_data",
            "items",
            [{"inptu": "x"}],
            "Unknown argument 'items[0].inptu'. Did you mean 'input'? It takes: input, output, ",
        ),
    ],
)
async def test_a_wrong_value_is_answered_with_the_rule_that_it_breaks(
    tool: str, argument: str, value: JsonValue, sentence: str
) -> None:
    with pytest.raises(InvalidArguments) as refused:
        await CATALOGUE.find(tool).invoke(None, {argument: value})
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (
            "exact_match",
            {},
            "'type' is wrong: give exactly one of expected_value and reference_key (given",
        ),
        ("pattern_match", {}, "'pattern' is missing"),
        ("contains", {"substring": "x", "pattern": "x"}, "Unknown argument 'pattern'. It takes: "),
        (
            "contains",
            {"substring": "x", "mode": "must"},
            "'mode' is wrong: it has to be one of: mu",
        ),
        (
            "llm_judge",
            {"steps": ["x"], "settings": {"weighed": True}},
            "'settings.weighed'. Did yo",
        ),
        (
            "llm_judge",
            {"steps": ["x"], "settings": {"steps": ["y"]}},
            "'settings.steps' is given t",
        ),
        (
            "exact_match",
            {"reference_key": "r", "settings": {"comparison": {"number_tolerence": 1}}},
            "comparison has no 'number_tolerence'. Did you mean 'number_tolerance'? It takes: text",
        ),
        (
            "exact_match",
            {
                "reference_key": "r",
                "settings": {"comparison": {"fields": [{"field": "a", "tolerance": 1}]}},
            },
            "comparison.fields[0] has no 'tolerance'.",
        ),
        ("step_count_check", {"settings": {"count_type": "turns", "max_count": True}}, "a number"),
    ],
)
async def test_settings_that_a_kind_of_evaluator_does_not_take_are_named_at_their_argument(
    workspace: Workspace, kind: str, given: dict[str, JsonValue], sentence: str
) -> None:
    arguments: dict[str, JsonValue] = {"project": "P", "eval": "E", "type": kind, **given}
    with pytest.raises(InvalidArguments) as refused:
        await CATALOGUE.perform(workspace, "create_evaluator", arguments)
    assert sentence in str(refused.value)


WRONG: tuple[JsonValue, ...] = (
    *("~", "", -1, 1e300, 1.5, True, [], {}, [1], [{}], [""], {"~": 1}, [[1]]),
    *({"type": "~"}, {"type": 1}, [{"~": {}}]),
)


def problems() -> Iterator[str]:
    """Yield the sentences about wrong values of each argument of each capability."""
    for item in CATALOGUE.capabilities:
        for name in item.arguments.model_fields:
            for value in WRONG:
                try:
                    item.arguments.model_validate({name: value})
                except ValidationError as error:
                    yield from map(str, argument_problems(error, item.input_schema))


def test_no_wrong_value_of_any_argument_is_answered_in_the_words_of_a_library() -> None:
    sentences = set(problems())
    assert len(sentences) > 500
    assert [sentence for sentence in sentences if FOREIGN.search(sentence)] == []
