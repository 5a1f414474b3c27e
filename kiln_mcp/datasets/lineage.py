"""Names under which a generated item keeps what it was made from and for.

The first ones are properties of the source of an input, the others of that of an output.
"""

from typing import Final

CLAUSE: Final = "clause"
"""The clause of the spec that the input is about."""
AIM: Final = "aim"
"""The outcome that the input is meant to provoke."""
PERSONA: Final = "persona"
GOAL: Final = "goal"
"""What the simulated user of a conversation wanted."""
GIVES_UP: Final = "gives_up"
"""When they would give up."""
STOP: Final = "stop"
"""Why their conversation ended: goal, gave_up or turns."""
LABEL: Final = "label"
"""The class that the right output is meant to have."""
DOCUMENT: Final = "document"
PASSAGE: Final = "passage"
"""The number of the passage within its document."""
QUOTATION: Final = "quotation"
"""The words of the passage that the right output rests on."""
SEED_EXAMPLE: Final = "seed_example"
"""The run that the input was rewritten from."""
PLAN: Final = "plan"

OUTCOME: Final = "outcome"
"""The outcome of an output that was verified: pass, fail or borderline."""
BROKEN_CLAUSE: Final = "broken_clause"
PAIR_OF: Final = "pair_of"
"""The run whose passing output was edited."""
VERIFICATION: Final = "verification"
"""How an output was verified, as JSON."""

PAIR_TAG: Final = "minimal_pair"
REFERENCE_TAG: Final = "reference"
PERSON_TAG: Final = "needs_person"
"""The tag of items whose verification came to no result."""
PASSING_OUTPUT: Final = "passing_output"
"""The output that was edited."""
