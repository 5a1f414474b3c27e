"""Where each kind of record lies: its parent's kind and the folder within the parent's folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from storage import records as r

PROJECT_FILE = "project.kiln"
SCORER_FILE = "scorer.py"
"""The code of a code evaluator, beside its record."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where records of a kind lie.

    Attributes:
        record: The kind's model.
        parents: The kinds of record whose folder may hold them.
        folder: The folder within the parent's folder; "" for the project itself.
    """

    record: type[r.Record]
    parents: tuple[type[r.Record], ...]
    folder: str

    @property
    def file_name(self) -> str:
        """The name of the kind's files."""
        return f"{self.record.type_name()}.kiln"


_PLACES = (
    Place(r.Project, (), ""),
    Place(r.Task, (r.Project,), "tasks"),
    Place(r.Document, (r.Project,), "documents"),
    Place(r.ExtractorConfig, (r.Project,), "extractor_configs"),
    Place(r.ChunkerConfig, (r.Project,), "chunker_configs"),
    Place(r.EmbeddingConfig, (r.Project,), "embedding_configs"),
    Place(r.RagConfig, (r.Project,), "rag_configs"),
    Place(r.VectorStoreConfig, (r.Project,), "vector_store_configs"),
    Place(r.ExternalToolServer, (r.Project,), "external_tool_servers"),
    Place(r.RerankerConfig, (r.Project,), "reranker_configs"),
    Place(r.Skill, (r.Project,), "skills"),
    Place(r.CodeTool, (r.Project,), "code_tools"),
    Place(r.TaskRun, (r.Task,), "runs"),
    Place(r.DatasetSplit, (r.Task,), "dataset_splits"),
    Place(r.Finetune, (r.Task,), "finetunes"),
    Place(r.PromptOptimizationJob, (r.Task,), "prompt_optimization_jobs"),
    Place(r.Prompt, (r.Task,), "prompts"),
    Place(r.Eval, (r.Task,), "evals"),
    Place(r.EvalInput, (r.Task,), "eval_inputs"),
    Place(r.Spec, (r.Task,), "specs"),
    Place(r.TaskRunConfig, (r.Task,), "run_configs"),
    Place(r.DataGuide, (r.Task,), "data_guides"),
    Place(r.Feedback, (r.TaskRun,), "feedback"),
    Place(r.ClaimReview, (r.TaskRun,), "claim_reviews"),
    Place(r.EvalConfig, (r.Eval,), "configs"),
    Place(r.EvalRun, (r.EvalConfig,), "runs"),
    Place(r.Extraction, (r.Document,), "extractions"),
    Place(r.ChunkedDocument, (r.Extraction,), "chunked_documents"),
    Place(r.ChunkEmbeddings, (r.ChunkedDocument,), "chunk_embeddings"),
)

_BY_RECORD = {place.record: place for place in _PLACES}
_BY_NAME = {place.record.type_name(): place for place in _PLACES}
_BY_PARENT = {
    parent.record: tuple(place for place in _PLACES if parent.record in place.parents)
    for parent in _PLACES
}


def place_of(record: type[r.Record]) -> Place:
    """Return where records of a kind lie."""
    return _BY_RECORD[record]


def children_of(record: type[r.Record]) -> tuple[Place, ...]:
    """Return where the records lie whose parent is of this kind."""
    return _BY_PARENT.get(record, ())


def kind_named(type_name: str) -> type[r.Record]:
    """Return the model of a kind by its name, such as "task_run"."""
    return _BY_NAME[type_name].record


def place_named(file_name: str) -> Place | None:
    """Return where records lie whose files are named so; None for no record's file."""
    return _BY_NAME.get(file_name.removesuffix(".kiln")) if file_name.endswith(".kiln") else None


def place_at(folder: PurePosixPath) -> Place | None:
    """Return the kind of record that lies in this folder of a project; None for no such folder."""
    place: Place | None = place_of(r.Project)
    for name in folder.parts[::2]:
        below = children_of(place.record)
        place = next((child for child in below if child.folder == name), None)
        if place is None:
            return None
    return place


def folder_of(path: str) -> PurePosixPath:
    """Return the folder, within the project, of the record in this file."""
    return PurePosixPath(path).parent


def folders_above(path: str) -> Iterator[str]:
    """Yield the folders of a path within the project, the innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def id_in(file: PurePosixPath) -> str:
    """Return the id that the folder of a record's file begins with."""
    return file.parent.name.partition(" - ")[0]
