"""The search for better texts, without a project: plain functions and dataclasses.

    from kiln_mcp.evolution.engine import Evaluation, Item, evolve

    async def evaluate(candidate, item): ...   # an Evaluation, or a score from 0 to 1
    async def propose(request): ...            # edits, or the whole text rewritten

    result = await evolve(prompt, train, val, evaluate, propose, budget=1200, seed=0)
    result.best.text, result.stop_reason

Modules: `candidates` and `edits` hold texts as blocks, `race` tells whether an edit is better,
`selection` and `operators` choose what is tried, `tournament` compares sets of examples where
nobody proposes edits, `scheduler` runs pipelines over the decision log.
"""

from kiln_mcp.evolution.engine.anchors import Anchors
from kiln_mcp.evolution.engine.candidates import Block, Candidate
from kiln_mcp.evolution.engine.claim import (
    MOST_REPEATS,
    Claim,
    Measurement,
    Sight,
    claim_of,
    prove,
    sight,
)
from kiln_mcp.evolution.engine.decision_log import DecisionLog, FileLog, MemoryLog
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.evolve import Options, Result, branch, evolve
from kiln_mcp.evolution.engine.forecast import UNKNOWN_NOISE, Forecast, forecast
from kiln_mcp.evolution.engine.models import ModelRow, ModelsResult, evolve_models
from kiln_mcp.evolution.engine.operators import Demonstrations
from kiln_mcp.evolution.engine.standings import Standing
from kiln_mcp.evolution.engine.steps import Answer
from kiln_mcp.evolution.engine.values import Budget, Case, Evaluation, Goal, Item, ProposalRequest

__all__ = [
    "MOST_REPEATS",
    "UNKNOWN_NOISE",
    "Anchors",
    "Answer",
    "Block",
    "BlockEdit",
    "Budget",
    "Candidate",
    "Case",
    "Claim",
    "DecisionLog",
    "Demonstrations",
    "Evaluation",
    "FileLog",
    "Forecast",
    "Goal",
    "Item",
    "Measurement",
    "MemoryLog",
    "ModelRow",
    "ModelsResult",
    "Options",
    "ProposalRequest",
    "Result",
    "Sight",
    "Standing",
    "branch",
    "claim_of",
    "evolve",
    "evolve_models",
    "forecast",
    "prove",
    "sight",
]
