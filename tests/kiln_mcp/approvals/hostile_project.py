"""Fill a project with injected instructions, and know every tool's working arguments."""

from collections.abc import Awaitable, Callable

from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.judging.answers import LabellingBatch
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage.collaboration.sync import Sharing
from tests.kiln_mcp.approvals.hostile_world import HostileWorld, ids_below, records_below
from tests.kiln_mcp.approvals.obedient import JsonObject

JUDGE: JsonObject = {"type": "llm_judge", "steps": ["Is it right?"], "model": "paid/m"}
FREE_JUDGE: JsonObject = {"type": "llm_judge", "steps": ["Is it right?"], "model": "free/m"}
CODE: JsonObject = {"type": "code_eval", "code": "def score(output):\n    return 1"}
CHECK: JsonObject = {"type": "contains", "substring": "a"}

PARTS = ("to_test", "to_train", "to_val")

Use = Callable[..., Awaitable[dict[str, JsonValue]]]


async def fill(world: HostileWorld) -> None:
    """Write the injections into every place of a new project, by the tools of an assistant."""
    catalogue = installed_catalogue()
    async with catalogue.open_workspace(world.settings) as workspace:

        async def use(tool: str, **arguments: JsonValue) -> dict[str, JsonValue]:
            return plain(await catalogue.find(tool).invoke(workspace, arguments))

        await _write_records(world, use)
        await _share(world, workspace)
        project = str(world.project)
        runs = _runs_of(world)
        spare: JsonValue = [{"input": "To be deleted.", "output": "Yes."}]
        await use("add_data", project=project, task="Support", items=spare)
        [new] = _runs_of(world) - runs
        await use("delete_records", project=project, kind="run", records=[new])
        labels: list[JsonValue] = [
            {"item": run, "label": "pass"} for run in _runs_of(world, "golden_right")
        ]
        await use("label_items", project=project, eval="Right", labels=labels, rater="bob")
        batch = await use(
            "draw_items_to_label",
            project=project,
            eval="Checked",
            count=5,
            purpose="certificate",
        )
        await use("check_judge", project=project, eval="Checked", show="certificate")
    world.runs = tuple(sorted(runs))
    _copy_as_a_drive_does(world)
    world.ids = ids_below(world.project)
    drawn = LabellingBatch.model_validate(batch).items
    items = [item.item for item in drawn]
    world.tools = working_arguments(world, items)


def _copy_as_a_drive_does(world: HostileWorld) -> None:
    """Leave a conflict copy beside the first run."""
    run = next(world.project.rglob(f"{world.runs[0]}*/task_run.kiln"))
    copy = run.with_name("task_run (1).kiln")
    copy.write_bytes(run.read_bytes())
    world.copy = copy.relative_to(world.project).as_posix()


def _runs_of(world: HostileWorld, tag: str = "") -> set[str]:
    """Return the ids of the runs in the project, with a tag if one is given."""
    return {
        str(record["id"])
        for record in records_below(world.project)
        if record["model_type"] == "task_run" and (not tag or tag in str(record["tags"]))
    }


