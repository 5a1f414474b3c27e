"""Fixtures of the store's tests: a project with a record of every kind."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from storage import records as r
from storage.records.workbench_checks import (
    CommandCheck,
    ExtensionProperties,
    NumberCheck,
    SchemaCheck,
    WorkbenchCheck,
)
from storage.store import ProjectStore

_FILE = r.Attachment(path="file_123456789012.txt")

SPECS: tuple[r.Part, ...] = (
    r.DesiredBehaviour(desired_behaviour_description="d"),
    r.Issue(issue_description="d", issue_examples="e"),
    r.Tone(core_requirement="c", tone_description="t"),
    r.Formatting(core_requirement="c", formatting_requirements="f"),
    r.Localization(core_requirement="c", localization_requirements="l"),
    r.AppropriateToolUse(
        core_requirement="c",
        tool_use_guidelines="g",
        appropriate_tool_use_examples="a",
        inappropriate_tool_use_examples="i",
    ),
    r.ReferenceAnswerAccuracy(
        core_requirement="c",
        reference_answer_accuracy_description="d",
        accurate_examples="a",
        inaccurate_examples="i",
    ),
    r.FactualCorrectness(core_requirement="c"),
    r.Hallucinations(core_requirement="c"),
    r.Completeness(core_requirement="c"),
    r.Toxicity(core_requirement="c"),
    r.Bias(core_requirement="c"),
    r.Maliciousness(core_requirement="c"),
    r.Nsfw(core_requirement="c"),
    r.Taboo(core_requirement="c"),
    r.Jailbreak(core_requirement="c"),
    r.PromptLeakage(core_requirement="c"),
)
JUDGES: tuple[r.Part, ...] = (
    r.LlmJudge(model_name="m", model_provider="openai", prompt_template="{{ final_message }}"),
    r.ExactMatch(expected_value="x"),
    r.PatternMatch(pattern="x"),
    r.Contains(substring="x"),
    r.SetCheck(expected_set=("a",), mode="subset"),
    r.ToolCallCheck(expected_tools=(r.ToolCallSpec(tool_name="t"),)),
    r.StepCountCheck(count_type="turns", max_count=3),
    WorkbenchCheck(kiln_mcp_check=NumberCheck(measure="words", at_most=9)),
    WorkbenchCheck(kiln_mcp_check=SchemaCheck(expected_schema={"type": "object"})),
    WorkbenchCheck(kiln_mcp_check=CommandCheck(command=("true",))),
    WorkbenchCheck(kiln_mcp_check=ExtensionProperties.model_validate({"type": "a.b", "c": 1})),
)


@dataclass(frozen=True, slots=True)
class EveryKind:
    """A project's folder, and how many records of each kind it has."""

    folder: Path
    counts: dict[str, int]


@pytest.fixture
async def every_kind(tmp_path: Path) -> EveryKind:
    folder = tmp_path / "every kind"
    async with await ProjectStore.create(folder, r.Project(name="Café ☕ 日本")) as store:
        made = _Maker(store)
        await made.task()
        await made.evals()
        await made.tools()
        await made.documents()
        return EveryKind(folder, {"project": 1, **made.counts})


