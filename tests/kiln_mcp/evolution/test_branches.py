"""A search that goes on from a candidate of an earlier one."""

import json
from pathlib import Path

import anyio
import pytest

from search_bench import by_instruction, edits_of_no_block, open_search_bench
from storage.errors import InvalidValue


async def test_a_search_goes_on_from_any_candidate_and_is_measured_against_the_start(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        first = await bench.evolve(max_calls=120, reflect_with="editor")
        text = await anyio.Path(first.search_log).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        (best,) = [line["candidate"] for line in lines if line.get("accepted")]
        asked = len(bench.model.requests)
        second = await bench.evolve(max_calls=40, reflect_with="editor", goals=[f"from {best}"])
        assert second.winner_prompt == first.winner_prompt
        assert second.start_prompt == first.start_prompt
        assert (second.comparison[0].first, second.comparison[0].second) == (0.0, 1.0)
        assert second.races == 0 or second.race_wins == []
        # What an earlier search has asked is not paid again, and held-out items answer alike.
        assert second.held_out_runs == 1
        assert len(bench.model.requests) - asked <= second.search_calls + 8


async def test_a_candidate_that_no_search_has_is_refused_with_those_that_there_are(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_instruction, editor=edits_of_no_block) as bench:
        with pytest.raises(InvalidValue, match=r"'abc': there are none"):
            await bench.evolve(goals=["from abc"])
        assert bench.model.requests == []
