"""Whether a judge has a certificate of its agreement with people."""

from typing import Final

from storage import EvalConfig, ProjectStore

CERTIFICATES: Final = "kiln_mcp_certificates.jsonl"
"""Beside an evaluator: its signed certificates."""


async def has_certificate(store: ProjectStore, evaluator: EvalConfig) -> bool:
    """Return whether a certificate lies beside an evaluator, valid or not."""
    return bool(await store.side_lines(evaluator, CERTIFICATES))
