"""Load a base model, and lay new LoRA weights over it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.work_folder import LocalRequest

_DONE: Final = "config.json"


@dataclass(frozen=True, slots=True)
class Device:
    """Where is computed.

    Attributes:
        name: `cuda`, `mps` or `cpu`.
        title: For people.
        is_half: Whether weights are kept in bfloat16.
        free_bytes: The memory that is free; None if not known.
    """

    name: str
    title: str
    is_half: bool
    free_bytes: int | None

    @property
    def dtype(self) -> Any:
        """The type of the base's weights."""
        torch = library("torch")
        return torch.bfloat16 if self.is_half else torch.float32


def find_device(torch: Any = None) -> Device:
    """Return the GPU if there is one, else the processor.

    Args:
        torch: What looks for it; None for the library.
    """
    torch = torch or library("torch")
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        is_half = bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return Device("cuda", torch.cuda.get_device_name(), is_half, int(free))
    if torch.backends.mps.is_available():
        return Device("mps", "the GPU of this Mac", False, _free_memory())
    # Processors without instructions for bfloat16 compute it more slowly than float32.
    is_half = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return Device("cpu", "the processor", is_half, _free_memory())


def _free_memory() -> int | None:
    """Return the bytes that a process can get here; None if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = dict(line.split(":") for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024


def convert(request: LocalRequest) -> None:
    """Turn a GGUF file into a folder of Hugging Face's format, once."""
    folder = Path(request.base)
    if request.gguf is None or (folder / _DONE).is_file():
        return
    transformers, source = library("transformers"), Path(request.gguf)
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            **where, dtype=library("torch").float32
        )
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise Unusable(f"its GGUF file cannot be read for training: {error}") from error
    # transformers takes the model for a quantised one and would refuse to save it.
    del model.config.quantization_config
    model.hf_quantizer = None
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    model.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    fresh.replace(folder)


def load_tokenizer(request: LocalRequest) -> Any:
    """Return the base's tokenizer."""
    try:
        return library("transformers").AutoTokenizer.from_pretrained(
            request.base, local_files_only=request.is_base_here
        )
    except (OSError, ValueError, KeyError) as error:
        raise Unusable(f"its tokenizer cannot be read: {error}") from error


def empty_model(request: LocalRequest) -> Any:
    """Return the base without weights, to count them."""
    transformers = library("transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(
            request.base, local_files_only=request.is_base_here
        )
        with library("torch").device("meta"):
            return transformers.AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise Unusable(f"it cannot be read: {error}") from error


def loading_options(request: LocalRequest, device: Device) -> dict[str, Any]:
    """Return how a base's weights are loaded: in the device's type, or in 4 bits for QLoRA.

    Source:
        Dettmers et al., QLoRA: Efficient Finetuning of Quantized LLMs, 2023 (the type NF4).
    """
    options: dict[str, Any] = {"dtype": device.dtype}
    if request.parameters.get("qlora") == "yes":
        options["quantization_config"] = library("transformers").BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=device.dtype
        )
    return options


def save_memory(model: Any, device: Device) -> None:
    """Let a GPU compute inner values again on the way back, where they would fill its memory."""
    if device.name == "cuda":
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()


def load_model(request: LocalRequest, device: Device) -> Any:
    """Return the base with new LoRA weights over all its linear layers."""
    transformers, peft = library("transformers"), library("peft")
    values, options = request.parameters, loading_options(request, device)
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            request.base, local_files_only=request.is_base_here, **options
        )
    except (OSError, ValueError, KeyError) as error:
        raise Unusable(f"its weights cannot be read: {error}") from error
    is_quantised = "quantization_config" in options
    model = peft.prepare_model_for_kbit_training(model) if is_quantised else model.to(device.name)
    save_memory(model, device)
    model.config.use_cache = False
    settings = peft.LoraConfig(
        r=int(values["lora_rank"]),
        lora_alpha=float(values["lora_alpha"]),
        lora_dropout=float(values["lora_dropout"]),
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return peft.get_peft_model(model, settings)
