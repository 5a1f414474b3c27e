"""What this system does not keep from the programs of evaluators, in words."""

import anyio.to_thread

from storage import CodeEval, EvalConfig
from storage.isolation.protection import protection
from storage.records.workbench_checks import CommandCheck, WorkbenchCheck


async def gaps_in_words() -> str:
    """Return a sentence after a space; "" if code reaches nothing but its folder."""
    warning = (await anyio.to_thread.run_sync(protection)).warning
    return f" {warning}" if warning else ""


async def program_warnings(record: EvalConfig) -> list[str]:
    """Return what to know of an evaluator that is a program; nothing of any other."""
    match record.properties:
        case CodeEval() | WorkbenchCheck(kiln_mcp_check=CommandCheck()):
            pass
        case _:
            return []
    warning = (await anyio.to_thread.run_sync(protection)).warning
    return [warning] if warning else []
