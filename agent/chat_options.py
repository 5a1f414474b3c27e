"""The command line and the environment as the options of a conversation."""

import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace

from agent.chat_history import Secrets
from agent.chat_setup import ChatOptions
from agent.commands.talk import model_name
from agent.model import api_base_server
from agent.modes import AutoLimits, Mode
from agent.program import ATTEMPTS, Line
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.settings import Settings


def chat_options(line: Line, environment: Mapping[str, str]) -> ChatOptions:
    """Return the options of a conversation.

    Raises:
        Refusal: The address of --api-base is none.
    """
    _set_up_reports(environment)
    settings = Settings.from_environment(environment)
    address = line["api_base"]
    engine = replace(
        settings.engine,
        servers=(api_base_server(address, environment),) if address else (),
        attempts=ATTEMPTS,
        shared_database_url=settings.shared_database_url,
    )
    return ChatOptions(
        home=settings.home,
        engine=engine,
        secrets=Secrets(dict(environment)),
        model=model_name(line["model"] or "", bool(address)),
        limit=BudgetLimit(cost_usd=line["budget"]),
        resume=line["resume"],
        command=line["server"],
        mode=Mode(line["mode"]),
        auto_limits=AutoLimits(cost_usd=line["budget"] or 0.0),
    )


def _set_up_reports(environment: Mapping[str, str]) -> None:
    logging.basicConfig(stream=sys.stderr, level=environment.get("KILN_MCP_LOG", "ERROR").upper())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # no reader can act on the warnings of libraries
