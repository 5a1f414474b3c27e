"""The usual way with peft alone: filled up on the right, logits of all places, torch's AdamW."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

Row = tuple[list[int], int]
"""The tokens of a conversation, and the place of the first that is learnt."""


class PlainPeft:
    def __init__(
        self, base: Path, conversations: list[list[dict[str, str]]], rate: float, rank: int = 16
    ) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.config.use_cache = False
        config = LoraConfig(
            r=rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(model, config).train()
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.weights = weights
        self.optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
        self.rows = [self.row(conversation) for conversation in conversations]

    def row(self, conversation: list[dict[str, str]]) -> Row:
        whole = self.tokenizer.apply_chat_template(conversation, tokenize=False)
        opening = self.tokenizer.apply_chat_template(
            conversation[:-1], tokenize=False, add_generation_prompt=True
        )
        ids = self.tokenizer(whole, add_special_tokens=False)["input_ids"]
        return ids, len(self.tokenizer(opening, add_special_tokens=False)["input_ids"])

    def batch(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, (tokens, begin) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
            labels[row, begin : len(tokens)] = torch.tensor(tokens[begin:])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def step(self, places: list[int]) -> float:
        loss = self.model(**self.batch([self.rows[place] for place in places])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())
