"""What services that train models have in common."""

from abc import ABC, abstractmethod
from http import HTTPStatus

from kiln_mcp.tuning.providers.provider import Draft, Forecast, TrainingStatus
from kiln_mcp.tuning.providers.service_client import ServiceFailure


class HostedTuning(ABC):
    """A service elsewhere: it tells nothing of a training beforehand, and cancels it once."""

    __slots__ = ()

    @abstractmethod
    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far a training is."""

    @abstractmethod
    async def stop(self, training_id: str) -> None:
        """Ask the service to stop a training that has not ended."""

    async def look(self, draft: Draft) -> Forecast:
        """Return nothing: the service says neither price nor time before it trains."""
        return Forecast()

    async def go_on(self, training_id: str) -> None:
        """Do nothing: no service takes up a training that failed."""
        return

    async def cancel(self, training_id: str) -> None:
        """Cancel a training, unless it has ended, also if it ends in this moment.

        Raises:
            ServiceFailure: The service refused, or cannot be reached.
        """
        if (await self.status(training_id)).state.is_final:
            return
        try:
            await self.stop(training_id)
        except ServiceFailure as error:
            if error.status != HTTPStatus.BAD_REQUEST:
                raise
