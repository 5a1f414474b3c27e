"""A random model of two layers with a tokenizer of words, in Hugging Face's format."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} <|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WORDS = [f"w{number}" for number in range(40)] + ["red", "blue", "Answer", "Think"]


def make_tiny_model(folder: Path, *, template: str = TEMPLATE, longest: int = 128) -> Path:
    """Write the model into a folder; the same weights each time."""
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    tokenizers: Any = import_module("tokenizers")
    special = ["<pad>", "<unk>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    words = {word: number for number, word in enumerate([*special, *WORDS])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>", eos_token="<|end|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special[3:]})
    tokenizer.chat_template = template
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        eos_token_id=words["<|end|>"],
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def conversations(count: int) -> list[list[dict[str, str]]]:
    """Return conversations whose answer follows from their second word."""
    return [
        [
            {"role": "system", "content": "Answer"},
            {"role": "user", "content": f"w{n % 40} w{n * 7 % 40} {'w1' if n % 2 else 'w2'}"},
            {"role": "assistant", "content": "red" if n % 2 else "blue"},
        ]
        for n in range(count)
    ]


def write_conversations(file: Path, rows: list[list[dict[str, str]]]) -> None:
    """Write conversations as the trainer reads them."""
    file.write_text(
        "".join(f"{json.dumps({'conversations': row})}\n" for row in rows), encoding="utf-8"
    )
