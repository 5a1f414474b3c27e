"""Which items a new eval takes where its filters are not given: the parts of a dealt split."""

from collections.abc import Mapping

from kiln_mcp.datasets.parts import dealt_splits, tag_of
from kiln_mcp.evals.arguments import NewEval
from kiln_mcp.evals.errors import NoSplit


def with_items(name: str, wanted: NewEval, tags: Mapping[str, int]) -> NewEval:
    """Return a new eval with the filters that it was not given.

    A test filter that is given stands, and so does the eval's own tag where items have it.
    Otherwise the parts of the split of the eval's name, or of the only split, are its items.

    Args:
        name: The eval's name.
        wanted: What was given.
        tags: How many of the task's runs have each tag.

    Raises:
        NoSplit: There is no split, or there are several and none has the eval's name.
    """
    slug = tag_of(name)
    if wanted.test_filter or f"eval_{slug}" in tags:
        return wanted
    splits = dealt_splits(tags)
    chosen = slug if slug in splits else next(iter(splits)) if len(splits) == 1 else None
    alone = sorted(tag for tag in tags if tag.startswith("test_"))
    if chosen is None and f"test_{slug}" not in alone:
        raise NoSplit(name, sorted(splits), alone)
    dealt = {part: f"tag::{part}_{chosen}" for part in splits.get(chosen or "", ())}
    dealt = dealt or {"test": f"tag::test_{slug}"}  # all items were dealt to this part
    return NewEval(
        task=wanted.task,
        scores=wanted.scores,
        test_filter=dealt["test"],
        golden_filter=wanted.golden_filter or dealt.get("golden"),
        train_filter=wanted.train_filter or dealt.get("train"),
        val_filter=wanted.val_filter or dealt.get("val"),
    )
