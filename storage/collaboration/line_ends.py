"""Keep the line ends that files have in the history, so that a change of one line is one line.

Rules such as `eol=lf` make git store other line ends than an older history has. Each file would
change as a whole, in the name of the person who syncs next.
"""

from collections.abc import Mapping, Sequence

from storage.git.git import Git

IndexEntry = tuple[str, str, str]
"""A file in git's index: its mode, the object's id, and the path within the folder."""
_WINDOWS, _UNIX = b"\r\n", b"\n"


def keep_line_ends(git: Git, head: str, index: Mapping[str, str]) -> None:
    """Give the files of an index that is to be committed the line ends that they had.

    Args:
        git: Git in the project's folder.
        head: The branch's commit.
        index: Environment variables that name the index.
    """
    tree = git.text("write-tree", extra=index)
    changes = [change for change in git.changes(head, tree, "--relative") if change.old]
    old_contents = git.blobs([change.old for change in changes])
    windows_texts = [
        (change, old)
        for change, old in zip(changes, old_contents, strict=True)
        if old is not None and _is_windows_text(old)
    ]
    new_contents = git.blobs([change.new for change, _ in windows_texts])
    entries: list[IndexEntry] = []
    for (change, old), new in zip(windows_texts, new_contents, strict=True):
        if new is None or _WINDOWS in new:
            continue
        content = new.replace(_UNIX, _WINDOWS)
        name = change.old or ""
        if content != old:
            name = git.run("hash-object", "-w", "--stdin", stdin=content).strip().decode()
        entries.append((change.mode, name, change.path))
    put_entries(git, entries, index)


def put_entries(git: Git, entries: Sequence[IndexEntry], index: Mapping[str, str]) -> None:
    """Put files into an index."""
    if not entries:
        return
    prefix = git.text("rev-parse", "--show-prefix")  # git takes these paths from its topmost folder
    lines = "".join(f"{mode} {name}\t{prefix}{path}\0" for mode, name, path in entries)
    stdin = lines.encode("utf-8", "surrogateescape")
    git.run("update-index", "-z", "--index-info", extra=index, stdin=stdin)


def _is_windows_text(content: bytes) -> bool:
    return _WINDOWS in content and content.count(_UNIX) == content.count(_WINDOWS)
