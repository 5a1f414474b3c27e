"""What every service that trains models offers, and what it is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from kiln_mcp.tuning.formats import ExportFormat
from storage.errors import InvalidValue

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A setting of training that a provider takes.

    Attributes:
        name: As Kiln and our records name it.
        kind: Of its value.
        low: The lowest number.
        high: The highest number.
        choices: The valid texts; empty for any.
        default: Its value if none is given; None if the provider chooses.
        is_required: Whether it has to be given.
        meaning: What a text without choices is; "" where its name says it.
    """

    name: str
    kind: Literal["integer", "number", "text"]
    low: float = 0
    high: float = 0
    choices: Sequence[str] = ()
    default: Value | None = None
    is_required: bool = False
    meaning: str = ""

    @property
    def range_text(self) -> str:
        """The valid values in words."""
        if self.kind == "text":
            return " or ".join(self.choices) or self.meaning or "a text"
        noun = "an integer" if self.kind == "integer" else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}"

    def value_of(self, value: Value) -> Value:
        """Return a value in its own type.

        Raises:
            InvalidValue: It is not valid.
        """
        if self.kind == "text":
            if isinstance(value, str) and value and (not self.choices or value in self.choices):
                return value
        elif (number := _number(value)) is not None and self.low <= number <= self.high:
            if self.kind == "number":
                return number
            if number == int(number):
                return int(number)
        raise InvalidValue(
            "Nothing was trained: the parameter {name} has to be {range}, and it is {value}.",
            name=self.name,
            range=self.range_text,
            value=f"{value:g}" if isinstance(value, float) else repr(value),
        )


def _number(value: Value) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What a service takes of files, beside their format; None stands for no limit.

    Attributes:
        most_examples: Of what is learnt.
        fewest_validation_examples: Of a validation file, if there is one.
        most_validation_examples: Of the same.
        largest_bytes: Of one file.
        takes_later_system: Whether a system message may stand after the first message.
    """

    most_examples: int | None = None
    fewest_validation_examples: int = 1
    most_validation_examples: int | None = None
    largest_bytes: int | None = None
    takes_later_system: bool = True


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """A training that is asked of a provider.

    Attributes:
        name: Unique; the provider keeps it, so that the training is found again after a kill.
            Lower-case letters, digits and hyphens.
        base_model: What is trained, as the provider names it.
        project: The project's folder; a trainer on this machine leaves the adapter there.
        train_file: JSONL in a format that the provider reads.
        train_examples: How many lines it has.
        validation_file: The same of what it is validated on; None for none.
        validation_examples: How many lines that has.
        parameters: Checked values by name.
        seed: Of whatever is random.
    """

    name: str
    base_model: str
    project: Path
    train_file: Path
    train_examples: int
    validation_file: Path | None
    validation_examples: int
    parameters: Mapping[str, Value]
    seed: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A training that is looked at before a person agrees to it.

    Attributes:
        base_model: What is trained, as the provider names it.
        train: The file to learn from, which goes away with the training's draft.
        parameters: Checked values by name.
        seed: Of whatever is random.
    """

    base_model: str
    train: Path
    parameters: Mapping[str, Value]
    seed: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a provider says of a training before it starts.

    Attributes:
        sentence: Device, memory and time, which change from look to look; "" for nothing.
        learnt: The first examples with what is learnt in ⟦ ⟧; none if it does not tell.
        tokens: Of the examples by the model's own tokenizer; None if not known.
    """

    sentence: str = ""
    learnt: Sequence[str] = ()
    tokens: int | None = None


class TrainingState(StrEnum):
    """The state of a training; the values but the last are Kiln's."""

    UNKNOWN = "unknown"
    """The provider gives a state that we do not know; it is asked again."""
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens."""
        return self in {TrainingState.COMPLETED, TrainingState.FAILED, TrainingState.CANCELLED}


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """How far a training is.

    Attributes:
        state: Its state.
        message: What the provider says of it; "" for nothing.
        model: The trained model as the provider names it; "" while there is none.
        step: Steps done.
        steps: All steps; 0 if the provider does not tell.
    """

    state: TrainingState
    message: str = ""
    model: str = ""
    step: int = 0
    steps: int = 0


class TuningProvider(Protocol):
    """A service that trains models. Its methods raise `ServiceFailure` with a sentence."""

    @property
    def title(self) -> str:
        """Its name for people."""
        ...

    @property
    def address(self) -> str:
        """Where data is sent, as it may be shown."""
        ...

    @property
    def shapes(self) -> Sequence[ExportFormat]:
        """The formats that it reads, the usual one first."""
        ...

    @property
    def fewest_examples(self) -> int:
        """It refuses fewer."""
        ...

    @property
    def limits(self) -> FileLimits:
        """What else it refuses of files."""
        ...

    @property
    def hyperparameters(self) -> Sequence[Hyperparameter]:
        """What can be set."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether it is this machine: nothing is sent, paid or waited for."""
        ...

    async def check(self, base_model: str) -> None:
        """Refuse at once, before anything is sent, what cannot be trained.

        Raises:
            KeyProblem: A key or a setting is missing; the sentence names it.
            Refusal: Something is not installed.
            InvalidValue: There is no such base model on this machine.
        """
        ...

    async def look(self, draft: Draft) -> Forecast:
        """Say what is known of a training; this may take minutes, so no plan waits for it.

        Raises:
            Refusal: This machine cannot train it; the sentence says why.
        """
        ...

    async def upload(self, request: TrainingRequest) -> Mapping[str, str]:
        """Upload the files of a request; again after a kill. Return what `start` needs of them."""
        ...

    async def start(self, request: TrainingRequest, files: Mapping[str, str]) -> str:
        """Start a training and return the provider's id of it."""
        ...

    async def find(self, name: str) -> str | None:
        """Return the provider's id of a training by its request's name; None if there is none."""
        ...

    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far a training is."""
        ...

    async def go_on(self, training_id: str) -> None:
        """Take up a training that failed, where that is possible: what failed it may be mended."""
        ...

    async def cancel(self, training_id: str) -> None:
        """Cancel a training; one that has ended stays as it is."""
        ...

    async def deploy(self, model: str, name: str) -> str:
        """Make a trained model answer; return the engine's name for it. Again is harmless."""
        ...


def check_parameters(
    hyperparameters: Sequence[Hyperparameter], values: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the parameters of a training with their defaults.

    Raises:
        InvalidValue: One is unknown, missing or not valid.
    """
    parameters = {parameter.name: parameter for parameter in hyperparameters}
    for name in values:
        if name not in parameters:
            raise InvalidValue(
                "Nothing was trained: there is no parameter '{name}'. Valid: {valid}.",
                name=name,
                valid=[f"{item.name} ({item.range_text})" for item in hyperparameters],
            )
    settings: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if name in values:
            settings[name] = parameter.value_of(values[name])
        elif parameter.default is not None:
            settings[name] = parameter.default
        elif parameter.is_required:
            raise InvalidValue(
                "Nothing was trained: the parameter {name} is missing; give {range}.",
                name=name,
                range=parameter.range_text,
            )
    return settings
