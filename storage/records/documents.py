"""Documents and what retrieval needs. They are carried, listed, moved and deleted."""

import re
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from pydantic import Field, JsonValue, PrivateAttr, field_validator

from storage.records.record import Name, Part, Record, new_id

_ENDING = re.compile(r"\.[A-Za-z0-9]{1,15}")


class Attachment(Part):
    """A file beside its record, by a path within the record's folder.

    `Attachment.of_file(file)` stands for a file elsewhere, which saving the record copies in.
    """

    path: str

    _source: Path | None = PrivateAttr(default=None)

    @classmethod
    def of_file(cls, file: Path) -> Self:
        """Return an attachment that is a copy of a file, once its record is saved."""
        ending = file.suffix if _ENDING.fullmatch(file.suffix) else ""
        attachment = cls(path=f"attachment_{new_id()}{ending}")
        attachment._source = file.absolute()
        return attachment

    @property
    def source(self) -> Path | None:
        """The file to copy; None if it is beside its record already."""
        return self._source

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = PurePosixPath(path.replace("\\", "/")).parts
        drive = len(path) > 1 and path[1] == ":"
        if not parts or parts[0] == "/" or ".." in parts or drive or "\0" in path:
            raise ValueError(f"the file {path!r} does not lie in the record's folder")
        return path


class FileInfo(Part):
    """The original file of a document."""

    filename: str
    size: int
    mime_type: str
    attachment: Attachment


class Document(Record):
    """A document."""

    name: Name
    name_override: str | None = None
    description: str
    original_file: FileInfo
    kind: Literal["document", "image", "video", "audio"]
    tags: tuple[str, ...] = ()
    model_type: Literal["document"] = "document"


class Extraction(Record):
    """The text that was extracted from a document."""

    source: Literal["processed", "passthrough"]
    extractor_config_id: str | None
    output: Attachment
    model_type: Literal["extraction"] = "extraction"


class Chunk(Part):
    """A piece of a text."""

    content: Attachment


class ChunkedDocument(Record):
    """A text in pieces."""

    chunker_config_id: str | None
    chunks: tuple[Chunk, ...]
    model_type: Literal["chunked_document"] = "chunked_document"


class Embedding(Part):
    """A vector."""

    vector: tuple[float, ...]


class ChunkEmbeddings(Record):
    """The vectors of a text's pieces."""

    embedding_config_id: str | None
    embeddings: tuple[Embedding, ...]
    model_type: Literal["chunk_embeddings"] = "chunk_embeddings"


class ExtractorConfig(Record):
    """How text is extracted from documents."""

    name: Name
    is_archived: bool = False
    description: str | None = None
    model_provider_name: str
    model_name: str
    output_format: str = "text/markdown"
    passthrough_mimetypes: tuple[str, ...] = ()
    extractor_type: str
    properties: dict[str, JsonValue]
    model_type: Literal["extractor_config"] = "extractor_config"


class ChunkerConfig(Record):
    """How texts are cut into pieces."""

    name: Name
    description: str | None = None
    chunker_type: str
    properties: dict[str, JsonValue]
    model_type: Literal["chunker_config"] = "chunker_config"


class EmbeddingConfig(Record):
    """How vectors are made."""

    name: Name
    description: str | None = None
    model_provider_name: str
    model_name: str
    properties: dict[str, JsonValue] = Field(default_factory=dict)
    model_type: Literal["embedding_config"] = "embedding_config"


class VectorStoreConfig(Record):
    """How vectors are searched."""

    name: Name
    description: str | None = None
    store_type: str
    properties: dict[str, JsonValue]
    model_type: Literal["vector_store_config"] = "vector_store_config"


class RerankerConfig(Record):
    """How results are put in order."""

    name: Name
    description: str | None = None
    top_n: int = Field(gt=0)
    model_provider_name: str
    model_name: str
    properties: dict[str, JsonValue]
    model_type: Literal["reranker_config"] = "reranker_config"


class RagConfig(Record):
    """A search tool: the configs that it is made of."""

    name: Name
    is_archived: bool = False
    description: str | None = None
    tool_name: str = Field(max_length=64)
    tool_description: str = Field(max_length=128)
    extractor_config_id: str | None
    chunker_config_id: str | None
    embedding_config_id: str | None
    vector_store_config_id: str | None
    reranker_config_id: str | None = None
    tags: tuple[str, ...] | None = None
    model_type: Literal["rag_config"] = "rag_config"
