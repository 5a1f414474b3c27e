"""The one way to ask a model anything.

async with Engine(EngineSettings()) as engine:
    request = ModelRequest("embedded", (Message("user", "Say hello."),))
    answer = await engine.complete(request, asker="docs/example")
"""

from kiln_mcp.llm.answer_states import AnswerState, FinishReason
from kiln_mcp.llm.budget.budget import Budget, BudgetLimit
from kiln_mcp.llm.call_counter import CallCounter
from kiln_mcp.llm.deltas import (
    AnswerRestart,
    AnswerStream,
    Delta,
    ReasoningDelta,
    StreamingModel,
    TextDelta,
    ToolCallDelta,
)
from kiln_mcp.llm.engine import Engine
from kiln_mcp.llm.engine_settings import EngineSettings
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.messages import (
    EMBEDDED,
    Alternative,
    JsonSchema,
    Message,
    Model,
    ModelAnswer,
    ModelRequest,
    Role,
    TokenLogprob,
    Tool,
    ToolCall,
    Usage,
)
from kiln_mcp.llm.providers.embedded import EmbeddedSettings
from kiln_mcp.llm.providers.embedded_download import pull_embedded_model
from kiln_mcp.llm.providers.embedded_parts import check_embedded_model, find_embedded_model
from kiln_mcp.llm.providers.order_batches import MARKER, OrderBatch, WorkOrder
from kiln_mcp.llm.providers.server_settings import ServerSettings
from kiln_mcp.llm.providers.work_orders import HOST, Lease, WorkOrders
from kiln_mcp.llm.response_cache.cache import Spending
from kiln_mcp.llm.response_cache.expense import Expense

__all__ = [
    "EMBEDDED",
    "HOST",
    "MARKER",
    "Alternative",
    "AnswerRestart",
    "AnswerState",
    "AnswerStream",
    "Budget",
    "BudgetLimit",
    "CallCounter",
    "Delta",
    "EmbeddedSettings",
    "Engine",
    "EngineSettings",
    "Expense",
    "FinishReason",
    "JsonSchema",
    "Lease",
    "Message",
    "Model",
    "ModelAnswer",
    "ModelError",
    "ModelRequest",
    "OrderBatch",
    "ReasoningDelta",
    "Role",
    "ServerSettings",
    "Spending",
    "StreamingModel",
    "TextDelta",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "WorkOrder",
    "WorkOrders",
    "check_embedded_model",
    "find_embedded_model",
    "pull_embedded_model",
]
