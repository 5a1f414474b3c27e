"""A workbench of which nobody knows a name."""


class NoPlaces:
    """Knows no names that the menus of the embedded model could offer."""

    async def names(self, kind: str, project: str) -> None:
        del kind, project
