import re
from pathlib import Path

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.operations.models import service as models_service
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from model_zoo import open_zoo
from scripted_model import ScriptedModel

CATALOGUE = installed_catalogue()


def settings(home: Path) -> Settings:
    engine = EngineSettings(
        response_cache=home / "responses.sqlite", orders=home / "orders.sqlite", environment={}
    )
    return Settings(home=home, engine=engine)


async def test_models_are_listed_with_what_they_need(tmp_path: Path) -> None:
    async with CATALOGUE.open_workspace(settings(tmp_path)) as workspace:
        listing = await models_service.list_models(workspace)
    names = [model.name for model in listing.models]
    assert names[:2] == ["embedded", "host"]
    assert listing.default == "embedded"


async def test_models_are_listed_with_what_they_can_do_and_cost(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    servers = (
        ServerSettings("cheap", nowhere, input_usd_per_million=0.5, output_usd_per_million=2.0),
        ServerSettings("unpriced", nowhere),
    )
    engine = EngineSettings(servers=servers, environment={"OPENAI_API_KEY": "none"})
    async with CATALOGUE.open_workspace(Settings(home=tmp_path, engine=engine)) as workspace:
        listing = await models_service.list_models(workspace, ["openai/gpt-4o-mini"])
    models = {model.name: model for model in listing.models}
    assert models["cheap/<model>"].price == "$0.5 read, $2 written, a million tokens"
    assert models["unpriced/<model>"].price == "price not known"
    assert not models["unpriced/<model>"].ready
    assert models["embedded"].price == "free"
    assert models["host"].can == "JSON by schema (in words), JSON mode (in words), tools (in words)"
    assert models["host"].cannot == "logprobs, streaming"
    hosted_model = models["openai/gpt-4o-mini"]
    assert "JSON by schema" in (hosted_model.can or "")
    assert "logprobs" in (hosted_model.not_known or "")


async def test_a_tested_model_says_what_it_answered_and_can_do(tmp_path: Path) -> None:
    models = {"mine": ScriptedModel(["Ready."], repeat=True)}
    async with open_workspace(settings(tmp_path), CATALOGUE.carry_out, models) as workspace:
        answer = await models_service.test_model(workspace, "mine")
    assert (answer.answer, answer.calls, answer.price) == ("Ready.", 1, "free")
    assert "streaming" in (answer.can or "")


async def test_what_was_learned_of_a_model_is_listed_with_its_date_until_it_is_tested(
    tmp_path: Path,
) -> None:
    hello = ModelRequest("zoo/completion-tokens", (Message("user", "Hello?"),))
    async with open_zoo() as zoo:
        engine = EngineSettings(
            environment={},
            servers=(
                ServerSettings(
                    "zoo", zoo.address, input_usd_per_million=0.0, output_usd_per_million=0.0
                ),
            ),
            dialects=tmp_path / "dialects.sqlite",
        )
        setup = Settings(home=tmp_path, engine=engine)
        async with CATALOGUE.open_workspace(setup) as workspace:
            await workspace.engine.complete(hello, asker="test")
        async with CATALOGUE.open_workspace(setup) as workspace:
            listing = await models_service.list_models(workspace, ["zoo/completion-tokens"])
            lessons = {model.name: model.lessons or [] for model in listing.models}
            [lesson] = lessons[hello.model]
            assert re.match(r"length field: max_completion_tokens \(learned 20\d\d-", lesson)
            before = len(zoo.bodies)
            await models_service.test_model(workspace, "zoo/completion-tokens")
        sent = [body for body in zoo.bodies[before:] if "messages" in body]
        assert "max_tokens" in sent[0]
        assert "max_completion_tokens" in sent[1]
