"""How a job ends that an error stopped: in the words of the error, and of one alone."""

from kiln_mcp.errors import disk_sentence, unwrap
from kiln_mcp.jobs.records import End, JobState, Stop
from kiln_mcp.llm.errors import BudgetSpent
from storage.errors import WorkbenchError


def ended_by(error: Exception) -> End:
    """Return how a job ends because of an error, which may be a group of them."""
    match unwrap(error):
        case BudgetSpent() as spent:
            return End(JobState.STOPPED, error=str(spent), stop=Stop(spent.kind, spent.minimum))
        case WorkbenchError() as ours:
            return End(JobState.FAILED, error=str(ours))
        case OSError() as refused:
            return End(JobState.FAILED, error=disk_sentence(refused))
        case other:
            said = f"It broke: {type(other).__name__}: {other}"
            return End(JobState.FAILED, error=said)
