"""Run by Kiln's own Python: load every record of a project and say what could not be loaded.

Prints one JSON object: counts by kind, and errors. With a second argument it also writes every
record again, by Kiln's library, and a project of its own into that folder.
"""

import json
import sys
from pathlib import Path

from kiln_ai.datamodel import Project

RELATIONS = [
    "tasks",
    "documents",
    "extractor_configs",
    "chunker_configs",
    "embedding_configs",
    "rag_configs",
    "vector_store_configs",
    "external_tool_servers",
    "reranker_configs",
    "skills",
    "code_tools",
    "runs",
    "dataset_splits",
    "finetunes",
    "prompt_optimization_jobs",
    "prompts",
    "evals",
    "eval_inputs",
    "specs",
    "run_configs",
    "data_guides",
    "feedback",
    "claim_reviews",
    "configs",
    "extractions",
    "chunked_documents",
    "chunk_embeddings",
]


def main() -> None:
    counts: dict[str, int] = {}
    errors: list[str] = []
    rewrite = len(sys.argv) > 2

    def visit(model) -> None:
        kind = model.model_dump(mode="json")["model_type"]
        counts[kind] = counts.get(kind, 0) + 1
        for name in RELATIONS:
            if not callable(getattr(model, name, None)):
                continue
            more = {"readonly": False}
            if name == "runs" and kind == "task":
                more |= {"include_eval_generated": True, "include_intermediate_runs": True}
            try:
                children = getattr(model, name)(**more)
            except Exception as error:  # noqa: BLE001 - the report is the point
                errors.append(f"{kind}.{name}: {error!r}")
                continue
            for child in children:
                visit(child)
        if rewrite:
            if kind in ("project", "task"):
                model.description = "from kiln"
            try:
                model.save_to_file()
            except Exception as error:  # noqa: BLE001
                errors.append(f"save {kind}: {error}")

    visit(Project.load_from_file(Path(sys.argv[1]) / "project.kiln"))
    print(json.dumps({"counts": counts, "errors": errors}))


main()
