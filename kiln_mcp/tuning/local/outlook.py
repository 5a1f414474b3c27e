"""What is known of a training before it starts: tokens, memory, time, and what would be learnt."""

from pydantic import BaseModel, ConfigDict


class Outlook(BaseModel):
    """What the process that trains says beforehand.

    Attributes:
        refusal: Why it cannot be trained; "" if it can.
        device: Where it is computed.
        parameters: Of the base.
        new_parameters: Of the adapter.
        tokens: Of all examples, by the base's tokenizer.
        learnt_tokens: Those that count in the loss.
        longest: Tokens of the longest example.
        needed_bytes: Memory that the training takes at most, about.
        free_bytes: Memory that is free; None if not known.
        seconds: That the training takes, about.
        excerpts: The first examples, with what is learnt in ⟦ ⟧.
        learning_rate: What is used.
    """

    model_config = ConfigDict(frozen=True)

    refusal: str = ""
    device: str = ""
    parameters: int = 0
    new_parameters: int = 0
    tokens: int = 0
    learnt_tokens: int = 0
    longest: int = 0
    needed_bytes: int = 0
    free_bytes: int | None = None
    seconds: float = 0.0
    excerpts: tuple[str, ...] = ()
    learning_rate: float = 0.0

    @property
    def sentence(self) -> str:
        """What a person reads of it in a plan; "" if nothing is known."""
        if not self.device:
            return ""
        free = (
            "" if self.free_bytes is None else f" of {self.free_bytes / 1e9:.1f} GB that are free"
        )
        return (
            f"On {self.device}: {self.parameters:,} weights, "
            f"{self.new_parameters:,} new ones; {self.tokens:,} tokens, of which "
            f"{self.learnt_tokens:,} are learnt; about {duration(self.seconds)} and "
            f"{self.needed_bytes / 1e9:.1f} GB{free}."
        )


def duration(seconds: float) -> str:
    """Return a length of time in words."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
