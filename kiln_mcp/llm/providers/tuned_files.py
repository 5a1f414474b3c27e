"""The models that were tuned on this machine: their list in the home, and what each is made of."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, cast

from kiln_mcp.home import write_private
from kiln_mcp.llm.errors import ModelError

PREFIX: Final = "tuned/"
"""How the names of tuned models begin."""
Runtime = Literal["llama.cpp", "transformers"]


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A tuned model.

    Attributes:
        name: What to write as the model.
        adapter: The folder of its adapter.
        base: The GGUF file or the Hugging Face folder that the adapter lies over.
        base_title: What the person named the base.
        runtime: What runs it.
    """

    name: str
    adapter: str
    base: str
    base_title: str
    runtime: Runtime

    @property
    def adapter_file(self) -> Path:
        """The file that the runtime reads."""
        name = "adapter.gguf" if self.runtime == "llama.cpp" else "adapter_model.safetensors"
        return Path(self.adapter, name)

    def check(self) -> None:
        """Refuse a model that cannot run.

        Raises:
            ModelError: Its adapter or its base is gone.
        """
        for file in (self.adapter_file, Path(self.base)):
            if not file.exists():
                raise ModelError(
                    "The tuned model {name} cannot run: {file} is not there. Put it back, or train "
                    "the model again.",
                    name=self.name,
                    file=str(file),
                )

    @property
    def identity(self) -> str:
        """What its answers depend on beside the request."""
        file = self.adapter_file
        try:
            status = file.stat()
        except OSError:
            return self.name
        return f"{self.name} {status.st_size} {status.st_mtime_ns}"


def read_tuned_models(file: Path | None) -> dict[str, TunedModel]:
    """Return the tuned models by name; none if the list is missing or damaged."""
    if file is None:
        return {}
    try:
        rows = cast("list[dict[str, str]]", json.loads(file.read_bytes()))
        models = [
            TunedModel(
                str(row["name"]),
                str(row["adapter"]),
                str(row["base"]),
                str(row["base_title"]),
                "llama.cpp" if row["runtime"] == "llama.cpp" else "transformers",
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {model.name: model for model in models}


def add_tuned_model(file: Path, model: TunedModel) -> None:
    """Add a model to the list, or replace the one of its name.

    Raises:
        OSError: The disk refused.
    """
    models = read_tuned_models(file) | {model.name: model}
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(entry) for entry in models.values()]
    write_private(file, json.dumps(rows, ensure_ascii=False, indent=1).encode())
