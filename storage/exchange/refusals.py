"""Sentences of refusals that several modules of the exchange share."""

from pathlib import Path

from storage.errors import Refusal


def unusable_table(reason: str) -> Refusal:
    """Return the error for a table that cannot be imported."""
    return Refusal(
        "No row was imported: {reason}. Give a table with a column for inputs and, if there are "
        "any, one for right outputs; a mapping says which they are.",
        reason=reason,
    )


def target_exists(target: Path) -> Refusal:
    """Return the error for a target that would be overwritten."""
    return Refusal(
        "{target} exists already. Nothing has been changed: give a new path.", target=target
    )


def target_inside(target: Path) -> Refusal:
    """Return the error for a target within the project whose data it would hold."""
    return Refusal(
        "{target} lies within the project that it would be made of. Nothing has been written: give "
        "a path outside of the project's folder.",
        target=target,
    )


def not_importable(source: str, reason: str) -> Refusal:
    """Return the error for a source that holds no project that can be imported."""
    return Refusal(
        "Nothing was imported from {source}: {reason}. Give a folder or an archive (zip, tar, "
        "tar.gz, tar.bz2, tar.xz) that holds a project.kiln, or the address of a git repository.",
        source=source,
        reason=reason,
    )


def unsafe_archive(source: str, reason: str) -> Refusal:
    """Return the error for an archive or folder that is not safe to unpack or copy."""
    return Refusal(
        "{source} was not imported: {reason}. A project needs none of this: ask its author for "
        "a clean one.",
        source=source,
        reason=reason,
    )
