"""Write LoRA weights as a GGUF adapter, which llama.cpp lays over its own copy of the base."""

from pathlib import Path
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.libraries import library

_PREFIX: Final = "base_model.model."
_HEAD_COUNTS: Final = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
_LLAMA: Final = "llama"


def write_gguf_adapter(adapter: Path, gguf: Path, target: Path) -> None:
    """Write the adapter that peft saved in a folder as a GGUF file.

    llama.cpp orders the rows of the query and key weights of the Llama family by another rule of
    rotation, head by head. So their second factors are permuted, as convert_hf_to_gguf does.

    Args:
        adapter: The folder with adapter_config.json and adapter_model.safetensors.
        gguf: The base, whose architecture the adapter names.
        target: The new file.
    """
    library_gguf, peft = library("gguf"), library("peft")
    config = peft.PeftConfig.from_pretrained(str(adapter))
    fields = _base_fields(gguf)
    architecture = fields["general.architecture"]
    writer = library_gguf.GGUFWriter(str(target), architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config.lora_alpha))
    names = _tensor_names(architecture, int(fields[f"{architecture}.block_count"]))
    heads = {
        "num_attention_heads": int(fields[f"{architecture}.attention.head_count"]),
        "num_key_value_heads": int(fields[f"{architecture}.attention.head_count_kv"]),
    }
    tensors = library("safetensors.torch").load_file(str(adapter / "adapter_model.safetensors"))
    for name, tensor in tensors.items():
        module, _, factor = name.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        role = _HEAD_COUNTS.get(module.rpartition(".")[2])
        if role and factor == "lora_B" and architecture == _LLAMA:
            tensor = permuted_rows(tensor, heads[role])
        place = names.get_name(module)
        if place is None:
            raise Unusable(f"llama.cpp has no name for its layer {module}")
        values = tensor.contiguous().to(library("torch").float16).numpy()
        writer.add_tensor(f"{place}.weight.{factor.lower()}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _base_fields(gguf: Path) -> dict[str, Any]:
    reader = library("gguf").GGUFReader(str(gguf))
    names = [name for name in reader.fields if not name.startswith("tokenizer.")]
    return {name: reader.fields[name].contents() for name in names}


def _tensor_names(architecture: str, layers: int) -> Any:
    library_gguf = library("gguf")
    kinds = {name: kind for kind, name in library_gguf.MODEL_ARCH_NAMES.items()}
    return library_gguf.get_tensor_name_map(kinds[architecture], layers)


def permuted_rows(tensor: Any, heads: int) -> Any:
    """Return a factor with the two halves of each head's rows interleaved."""
    rows, rank = tensor.shape
    split = tensor.reshape(heads, 2, rows // heads // 2, rank)
    return split.swapaxes(1, 2).reshape(rows, rank)
