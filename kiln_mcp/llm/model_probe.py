"""The trial of a model: a few short questions that show its abilities."""

import secrets
from dataclasses import dataclass
from typing import Final

from kiln_mcp.llm.abilities import Ability, Feature
from kiln_mcp.llm.engine import ANY_STATE, Engine
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.messages import Message, ModelAnswer, ModelRequest, Tool, Usage
from kiln_mcp.llm.providers.descriptions import ModelDescription

MOST_TOKENS: Final = 50
_SCHEMA: Final = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}},
    "required": ["ready"],
    "additionalProperties": False,
}
_TOOL: Final = Tool(
    "report_ready", "Report that you are ready.", {"type": "object", "properties": {}}
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model answered, and its abilities.

    Attributes:
        answer: To the first question.
        usage: The usage of all questions.
        description: The description of the model after the trial.
        problems: What it refused or answered wrongly, as sentences.
    """

    answer: ModelAnswer
    usage: Usage
    description: ModelDescription
    problems: tuple[str, ...]


def _question(model: str, feature: Feature) -> ModelRequest | None:
    """Return the question that shows an ability; None if the first question shows it."""

    def ask(text: str) -> tuple[Message, ...]:
        return (Message("user", text),)

    match feature:
        case "json_schema":
            messages = ask("Are you ready? Answer in JSON.")
            return ModelRequest(model, messages, schema=_SCHEMA, max_tokens=MOST_TOKENS)
        case "logprobs":
            messages = ask("Say yes.")
            return ModelRequest(model, messages, top_logprobs=1, max_tokens=MOST_TOKENS)
        case "tools":
            messages = ask("Call the tool report_ready now.")
            return ModelRequest(model, messages, tools=(_TOOL,), max_tokens=MOST_TOKENS)
        case _:
            return None


async def open_questions(engine: Engine, model: str) -> list[ModelRequest]:
    """Return the questions that a trial asks after its first."""
    abilities = (await engine.describe(model)).abilities.by_feature()
    open_questions: list[Feature] = [
        # A test forgets what was refused, and tries it again.
        feature
        for feature, how in abilities.items()
        if how in {Ability.UNKNOWN, Ability.REFUSED}
    ]
    questions = [_question(model, feature) for feature in open_questions]
    return [request for request in questions if request is not None]


async def try_model(engine: Engine, model: str, asker: str) -> Trial:
    """Ask a model short questions, to see that it answers and what it can do.

    What was learned of its dialect is forgotten first, and learned again.

    Raises:
        ModelError: It does not answer the first.
    """
    questions = await open_questions(engine, model)
    engine.forget_dialect(model)
    hello = Message("user", "Say in a few words that you are ready.")
    # A sample of its own, so that no answer to an earlier work order is taken for this one's.
    request = ModelRequest(model, (hello,), max_tokens=MOST_TOKENS, sample=secrets.randbits(31))
    answer = None
    async for part in engine.stream(request, asker=asker, fresh=True):
        if isinstance(part, ModelAnswer):
            answer = part
    assert answer is not None
    usage = answer.usage
    problems: list[str] = []
    for question in questions:
        try:
            usage += (
                await engine.complete(question, asker=asker, fresh=True, accept=ANY_STATE)
            ).usage
        except ModelError as error:
            problems.append(str(error))
    return Trial(answer, usage, await engine.describe(model), tuple(problems))
