"""The process that runs a tuned Hugging Face model: a request a line in, an answer a line out.

It is started by its path, with the base's folder and the adapter's, and imports nothing of ours.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

_SETTINGS: Final = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}
_THREADS: Final = 1


class Program:
    """The model with its tokenizer."""

    def __init__(self, base: str, adapter: str) -> None:
        os.environ.update(_SETTINGS)
        self._torch: Any = import_module("torch")
        transformers: Any = import_module("transformers")
        peft: Any = import_module("peft")
        self._torch.set_num_threads(_THREADS)
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        dtype = self._torch.bfloat16 if self._device == "cuda" else self._torch.float32
        self._transformers = transformers
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(base)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        self._model: Any = peft.PeftModel.from_pretrained(model, adapter).to(self._device).eval()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a chat request, in OpenAI's form."""
        prompt: str = self._tokenizer.apply_chat_template(
            body["messages"], tokenize=False, add_generation_prompt=True
        )
        ids = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        with self._torch.no_grad():
            if body["choices"]:
                text, count, is_cut = self._choose(ids, body["choices"]), 1, False
            else:
                text, count, is_cut = self._write(ids, body)
        message = {"role": "assistant", "content": text}
        finish = "length" if is_cut else "stop"
        usage = {"prompt_tokens": len(ids), "completion_tokens": count}
        return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}

    def _write(self, ids: Sequence[int], body: dict[str, Any]) -> tuple[str, int, bool]:
        warmth = float(body.get("temperature") or 0)
        limit = int(body.get("max_tokens") or 1024)
        options: dict[str, Any] = {"do_sample": warmth > 0, "max_new_tokens": limit}
        if warmth > 0:
            options |= {"temperature": warmth, "top_k": 0, "top_p": 1.0}
            self._torch.manual_seed(int(body.get("seed") or 0))
        if body.get("stop"):
            options |= {"stop_strings": body["stop"], "tokenizer": self._tokenizer}
        prompt_ids = self._torch.tensor([ids], device=self._device)
        pad = self._tokenizer.pad_token_id
        output = self._model.generate(
            input_ids=prompt_ids,
            attention_mask=self._torch.ones_like(prompt_ids),
            pad_token_id=self._tokenizer.eos_token_id if pad is None else pad,
            **options,
        )
        new = output[0, len(ids) :].tolist()
        text: str = self._tokenizer.decode(new, skip_special_tokens=True)
        for end in body.get("stop") or ():
            text = text.partition(end)[0]
        return text, len(new), len(new) >= limit

    def _choose(self, ids: Sequence[int], choices: Sequence[str]) -> str:
        """Return the text that is the most probable answer of some."""
        end = [self._tokenizer.eos_token_id]
        scores = {
            choice: self._score(
                ids, self._tokenizer(choice, add_special_tokens=False)["input_ids"] + end
            )
            for choice in choices
        }
        return max(scores, key=lambda choice: scores[choice])

    def _score(self, ids: Sequence[int], answer: Sequence[int]) -> float:
        prompt_ids = self._torch.tensor([[*ids, *answer]], device=self._device)
        logits = self._model(input_ids=prompt_ids).logits[0, len(ids) - 1 : -1].float()
        chances = logits.log_softmax(-1)
        places = self._torch.arange(len(answer), device=self._device)
        return float(chances[places, self._torch.tensor(answer, device=self._device)].sum())


def main() -> None:
    """Answer each line of the input."""
    out, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    program = Program(*sys.argv[1:3])
    for line in sys.stdin:
        try:
            reply = program.answer(json.loads(line))
        except (ValueError, RuntimeError, KeyError, IndexError) as error:
            reply = {"refusal": str(error).splitlines()[0] if str(error) else repr(error)}
        out.write(f"{json.dumps(reply)}\n")
        out.flush()


if __name__ == "__main__":
    main()
