"""Models that reason before they answer, told by their names.

Their reasoning counts as output, so an answer needs more room. docs/dialects.md lists the families.
"""

import re
from typing import Final

_FAMILIES: Final = re.compile(
    r"deepseek-?r\d|deepseek-reasoner|\br1\b|r1-distill|qwen-?3|qwq|glm-(?:4\.[5-9]|[5-9])|glm-z1|"
    r"magistral|seed-oss|kimi-k2-thinking|command-a-reasoning|sky-t1|gpt-oss|"
    r"(?:^|[/:])o[1-9](?:-|$)|gpt-[5-9]|gemini-(?:2\.5|[3-9])|grok-(?:3-mini|[4-9])|"
    r"think(?:ing)?\b|reason(?:er|ing)\b",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"non-?(?:think|reason)|instruct-2507|gpt-5[\w.]*-chat", re.IGNORECASE)


def reasons(model: str) -> bool:
    """Return whether a model of this name is known to reason before it answers."""
    return _FAMILIES.search(model) is not None and _PLAIN.search(model) is None