class _Maker:
    def __init__(self, store: ProjectStore) -> None:
        self.store = store
        self.counts: dict[str, int] = {}
        self.parent: r.Record = store.project

    async def put(self, record: r.Record, parent: r.Record | None = None) -> r.Record:
        kind = record.type_name()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return await self.store.save(record, parent=parent or self.store.project)

    async def task(self) -> None:
        task = self.parent = await self.put(r.Task(name="Täsk", instruction="Do it."))
        config = r.KilnAgentProperties(
            model_name="gpt_4o", model_provider_name="openai", structured_output_mode="default"
        )
        source = r.DataSource(
            type="synthetic",
            properties={"model_name": "m", "model_provider": "openai", "adapter_name": "a"},
        )
        rating = r.TaskOutputRating(
            value=4,
            requirement_ratings={"named::Right": r.RequirementRating(value=1, type="pass_fail")},
        )
        run = await self.put(
            r.TaskRun(
                input="in",
                input_source=r.DataSource(type="human", properties={"created_by": "ana"}),
                output=r.TaskOutput(output="out", source=source, rating=rating),
                repair_instructions="better",
                repaired_output=r.TaskOutput(output="best", source=source),
                intermediate_outputs={"reasoning": "hm"},
                tags=("test",),
                usage=r.Usage(input_tokens=1, cost=0.5, total_llm_latency_ms=3),
                trace=(
                    r.TraceMessage(role="user", content="in"),
                    r.TraceMessage(role="assistant", content="out"),
                ),
            ),
            task,
        )
        await self.put(r.Feedback(feedback="good", source="run-page"), run)
        claim = r.GradedClaim(text="t", human_grade="agree")
        await self.put(
            r.ClaimReview(
                judge_score="pass",
                judge_reasoning="j",
                overview="o",
                claims=(claim,),
                human_verdict="pass",
            ),
            run,
        )
        await self.put(r.Prompt(name="Prompt ½", prompt="Be good."), task)
        prompt = r.BasePrompt(name="Prompt", prompt="Be good.")
        await self.put(
            r.TaskRunConfig(name="Config", run_config_properties=config, prompt=prompt), task
        )
        parts = (
            r.SplitDefinition(name="train", percentage=0.5),
            r.SplitDefinition(name="val", percentage=0.5),
        )
        split = await self.put(
            r.DatasetSplit(
                name="Split",
                splits=parts,
                split_contents={"train": (run.id,), "val": ()},
                filter="tag::test",
            ),
            task,
        )
        await self.put(
            r.Finetune(
                name="Tune",
                provider="local",
                base_model_id="b",
                dataset_split_id=split.id,
                system_message="s",
            ),
            task,
        )
        job = r.PromptOptimizationJob(name="Job", job_id="j", target_run_config_id="1")
        await self.put(job, task)
        await self.put(r.DataGuide(guide="# Guide"), task)
        message = r.UserMessage(text="hi")
        for data in (
            r.SingleTurnData(user_message=message),
            r.MultiTurnData(
                synthetic_user_info=r.SyntheticUserInfo(persona="p", goal="g"),
                drive_config=r.DriveConfig(model_name="m", model_provider="openai", turns=2),
            ),
        ):
            await self.put(r.EvalInput(data=data, reference={"answer": 1}, tags=("test",)), task)

    async def evals(self) -> None:
        measured = await self.put(
            r.Eval(
                name="Right",
                output_scores=(r.EvalOutputScore(name="Right", type="pass_fail"),),
                splits={"test": r.TaskRunSplit(filter_id="tag::test")},
                eval_set_filter_id="tag::test",
                eval_configs_filter_id="tag::golden",
            ),
            self.parent,
        )
        for kind in ("g_eval", "llm_as_judge"):
            judge = await self.put(
                r.EvalConfig(
                    name=kind,
                    config_type=kind,
                    model_name="gpt_4o",
                    model_provider="openai",
                    properties=r.StepsJudge(eval_steps=("Think.",), task_description="t"),
                ),
                measured,
            )
            await self.put(
                r.EvalRun(
                    dataset_id="123456789012",
                    eval_config_eval=True,
                    input="i",
                    output="o",
                    scores={"right": 1.0},
                ),
                judge,
            )
        for properties in JUDGES:
            name = str(properties.model_dump()["type"])
            await self.put(
                r.EvalConfig.model_validate(
                    {"name": name, "config_type": "v2", "properties": properties}
                ),
                measured,
            )
        for properties in SPECS:
            name = str(properties.model_dump()["spec_type"])
            await self.put(
                r.Spec.model_validate(
                    {
                        "name": name,
                        "definition": "d",
                        "properties": properties,
                        "eval_id": measured.id,
                        "task_sample": r.TaskSample(input="i", output="o"),
                    }
                ),
                self.parent,
            )

    async def tools(self) -> None:
        skill = await self.put(r.Skill(name="my-skill", description="d"))
        (self.store.side_folder(skill) / "SKILL.md").write_text(
            "---\nname: my-skill\ndescription: d\n---\nBody\n", encoding="utf-8"
        )
        tool = await self.put(
            r.CodeTool(
                name="Tool",
                tool_function_name="tool",
                tool_description="d",
                parameters_schema={"type": "object", "properties": {}},
            )
        )
        (self.store.side_folder(tool) / "tool.py").write_text(
            "def run():\n    return 1\n", encoding="utf-8"
        )
        for kind, properties in {
            "remote_mcp": r.RemoteServer(server_url="https://example.com/mcp"),
            "local_mcp": r.LocalServer(command="echo"),
            "kiln_task": r.TaskServer(
                task_id="1", run_config_id="2", name="tool_name", description="d"
            ),
        }.items():
            server: dict[str, object] = {"name": kind, "type": kind, "properties": properties}
            await self.put(r.ExternalToolServer.model_validate(server))

    async def documents(self) -> None:
        info = r.FileInfo(filename="f.txt", size=1, mime_type="text/plain", attachment=_FILE)
        document = await self.put(
            r.Document(name="Doc", description="d", original_file=info, kind="document")
        )
        extraction = await self.put(
            r.Extraction(source="processed", extractor_config_id="1", output=_FILE), document
        )
        chunked = await self.put(
            r.ChunkedDocument(chunker_config_id="1", chunks=(r.Chunk(content=_FILE),)), extraction
        )
        vectors = (r.Embedding(vector=(0.5, 1e-9)),)
        await self.put(r.ChunkEmbeddings(embedding_config_id="1", embeddings=vectors), chunked)
        for record in (document, extraction, chunked):
            (self.store.side_folder(record) / _FILE.path).write_text("x", encoding="utf-8")
        model = {"model_provider_name": "openai", "model_name": "m"}
        ids = ("extractor", "chunker", "embedding", "vector_store")
        prompts = {f"prompt_{kind}": "p" for kind in ("document", "image", "video", "audio")}
        lance = {"similarity_top_k": 1, "overfetch_factor": 1, "vector_column_name": "v"}
        keys = {"text_key": "t", "doc_id_key": "d"}
        configs: tuple[tuple[type[r.Record], dict[str, object]], ...] = (
            (
                r.ExtractorConfig,
                {
                    **model,
                    "extractor_type": "litellm",
                    "properties": {"extractor_type": "litellm", **prompts},
                },
            ),
            (
                r.ChunkerConfig,
                {
                    "chunker_type": "fixed_window",
                    "properties": {
                        "chunker_type": "fixed_window",
                        "chunk_size": 9,
                        "chunk_overlap": 1,
                    },
                },
            ),
            (r.EmbeddingConfig, {**model, "properties": {}}),
            (
                r.VectorStoreConfig,
                {
                    "store_type": "lancedb_fts",
                    "properties": {"store_type": "lancedb_fts", **lance, **keys},
                },
            ),
            (r.RerankerConfig, {**model, "top_n": 2, "properties": {"type": "cohere_compatible"}}),
            (
                r.RagConfig,
                {
                    "tool_name": "search",
                    "tool_description": "d",
                    **{f"{i}_config_id": "1" for i in ids},
                },
            ),
        )
        for kind, data in configs:
            await self.put(kind.model_validate({"name": "Config", **data}))
