"""transformers (decoding) and TRL (training) as racers."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import torch
import transformers
import trl
from benchmarks.race import Row, serve
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback


def decoding(settings: Row, model, tokenizer):
    ids = tokenizer(" time" * settings["prompt"], return_tensors="pt").input_ids.repeat(settings["rows"], 1)
    count = settings["tokens"]

    def work() -> int:
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                min_new_tokens=count,
                max_new_tokens=count,
                pad_token_id=tokenizer.eos_token_id,
            )
        return (out.shape[1] - ids.shape[1]) * out.shape[0]

    return work


class Clock(TrainerCallback):
    """From the first step's beginning to the last one's end: what a step costs, without setting up."""

    def on_train_begin(self, args, state, control, **_):
        self.began = None

    def on_step_begin(self, args, state, control, **_):
        self.began = self.began or time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        self.seconds = time.perf_counter() - self.began


def training(settings: Row, model, tokenizer):
    task, rows, folder = settings["task"], settings["rows"], Path(settings["folder"])
    data = Dataset.from_list([json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()])
    shared = {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": settings["steps"],
        "per_device_train_batch_size": rows,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1000,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
    }
    clock = Clock()
    if task == "grpo":
        config = trl.GRPOConfig(
            **shared, num_generations=settings["group"], max_completion_length=settings["tokens"], beta=0.0
        )
        trainer = trl.GRPOTrainer(
            model, lambda completions, **_: [float(text.count("e")) for text in completions], config, data,
            processing_class=tokenizer, callbacks=[clock],
        )  # fmt: skip
    elif task == "sft":
        config = trl.SFTConfig(**shared, max_length=settings["tokens"] + 1, packing=False)
        trainer = trl.SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer, callbacks=[clock])
    else:
        config = trl.DPOConfig(**shared)
        trainer = trl.DPOTrainer(model, None, config, train_dataset=data, processing_class=tokenizer, callbacks=[clock])

    def work() -> tuple[int, float]:
        trainer.train()
        return settings["steps"] * rows, clock.seconds

    return work


def prepare(settings: Row):
    torch.set_num_threads(2)
    folder = Path(settings["folder"]) / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    work = (decoding if settings["task"] == "decode" else training)(settings, model, tokenizer)
    work()
    return work, {"version": transformers.__version__, "trl": trl.__version__, "torch": torch.__version__}


if __name__ == "__main__":
    serve(prepare)