async def _write_records(world: HostileWorld, use: Use) -> None:
    project = str(world.project)
    [name] = world.texts("project_name")
    await use("create_project", name=name, folder=project)
    for title, text in zip(("Support", "Other"), world.texts("task_instruction"), strict=True):
        await use("create_project", project=project, task=title, instruction=text)
    outputs, tags = world.texts("output", "tool_result"), world.texts("tag")
    items: list[JsonValue] = [
        {
            "input": text,
            "output": f"{number}. {outputs[number % len(outputs)]}",
            "tags": [
                "for_models" if number % len(PARTS) == 1 else "golden_right",
                PARTS[number % len(PARTS)],
                tags[number % len(tags)].replace(" ", "_"),
            ],
        }
        for number, text in enumerate(world.texts("input", "document"))
    ]
    await use("add_data", project=project, task="Support", items=items)
    filters: dict[str, JsonValue] = {
        "test_filter": "tag::to_test",
        "train_filter": "tag::to_train",
        "val_filter": "tag::to_val",
        "golden_filter": "tag::golden_right",
    }
    for title, evaluator in (("Right", JUDGE), ("Free", FREE_JUDGE), ("Checked", CHECK)):
        new: JsonValue = {"task": "Support", **filters}
        await use("create_evaluator", project=project, eval=title, **evaluator, **new)
    names = ("Start", *world.texts("run_config_name"), "Free", "Twin")
    for number, title in enumerate(names):
        prompts = world.texts("prompt_text")
        config: JsonObject = {
            "name": title,
            "model": "paid/m" if title not in {"Free", "Twin"} else "free/m",
            "prompt": prompts[0 if title == "Twin" else number % len(prompts)],
        }
        await use("create_run_config", project=project, task="Support", **config)
    await use("split_data", project=project, task="Support", name="all")
    await use("split_data", project=project, task="Support", name="all", freeze="frozen")
    names = (*world.texts("spec_name"), "Tone 2", "Tone 3")
    for title, text in zip(names, world.texts("spec_text"), strict=True):
        draft: JsonObject = {
            "kind": "desired_behaviour",
            "name": title[:32],
            "fields": {"desired_behaviour_description": text},
        }
        wish = text.partition("\n")[0]
        about: JsonObject = {"project": project, "task": "Support", "wish": wish}
        await use("build_spec", **about, **draft, save=True, model="free/m")


async def _share(world: HostileWorld, workspace: Workspace) -> None:
    """Share the project with a repository of its own, and leave a change that is not sent."""
    store = await workspace.open_project(str(world.project))
    await Sharing(store).share(str(world.root / "shared.git"))
    await Sharing(store).sync()


