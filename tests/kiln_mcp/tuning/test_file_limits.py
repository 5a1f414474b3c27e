"""What a service is documented to refuse after an upload is refused before it."""

from dataclasses import replace
from pathlib import Path

import pytest

from kiln_mcp.tuning.file_limits import check_files, check_thinking
from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.providers.openai import OpenAITuning
from kiln_mcp.tuning.providers.provider import FileLimits
from kiln_mcp.tuning.providers.registry import ProviderName, open_provider
from kiln_mcp.tuning.training_drafts import TrainingWish, draft_training
from kiln_mcp.tuning.training_files import FrozenData
from storage import DatasetSplit, TaskRun
from storage.errors import InvalidValue, Refusal
from tuning_bench import BASES, open_bench


@pytest.mark.parametrize("provider", ["fireworks_ai", "together_ai"])
async def test_a_second_system_message_is_refused_where_it_has_to_be_the_first(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        with pytest.raises(InvalidValue, match="Take two_message_cot"):
            await bench.train(thinking=Thinking.LEGACY)
        assert bench.services.files == {}
        tuning = open_provider(ProviderName(provider), bench.workspace.settings.engine)
        check_thinking(tuning, Thinking.TWO_MESSAGES)


async def test_a_validation_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "fireworks_ai") as bench:
        store, task = await bench.store()
        held = [run for run in await store.children(task, TaskRun) if "val_right" in run.tags]
        for run in held[2:]:
            await store.save(run.replace(tags=(*run.tags, "test_other")))
        with pytest.raises(Refusal, match="takes 3 examples or more, and the file of val has 2"):
            await bench.train()
        assert bench.services.files == {}


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (FileLimits(most_examples=15), "takes 15 examples at most, and the file of train has 16"),
        (FileLimits(most_validation_examples=9), "9 examples at most, and the file of val has 10"),
        (FileLimits(largest_bytes=100), "takes files up to 0 MB, and the file of train has 0.0 MB"),
        (FileLimits(16, 10, 10, 1_000_000), ""),
    ],
)
async def test_files_beyond_a_limit_are_refused_and_those_at_it_are_not(
    tmp_path: Path, limits: FileLimits, sentence: str
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        store, task = await bench.store()
        data = FrozenData(store, task, await store.find(DatasetSplit, "F", parent=task))
        wish = TrainingWish(ProviderName.OPENAI, BASES["openai"])
        training = await draft_training(bench.workspace, data, wish)
        assert isinstance(training.provider, OpenAITuning)
        provider = replace(training.provider, limits=limits)
        if not sentence:
            check_files(provider, training.training_data.files)
            return
        with pytest.raises(Refusal, match=sentence):
            check_files(provider, training.training_data.files)
