"""A tree of topics and personas, which a capable model names before a plan is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.synthesis.inputs import Brief, list_schema, list_values
from kiln_mcp.workbench.prompt_templates import PromptPart, load_prompt

_MOST_SHOWN: Final = 40
_LONGEST_TOPIC: Final = 80
_LONGEST_PERSONA: Final = 200


@dataclass(frozen=True, slots=True)
class Namer:
    """Who names topics and personas, and for what.

    Attributes:
        engine: The engine.
        model: The model.
        brief: What inputs are made for.
        existing: How many items the dataset has of each topic.
    """

    engine: Engine
    model: str
    brief: Brief
    existing: Mapping[str, int]

    async def topics(self, levels: int, width: int) -> list[str]:
        """Return the paths of a tree's leaves, each once.

        Every node above the leaves is one call, and those of one level are asked together.

        Raises:
            ModelError: The model gave no usable answer.
        """
        paths = [""]
        for _ in range(levels):
            children: dict[str, list[str]] = {}

            async def divide(path: str, into: dict[str, list[str]] = children) -> None:
                into[path] = await self._children(path, width)

            await for_each(paths, divide, self.engine.width([self.model]))
            paths = [
                f"{path}/{name}" if path else name
                for path in paths
                for name in children.get(path, ())
            ]
        return list(dict.fromkeys(paths))

    async def _children(self, path: str, width: int) -> list[str]:
        topic_lines = [f"- {topic}: {count} items" for topic, count in self.existing.items()]
        prompt = load_prompt("synthesis", "topics")
        parts = prompt.messages(
            count=width,
            task_instruction=self.brief.instruction,
            spec=self.brief.spec_text or "Nothing is said.",
            guidance=self.brief.guidance or "None.",
            existing="\n".join(topic_lines[:_MOST_SHOWN]) or "None.",
            path=path.replace("/", " > ") or "None: these are the first.",
        )
        texts = await self._names("topics", parts, _LONGEST_TOPIC)
        # A path joins its levels by a stroke.
        names = [text.replace("/", " or ") for text in texts]
        return list(dict.fromkeys(names))[:width]

    async def personas(self, count: int) -> list[str]:
        """Return personas, each once, at most `count`.

        Raises:
            ModelError: The model gave no usable answer.
        """
        parts = load_prompt("synthesis", "personas").messages(
            count=count,
            task_instruction=self.brief.instruction,
            guidance=self.brief.guidance or "None.",
            examples="\n".join(f"- {text}" for text in self.brief.examples[:12]) or "None.",
        )
        texts = await self._names("personas", parts, _LONGEST_PERSONA)
        return list(dict.fromkeys(texts))[:count]

    async def _names(self, name: str, parts: Sequence[PromptPart], longest: int) -> list[str]:
        item: JsonValue = {"type": "string", "maxLength": longest}
        request = ModelRequest(
            model=self.model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=list_schema(name, item),
            seed=self.brief.seed,
        )
        answer = await self.engine.complete(request, asker=f"synthesis/{name}")
        texts = [str(text).strip() for text in list_values(answer, name)]
        return [text for text in texts if text]
