"""Rows: runs of evals, outputs by a model, and tables of results."""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import projects
from place import LIMIT_S, Door, Figures, door, warm

WARM: Final = Path(__file__).with_name("warm.py")


def project(place: Door, items: int, *, verdicts: bool) -> None:
    asyncio.run(projects.measured_project(place.project, place.home, items, verdicts=verdicts))


def eval_call(place: Door, evaluator: str, *configs: str) -> list[str]:
    named = [part for config in configs for part in ("--run-configs", config)]
    return [
        *("run-eval", "--project", str(place.project), "--eval", "Polite", "--yes"),
        *("--evaluators", evaluator, *named),
    ]


def run_eval(concurrency: int) -> Figures:
    """1,000 stored outputs, an LLM judge; an equal judge, from the response cache; another judge.

    The first is the first job of its daemon, the last one is not.
    """
    with door(concurrency=concurrency) as place:
        project(place, 1000, verdicts=False)
        warm(place)
        paid = place.measured(*eval_call(place, "judge", "A"))
        report = place.ask_server("report")
        assert report["calls"] == 1000, report
        place.ask_server("forget")
        cached = place.measured(*eval_call(place, "same judge", "A"))
        assert place.ask_server("report")["calls"] == 0
        again = place.measured(*eval_call(place, "other judge", "A"))
        warm_report = place.ask_server("report")
        assert warm_report["calls"] == 1000
        return {
            "calls_span_s": report["span_s"],
            "most_in_flight": report["most_open"],
            "wall_s": paid["wall_s"],
            "cpu_ms_an_item": paid["cpu_s"],
            "daemon_mib": place.daemon_peak_mib(),
            "from_cache_wall_s": cached["wall_s"],
            "from_cache_cpu_ms_an_item": cached["cpu_s"],
            "warm_calls_span_s": warm_report["span_s"],
            "warm_wall_s": again["wall_s"],
            "warm_cpu_ms_an_item": again["cpu_s"],
        }


def nothing_to_do(items: int, *, compares: bool = False) -> Figures:
    """An eval whose verdicts are all there; also the comparison of its run configs."""
    with door() as place:
        project(place, items, verdicts=True)
        warm(place)
        place.run(*eval_call(place, "check"))
        took = place.measured(*eval_call(place, "check"))
        took["daemon_mib"] = place.daemon_peak_mib()
        if compares:
            compared = place.measured(
                *("show-results", "--project", str(place.project), "--eval", "Polite"),
                *("--compare", "A", "--compare", "B", "--evaluator", "check"),
            )
            took |= {f"compare_{name}": value for name, value in compared.items()}
        return took


def generate_and_check() -> Figures:
    with door(concurrency=100, answer="thank you") as place:

        async def make() -> None:
            from storage import Project, ProjectStore

            async with await ProjectStore.create(
                place.project, Project(name="Doors"), home=place.home
            ) as store:
                task, _ = await projects.task_with_items(store, 1000, projects.TAG)
                parent = await projects.eval_of(store, task)
                await projects.evaluator(store, parent, "check", projects.CHECK)
                for name, temperature in (("A", 0.0), ("B", 0.5)):  # B's calls are others
                    await projects.run_config(store, task, name, temperature)

        asyncio.run(make())
        warm(place)
        figures: Figures = {}
        for prefix, config in (("", "A"), ("warm_", "B")):
            place.ask_server("forget")
            took = place.measured(*eval_call(place, "check", config))
            assert place.ask_server("report")["calls"] == 1000
            figures[f"{prefix}wall_s"] = took["wall_s"]
            figures[f"{prefix}cpu_ms_an_item"] = took["cpu_s"]
        return figures


def generate_data(items: int) -> Figures:
    """Outputs for inputs of the caller, by a server that allows 100 at once."""
    with door(concurrency=100, answer="thank you") as place:

        async def make() -> None:
            from storage import Project, ProjectStore

            async with await ProjectStore.create(
                place.project, Project(name="Doors"), home=place.home
            ) as store:
                task, _ = await projects.task_with_items(store, 1)
                await projects.run_config(store, task, "A")

        asyncio.run(make())
        warm(place)
        inputs = json.dumps(
            [f"Where is parcel {number}? Call {number}." for number in range(items)]
        )
        call = ["generate-data", "--project", str(place.project), "--inputs", inputs, "--yes"]
        took = place.measured(*call)
        report = place.ask_server("report")
        assert report["calls"] == items
        return {
            "calls_span_s": report["span_s"],
            "most_in_flight": report["most_open"],
            "wall_s": took["wall_s"],
            "cpu_ms_an_item": took["cpu_s"] / items * 1000,
        }


def inside(items: int) -> Figures:
    """Capabilities inside one warm process, as the daemon calls them: see `warm.py`."""
    done = subprocess.run(
        [sys.executable, str(WARM), "--items", str(items)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    figures: Figures = {}
    for tool, values in re.findall(r"^(\w+): (.*)$", done.stdout, re.MULTILINE):
        for name, value in re.findall(r"(\w+) ([\d.]+)", values):
            figures[f"{tool}_{name}"] = float(value)
    return figures


def writers() -> Figures:
    """16 tasks of one process save 1,000 verdicts."""

    async def work(folder: Path) -> Figures:
        from storage import EvalRun, Project, ProjectStore

        async with await ProjectStore.create(
            folder / "p", Project(name="P"), home=folder / "home"
        ) as store:
            task, runs = await projects.task_with_items(store, 1)
            parent = await projects.eval_of(store, task)
            judge = await projects.evaluator(store, parent, "check", projects.CHECK)
            await store.counts(task)
            waits: list[float] = []
            todo = iter(range(1000))

            async def save() -> None:
                for number in todo:
                    verdict = EvalRun(
                        dataset_id=str(number),
                        task_run_config_id="1" * 12,
                        scored_run_id=runs[0].id,
                        scores={"polite": 1.0},
                    )
                    began = time.perf_counter()
                    await store.save(verdict, parent=judge)
                    waits.append(time.perf_counter() - began)

            cpu = time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(16):
                    group.create_task(save())
            cpu = time.process_time() - cpu
        waits.sort()
        return {"p50_ms": waits[500] * 1e3, "p99_ms": waits[990] * 1e3, "cpu_ms_a_save": cpu}

    with tempfile.TemporaryDirectory(prefix="doors-") as folder:
        return asyncio.run(work(Path(folder)))
