"""What is chosen where there is a GPU, told by stand-ins: no test here has one."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from kiln_mcp.tuning.local.trainer.base_model import (
    Device,
    find_device,
    loading_options,
    save_memory,
)
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.work_folder import LocalRequest


class FakeCuda:
    """A GPU with 8 GB free, whose bfloat16 may be emulated alone."""

    def __init__(self, *, has_bfloat16: bool) -> None:
        self.has_bfloat16 = has_bfloat16

    def is_available(self) -> bool:
        return True

    def mem_get_info(self) -> tuple[int, int]:
        return 8_000_000_000, 16_000_000_000

    def is_bf16_supported(self, *, including_emulation: bool = True) -> bool:
        return self.has_bfloat16 or including_emulation

    def get_device_name(self) -> str:
        return "Some GPU"


@dataclass
class FakeModel:
    """Notes how memory is saved."""

    checkpointing: list[dict[str, bool]] = field(default_factory=list[dict[str, bool]])
    has_input_gradients: bool = False

    def gradient_checkpointing_enable(self, options: dict[str, bool]) -> None:
        self.checkpointing.append(options)

    def enable_input_require_grads(self) -> None:
        self.has_input_gradients = True


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_a_gpu_is_used_and_in_bfloat16_only_if_it_computes_that_itself(
    *, has_bfloat16: bool
) -> None:
    torch = SimpleNamespace(cuda=FakeCuda(has_bfloat16=has_bfloat16))
    assert find_device(torch) == Device("cuda", "Some GPU", has_bfloat16, 8_000_000_000)


def test_inner_values_are_computed_again_on_a_gpu_alone() -> None:
    on_gpu, on_processor = FakeModel(), FakeModel()
    save_memory(on_gpu, Device("cuda", "Some GPU", True, None))
    save_memory(on_processor, Device("cpu", "the processor", False, None))
    assert on_gpu.checkpointing == [{"use_reentrant": False}]
    assert on_gpu.has_input_gradients
    assert on_processor == FakeModel()


@pytest.mark.torch
def test_qlora_loads_in_4_bits_and_computes_in_the_type_of_the_device() -> None:
    pytest.importorskip("torch", reason="needs the extra `tune`")
    torch: Any = library("torch")
    for is_half, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        device = Device("cuda", "Some GPU", is_half, None)
        plain = loading_options(LocalRequest(title="b", base="b", parameters={}), device)
        assert plain == {"dtype": dtype}
        request = LocalRequest(title="b", base="b", parameters={"qlora": "yes"})
        config = loading_options(request, device)["quantization_config"]
        assert config.load_in_4bit
        assert config.bnb_4bit_quant_type == "nf4"
        assert config.bnb_4bit_compute_dtype == dtype
