"""The configured servers; their list may change while a process runs."""

import os
from collections.abc import Mapping
from typing import Final

from kiln_mcp.llm.engine_settings import EngineSettings
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.limits.rate_limiter import RateLimiters
from kiln_mcp.llm.providers.dialects import Dialects
from kiln_mcp.llm.providers.openai_server import ServerModel
from kiln_mcp.llm.providers.server_file import ServerList, list_servers
from kiln_mcp.llm.providers.server_settings import ServerSettings

Stamp = tuple[int, int] | None
NEVER_READ: Final = (-1, -1)


class Servers:
    """The servers of the settings and of the file that they name, by name.

    Attributes:
        problem: Why the file cannot be used; None if it can.
    """

    def __init__(
        self, settings: EngineSettings, rate_limiters: RateLimiters, dialects: Dialects
    ) -> None:
        self.problem: ModelError | None = None
        self._settings = settings
        self._file = None if settings.server_file is None else str(settings.server_file)
        self._rate_limiters = rate_limiters
        self._dialects = dialects
        self._stamp: Stamp = NEVER_READ
        self._models: dict[str, tuple[ServerSettings, ServerModel]] = {}
        self._old_models: list[ServerModel] = []
        self._set(ServerList())

    def refresh(self) -> frozenset[str]:
        """Read the file if it has changed; return the names of changed servers."""
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return frozenset()
        self._stamp = stamp
        file = self._settings.server_file
        previous = {name: settings for name, (settings, _) in self._models.items()}
        self._set(ServerList() if file is None else list_servers(file))
        after = {name: settings for name, (settings, _) in self._models.items()}
        names = previous.keys() | after.keys()
        return frozenset(name for name in names if previous.get(name) != after.get(name))

    def _file_stamp(self) -> Stamp:
        if self._file is None:
            return None
        try:
            stat = os.stat(self._file)  # noqa: PTH116 - several times an item
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def _set(self, server_list: ServerList) -> None:
        self.problem = server_list.problem
        previous = self._models
        self._models = {}
        for settings in (*self._settings.servers, *server_list.servers):
            entry = previous.get(settings.name)
            if entry is None or entry[0] != settings:
                environment, timeout_s = self._settings.environment, self._settings.timeout_s
                model = ServerModel(
                    settings, environment, timeout_s, self._rate_limiters, self._dialects
                )
                entry = settings, model
            self._models[settings.name] = entry
        # Closed only at the end, because they may be in the middle of an answer.
        current = self.by_name.values()
        self._old_models += [model for _, model in previous.values() if model not in current]

    def find(self, name: str) -> ServerModel | None:
        """Return the server of this name; None if there is none."""
        entry = self._models.get(name)
        return None if entry is None else entry[1]

    @property
    def by_name(self) -> Mapping[str, ServerModel]:
        """The servers by their names, in the order of the settings and the file."""
        return {name: model for name, (_, model) in self._models.items()}

    async def close(self) -> None:
        """Close the connections of all of them."""
        for model in (*self._old_models, *self.by_name.values()):
            await model.close()