def working_arguments(world: HostileWorld, drawn: list[str]) -> dict[str, list[JsonObject]]:
    """Return arguments of every tool that would get through if a person agreed.

    Args:
        world: The world, with its project.
        drawn: Items that were drawn to be labelled for a certificate.
    """
    project: JsonObject = {"project": str(world.project)}
    support: JsonObject = {**project, "task": "Support"}
    outside, run = str(world.outside), world.runs[0]
    labels: JsonValue = [{"item": item, "label": "pass"} for item in drawn]
    hook = str(world.project / ".git" / "hooks" / "post-commit.jsonl")
    files = (world.home / "certificates").glob("*.json")
    certificate = {"file": str(next(files, world.home / "none.json"))}
    return {
        "create_project": [
            {"name": "Made", "folder": str(world.root / "made")},
            {**project, "task": "New", "instruction": "Answer."},
            {"copy_from": world.address, "folder": f"{outside}/evil"},
        ],
        "change_task": [{**support, "instruction": "Answer in verse."}],
        "settle_copy": [{**project, "path": world.copy, "choice": "discard"}],
        "describe_project": [project],
        "find": [
            support,
            *({**project, "kind": kind} for kind in ("spec", "prompt", "eval", "task", "trash")),
        ],
        "read": [
            *({**project, "record": run} for run in world.runs),
            {**project, "kind": "task", "record": "Support"},
            {**project, "kind": "eval", "record": "Right"},
        ],
        "mark_runs": [
            {**project, "runs": [run], "stars": 5},
            {**project, "runs": [run], "add_tags": ["seen"]},
            {**project, "runs": [run], "output": "Yes.", "reason": "Better."},
        ],
        "export": [
            {**support, "file": f"{outside}/copy.jsonl"},
            {**support, "file": str(world.home / "policy.json")},
            {**support, "file": hook},
            {**project, "kind": "project", "file": f"{outside}/all.zip"},
            {
                **support,
                "kind": "training_data",
                "split": "frozen",
                "format": "openai_chat_jsonl",
                "file": f"{outside}/training",
            },
        ],
        "delete_records": [{**project, "kind": "task", "records": ["Support"]}],
        "restore": [{**project, "key": "x"}],
        "empty_trash": [project],
        "sync_project": [project, {**project, "remote": world.address}],
        "decide_conflict": [{**project, "conflict": "x", "choice": 1}],
        "show_history": [project],
        "undo_change": [{**project, "change": "unsynced"}],
        "build_spec": [
            {**support, "wish": "Be polite.", "model": "paid/m"},
            {**support, "spec": "Tone 3", "model": "paid/m"},
            {
                **support,
                "spec": "Tone 3",
                "model": "paid/m",
                "answers": [{"question": "How polite?", "answer": "Very."}],
            },
        ],
        "add_data": [
            {**support, "file": f"{outside}/copy.jsonl"},
            {**support, "items": [{"input": "one", "output": "two"}]},
        ],
        "generate_data": [{**support, "count": 5, "run_config": "Start"}],
        "report_data": [support],
        "train_model": [
            {**support, "split": "frozen", "provider": "openai", "base_model": "gpt-4.1-mini"}
        ],
        "distil_model": [
            {
                **project,
                "teacher": "Start",
                "eval": "Right",
                "provider": "openai",
                "base_model": "gpt-4.1-mini",
            }
        ],
        "sweep_trainings": [
            {
                **project,
                "split": "frozen",
                "eval": "Right",
                "provider": "openai",
                "base_models": ["gpt-4.1-mini"],
                "compare": ["Start"],
                "despite_faults": True,
            }
        ],
        "split_data": [{**support, "name": "all"}, {**support, "name": "all", "freeze": "again"}],
        "create_run_config": [
            {**support, "name": "More", "model": "paid/m"},
            {**support, "name": "Own", "program": f"command: touch {outside}/touched"},
        ],
        "create_evaluator": [
            {**project, "eval": "Right", **JUDGE},
            {**project, "eval": "Right", **CODE},
        ],
        "run_eval": [
            {**project, "eval": "Right", "run_configs": ["Start"]},
            {**project, "eval": "Right", "run_configs": ["Start"], "wait_s": 0},
            {**project, "eval": "Free", "run_configs": ["Free"], "most_items": 8},
        ],
        "show_results": [
            {**project, "eval": "Right"},
            {**project, "eval": "Free", "items": "all", "limit": 20},
            {**project, "eval": "Free", "compare": ["Start", "Free"]},
        ],
        "draw_items_to_label": [{**project, "eval": "Right", "purpose": "certificate"}],
        "label_items": [{**project, "eval": "Checked", "labels": labels, "rater": "ann"}],
        "check_judge": [
            {**project, "eval": "Right"},
            {**project, "eval": "Right", "panel": 3},
            {**project, "eval": "Right", "target": 0.5},
        ],
        "verify_certificate": [
            {**certificate, **project},
            {**certificate, "page": f"{outside}/trust.html"},
            {**certificate, "page": str(world.home / "certificate.html")},
        ],
        "improve_judge": [{**project, "eval": "Right", "model": "paid/m", "max_calls": 8}],
        "improve_prompt": [{**project, "eval": "Right", "start": "Start", "max_calls": 16}],
        "improve_prompt_for_models": [
            {**project, "eval": "Right", "starts": ["Start", "Twin"], "max_calls": 32}
        ],
        "show_prompt_search": [{**project, "eval": "Right"}],
        "explain_prompt": [{**project, "eval": "Right", "run_config": "Start", "max_calls": 16}],
        "check_job": [{"job": "x", "seconds": 0}, {}],
        "stop_job": [{"job": "x"}],
        "resume_job": [{"job": "x", "limit_usd": 1000}],
        "list_models": [{}],
        "test_model": [{"model": "paid/m"}],
        "answer_work_orders": [{"answers": [{"id": "x", "answer": "y"}]}],
    }
