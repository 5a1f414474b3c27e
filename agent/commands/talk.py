"""Commands about the model, the mode, the cost and the session itself."""

from typing import TYPE_CHECKING, Final

from agent.commands.table import COMMANDS, help_text
from agent.model import API_BASE
from agent.modes import AutoLimits, Mode
from kiln_mcp.llm import Expense, Spending
from storage.errors import Refusal

if TYPE_CHECKING:
    from agent.session import Session

_MODES: Final = {
    Mode.ASK: "Reading is free, writing is shown, all else is asked about.",
    Mode.AUTO: "What is within the limits is done without a question; destroying never is.",
    Mode.PLAN: "Only reading: nothing is changed, spent or sent.",
}


async def change_model(session: "Session", words: str) -> None:
    """Change the model; without a name, show it."""
    model = session.conversation.model
    if not words:
        session.front.say(model.name or "none")
        return
    session.conversation.model = model.with_name(model_name(words, session.has_api_base))
    session.front.view.status.model = session.conversation.model.name
    session.front.say(f"The model is now {session.conversation.model.name}.")


async def change_mode(session: "Session", words: str) -> None:
    """Change the mode, for example `auto 2` for at most 2 dollars; without a name, show it."""
    name, _, limit = words.partition(" ")
    approvals = session.chat.approvals
    if not name:
        session.front.say(f"{approvals.mode}: {_MODES[approvals.mode]}")
        return
    if name not in set(Mode):
        raise Refusal("There is no mode '{name}'. Modes: {names}.", name=name, names=list(Mode))
    limits = AutoLimits(cost_usd=_dollars(limit)) if limit else None
    approvals.set_mode(Mode(name), limits)
    session.front.view.status.mode = approvals.mode
    words = f" Up to ${approvals.limits.cost_usd:.2f}." if approvals.mode is Mode.AUTO else ""
    session.front.say(f"{approvals.mode}: {_MODES[approvals.mode]}{words}")


async def show_cost(session: "Session", words: str) -> None:
    """Show what the model calls of this chat cost, model by model."""
    del words  # it takes none
    model = session.conversation.model
    session.front.say(_cost_sentence(model.budget.expense))
    for spending in await model.engine.spending(f"{model.budget.name}/*"):
        session.front.say(_spending_line(spending))


async def show_help(session: "Session", words: str) -> None:
    """Show all commands, or one."""
    command_name = f"/{words.lstrip('/')}" if words else ""
    for command in COMMANDS:
        if command.name == command_name:
            session.front.say(f"{command.name} {command.arguments}: {command.help}")
            return
    session.front.say(help_text())


async def quit(session: "Session", words: str) -> None:
    """End the session."""
    del words  # it takes none
    session.end()


def model_name(name: str, has_api_base: bool) -> str:
    """Return the engine's name for a model that the person named."""
    is_own = has_api_base and name and not name.startswith(f"{API_BASE}/")
    return f"{API_BASE}/{name}" if is_own else name


def _dollars(text: str) -> float:
    try:
        dollars = float(text.strip().lstrip("$"))
    except ValueError:
        dollars = -1.0
    if not 0 <= dollars < 1e9:
        raise Refusal("'{text}' is no sum in US dollars. Write one such as 2.50.", text=text)
    return dollars


def _cost_sentence(expense: Expense) -> str:
    sentence = f"{expense.calls} calls, {expense.tokens:,} tokens, ${expense.cost_usd:.4f}"
    if expense.unpriced_calls:
        sentence += f" without {expense.unpriced_calls} calls, whose price is not known"
    return f"{sentence}."


def _spending_line(spending: Spending) -> str:
    """Return what one model took: tokens read, those of them that its provider had cached."""
    usage = spending.usage
    cached = f" ({usage.cached_tokens:,} from the provider's cache)" if usage.cached_tokens else ""
    is_priced = spending.unpriced_calls < usage.calls
    cost = f"${usage.cost_usd or 0:.4f}" if is_priced else "price not known"
    return (
        f"  {spending.model}: {usage.input_tokens:,} tokens read{cached}, "
        f"{usage.output_tokens:,} written, {cost}"
    )
