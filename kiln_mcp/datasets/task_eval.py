"""An eval together with the task that it belongs to."""

from dataclasses import dataclass

from storage import Eval, Task


@dataclass(frozen=True, slots=True)
class TaskEval:
    """An eval with the task that it belongs to."""

    task: Task
    eval_record: Eval

    @property
    def id(self) -> str:
        """Return the eval's id."""
        return self.eval_record.id

    @property
    def name(self) -> str:
        """Return the eval's name."""
        return self.eval_record.name
