"""How an error ends a job: with the sentence of one error alone."""

from kiln_mcp.errors import disk_sentence, unwrap
from kiln_mcp.jobs.job_records import End, JobState, Stop
from kiln_mcp.llm.errors import BudgetSpent
from storage.errors import WorkbenchError


def end_of(error: Exception) -> End:
    """Return the end of a job that an error stopped; the error may be a group."""
    match unwrap(error):
        case BudgetSpent() as limit:
            return End(JobState.STOPPED, error=str(limit), stop=Stop(limit.kind, limit.minimum))
        case WorkbenchError() as refusal:
            return End(JobState.FAILED, error=str(refusal))
        case OSError() as system_error:
            return End(JobState.FAILED, error=disk_sentence(system_error))
        case other:
            sentence = f"It broke: {type(other).__name__}: {other}"
            return End(JobState.FAILED, error=sentence)
