"""Errors about models. Each says what happened and what to do next.

A class exists only if somebody catches it. All other failures are a `ModelError` with a sentence
that is written beside the code that refuses.

    storage.errors.Refusal
    └── ModelError                everything about models
        ├── UnknownModel          no model has this name
        ├── KeyProblem            the key is missing, or the provider does not accept it
        │   └── MissingKey        the key, or a setting beside it, is not there
        ├── RejectedRequest       the model's server will not answer this request
        │   ├── ContextOverflow   the request is longer than the model can read
        │   └── NoLogprobs        the model gives no logprobs
        ├── DatabaseFailure       a database of calls, work orders or limits cannot be used
        ├── WrongAddress          the address belongs to no model server, or has no model list
        ├── UnknownOrder          no open work order has this id
        ├── BadAnswer             the answer is truncated, refused, empty or unreadable
        └── Unavailable           the failure may pass: worth trying again later
            ├── ServerDown        nothing answers at the server's address
            ├── ServerFailure     the server answered with a failure of its own
            └── TooManyRequests   the server asks to wait
    storage.errors.WorkbenchError
    └── BudgetSpent               the call does not fit into the rest of the budget
"""

from collections.abc import Mapping, Sequence
from typing import Final

from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.llm.durations import duration
from storage.errors import NextStep, Refusal, WorkbenchError
from storage.text.excerpts import excerpt_line
from storage.text.suggestions import close_names


def as_sentence(detail: str) -> str:
    """Return a server's own words as one short sentence."""
    line = excerpt_line(detail)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


KEYRING_SERVICE: Final = "kiln-mcp"
"""What keys are kept under in the system's keyring."""


class ModelError(Refusal):
    """A failure of a model, its server or its configuration.

    Attributes:
        is_unanswered: Whether the request was sent and its outcome is unknown. Its provider may
            have answered it, and may charge for it.
    """

    is_unanswered: bool = False


_TUNED_ADVICE: Final = (
    " It was trained at its provider, and its deployment is gone: deploy it there again, or train "
    "it again on the same frozen split."
)


def _is_tuned_elsewhere(name: str) -> bool:
    """Return whether a name is that of a model which was trained at a hosted provider.

    OpenAI's names begin with `ft:`, Vertex AI's are numbers, and the others have the name of our
    training in them.
    """
    own = name.rpartition("/")[2]
    return own.startswith("ft:") or "kiln-" in own or own.isdecimal()


class UnknownModel(ModelError):
    """No model has this name."""

    def __init__(
        self, name: str, valid_names: Sequence[str], detail: str = "", close: Sequence[str] = ()
    ) -> None:
        """Write the sentence.

        Args:
            name: The requested model.
            valid_names: Valid names.
            detail: The server's own words, if a server was asked.
            close: Further names that may be meant.
        """
        self.name = name
        self.detail = detail
        near = dict.fromkeys([*close_names(name, valid_names), *close])
        matches = [other for other in near if other != name]
        sentence = (
            "The server lists the model {name!r}, and has none of this name when it is asked"
            if name in near
            else "There is no model {name!r}"
        )
        sentence += " ({detail})." if detail else "."
        sentence += _TUNED_ADVICE if detail and _is_tuned_elsewhere(name) else ""
        sentence += " Close names: {matches}." if matches else ""
        sentence += " Valid names: {valid_names}" if valid_names else " Name another one"
        super().__init__(
            f"{sentence}, or a hosted model as provider/model, for example openai/gpt-4.1 or "
            "anthropic/claude-sonnet-4-5.",
            name=name,
            detail=excerpt_line(detail),
            matches=matches,
            valid_names=list(valid_names),
        )


class KeyProblem(ModelError):
    """The key is missing, or the provider does not accept it."""


class MissingKey(KeyProblem):
    """The key, or a setting beside it, is not there.

    Attributes:
        missing: The variables that would hold what is missing.
    """

    def __init__(self, model: str, missing: str, *, needs: str, variable: str) -> None:
        """Write the sentence.

        Args:
            model: The model that needs it.
            missing: The variables that would hold what is missing.
            needs: What is missing.
            variable: The variable that the system's keyring may hold.
        """
        self.missing = missing
        super().__init__(
            "The model {model} needs {needs}. Set {missing} in the environment that your client, "
            "or terminal, starts kiln-mcp with, and start the client again. Or keep it in the "
            "system's keyring (keyring set {service} {variable}). Or use the model 'embedded', "
            "which needs no key.",
            model=model,
            needs=needs,
            missing=missing,
            service=KEYRING_SERVICE,
            variable=variable,
        )


class RejectedRequest(ModelError):
    """The model's server will not answer this request, now or later.

    Attributes:
        detail: The server's own words.
    """

    def __init__(self, model: str, detail: str) -> None:
        self.detail = detail
        super().__init__(
            "The model {model} refuses this request: {detail} Change the request or use another "
            "model.",
            model=model,
            detail=as_sentence(detail),
        )


class NoLogprobs(RejectedRequest):
    """The model gives no logprobs, which the request asks for."""


