"""Read argument schemas by name from stdin, and write one line for each that a library refuses.

Runs in a Python of its own that has openai-agents and google-genai: their dependencies and ours
cannot be installed together.
"""

import json
import sys

from agents.strict_schema import ensure_strict_json_schema
from google.genai import types


def main() -> None:
    """Convert each schema as the two libraries do before a request."""
    for name, schema in json.load(sys.stdin).items():
        try:
            source = types.JSONSchema.model_validate(schema)
            types.Schema.from_json_schema(json_schema=source, api_option="GEMINI_API")
            ensure_strict_json_schema(schema)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            sys.stdout.write(f"{name}: {type(error).__name__}: {error}\n")


if __name__ == "__main__":
    main()