class ContextOverflow(RejectedRequest):
    """The request is longer than the model can read."""

    def __init__(self, model: str, detail: str) -> None:
        self.detail = detail
        ModelError.__init__(
            self,
            "The model {model} refuses this request: it is longer than the model can read "
            "({detail}). Shorten the input, or use another model.",
            model=model,
            detail=excerpt_line(detail),
        )


class DatabaseFailure(ModelError):
    """A database of calls, work orders or limits cannot be read or written."""

    def __init__(self, sentence: str) -> None:
        """Take the whole sentence.

        Args:
            sentence: As `kiln_mcp.errors.database_sentence` writes it.
        """
        super().__init__(sentence.replace("{", "{{").replace("}", "}}"))


class WrongAddress(ModelError):
    """The address belongs to no model server, or to one without a list of its models.

    Asking again does not help.
    """


class UnknownOrder(ModelError):
    """No open work order has this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(
            "There is no open work order {order_id!r}: it was answered before, or nobody waits for "
            "it any more. Take the work orders that are open now.",
            order_id=order_id,
        )


_BAD_ANSWERS: Final[Mapping[AnswerState, str]] = {
    "unreadable": "The model {model} gave no answer that fits the schema in {attempts} attempts; "
    "the last problem: {problem}. Use a stronger model, or simplify the schema.",
    "truncated": "The answer of {model} is not whole: {problem}. Raise max_tokens, ask for less, "
    "or use another model.",
    "refused": "The model {model} refused to answer: {problem}. Change the input, or use another "
    "model.",
    "empty": "The answer of {model} is empty: {problem}. Try again, or use another model.",
}


class BadAnswer(ModelError):
    """The model's answer cannot be used.

    Attributes:
        state: Why: truncated, refused, empty, or unreadable after corrections.
        problem: The same in more words.
    """

    def __init__(
        self, model: str, problem: str, attempts: int, state: AnswerState = "unreadable"
    ) -> None:
        self.state: Final = state
        self.problem = problem
        super().__init__(
            _BAD_ANSWERS[state],
            model=model,
            attempts=attempts,
            problem=excerpt_line(problem).rstrip("."),
        )


class Unavailable(ModelError):
    """The failure may pass: the request is worth sending again.

    Attributes:
        retry_after_s: Seconds that the server asked to wait; None if it asked for no wait.
    """

    def __init__(
        self,
        sentence: str,
        /,
        *,
        retry_after_s: float | None = None,
        is_unanswered: bool = False,
        next: Sequence[NextStep] = (),
        **values: object,
    ) -> None:
        self.retry_after_s = retry_after_s
        self.is_unanswered = is_unanswered
        super().__init__(sentence, next=next, **values)


class ServerDown(Unavailable):
    """Nothing answers at the server's address, or the connection broke before the answer.

    Attributes:
        detail: What failed, in a few words.
    """

    def __init__(self, model: str, detail: str, *, is_unanswered: bool = False) -> None:
        self.detail = detail
        super().__init__(
            "The server of {model} does not answer: {detail} Check that it is running and that "
            "its address is right, then try again.",
            is_unanswered=is_unanswered,
            model=model,
            detail=as_sentence(detail),
        )


class ServerFailure(Unavailable):
    """The server answered with a failure of its own.

    Attributes:
        detail: The server's own words.
    """

    def __init__(
        self,
        model: str,
        detail: str,
        retry_after_s: float | None = None,
        *,
        is_unanswered: bool = False,
    ) -> None:
        self.detail = detail
        super().__init__(
            "The server of {model} failed: {detail} Try again later or use another model.",
            retry_after_s=retry_after_s,
            is_unanswered=is_unanswered,
            model=model,
            detail=as_sentence(detail),
        )


class TooManyRequests(Unavailable):
    """The server asks to wait."""

    def __init__(self, model: str, detail: str, retry_after_s: float | None = None) -> None:
        wait = " It asks to wait {wait}." if retry_after_s is not None else ""
        super().__init__(
            f"The server of {{model}} answers no more requests for now: {{detail}}{wait} Lower the "
            "concurrency or try again later.",
            retry_after_s=retry_after_s,
            model=model,
            detail=as_sentence(detail),
            wait=duration(retry_after_s or 0.0),
        )


class BudgetSpent(WorkbenchError):
    """The call does not fit into the rest of the budget.

    Not a ModelError, because no model has failed: a job must not count it among its failed items,
    and stops.

    Attributes:
        kind: The limit that is reached, as `BudgetLimit` names it.
        minimum: The lowest limit of this kind with which the call would fit.
    """

    def __init__(self, budget: str, kind: str, balance: str, minimum: float) -> None:
        """Write the sentence.

        Args:
            budget: The budget's name.
            kind: The limit that is reached, as `BudgetLimit` names it.
            balance: What is spent, and of how much.
            minimum: The lowest limit of this kind with which the call would fit.
        """
        self.kind = kind
        self.minimum = minimum
        super().__init__(
            f"The budget of {budget} does not allow another call: {balance}. Finished work is "
            "kept; continue with a higher limit."
        )
