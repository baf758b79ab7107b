#!/usr/bin/env python3
"""The same language model trained by ohc and by PyTorch: how well each foretells held-out text.

Usage: writer.py OHC TEXT [--epochs N] [--seeds 1,2], by a Python that has torch.

The decoder of train.py, tied, on the characters of the first nine tenths of the lines of TEXT:
windows of 64 characters one after the other, batches of 12 in an order by lot that is new in each
epoch, AdamW without a schedule (biases and norms do not decay), initial weights uniform with a
deviation of 0.02, those that end a branch by sqrt(8) smaller. The same number of steps on both sides;
each has lots of its own. ohc is run as its users run it, by a manifest. Prints JSON: the mean
loss in nats of all characters of the last tenth, for each seed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from train import BLOCKS, CONTEXT, SEQUENCES, TOKENS, decoder

RATE, DECAY = 1e-3, 0.01
MANIFEST = """
apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: writer-peer }
spec:
  params: { epochs: { type: integer, default: 1 }, seed: { type: integer, default: 1 } }
  sources:
    learn: { url: learn.txt, format: text }
    check: { url: check.txt, format: text }
  budget: { total: "1000000.00" }
  stages:
    learn: { uses: ingest, inputs: { rows: sources.learn } }
    check: { uses: ingest, inputs: { rows: sources.check } }
    tokens:
      uses: tokenize
      inputs: { table: learn.table }
      with: { column: text, kind: char, into: stream }
    train:
      uses: train
      inputs: { data: tokens.table }
      with:
        task: language
        model: { kind: gpt, blocks: 4, heads: 4, width: 128, context: 64 }
        epochs: ${{ params.epochs }}
        batch: 12
        optimizer: { kind: adamw, lr: 0.001, weightDecay: 0.01 }
        seed: ${{ params.seed }}
    evaluate: { uses: evaluate, inputs: { models: train.model, data: check.table } }
"""


def ours(ohc, folder, epochs, seed):
    own = [ohc, "apply", "manifest.yaml", "-p", f"epochs={epochs}", "-p", f"seed={seed}", "-o", "json"]
    ran = subprocess.run(own, cwd=folder, check=True, capture_output=True, text=True)
    results = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return next(r for r in results if r["kind"] == "RunResult")["metrics"]["evaluate"]["loss"]


def windows(torch, tokens):
    rows = (len(tokens) - 1) // CONTEXT
    x, y = tokens[: rows * CONTEXT], tokens[1 : rows * CONTEXT + 1]
    return x.view(rows, CONTEXT), y.view(rows, CONTEXT)


def theirs(torch, learn, check, epochs, seed):
    torch.manual_seed(seed)
    net = decoder(torch.nn, tied=True)
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1:
            ends = name.endswith(("attention_out.weight", "narrow.weight"))
            limit = 0.02 * 3**0.5 / ((2 * BLOCKS) ** 0.5 if ends else 1)
            torch.nn.init.uniform_(parameter, -limit, limit)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    groups = [
        {"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": DECAY},
        {"params": [p for p in net.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
    loss = torch.nn.functional.cross_entropy
    (x, y), steps = windows(torch, learn), 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(SEQUENCES):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows].flatten()).backward()
            optimizer.step()
            steps += 1
    x, y = windows(torch, check)
    with torch.no_grad():
        parts = zip(x.split(64), y.split(64))
        nats = sum(loss(net(x), y.flatten(), reduction="sum").item() for x, y in parts)
    return nats / y.numel(), steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ohc")
    parser.add_argument("text")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", default="1,2")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    lines = pathlib.Path(args.text).read_text().splitlines()
    cut = len(lines) * 9 // 10
    parts = ["\n".join(part) + "\n" for part in (lines[:cut], lines[cut:])]
    number = {character: i for i, character in enumerate(sorted(set(parts[0])))}
    assert len(number) == TOKENS, len(number)
    learn, check = (torch.tensor([number[c] for c in part]) for part in parts)
    seeds = [int(seed) for seed in args.seeds.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in zip(["learn.txt", "check.txt", "manifest.yaml"], [*parts, MANIFEST]):
            (pathlib.Path(folder) / name).write_text(text)
        own = [ours(os.path.abspath(args.ohc), folder, args.epochs, seed) for seed in seeds]
    peer = [theirs(torch, learn, check, args.epochs, seed) for seed in seeds]
    losses = [loss for loss, _ in peer]
    json.dump({
        "epochs": args.epochs, "steps": peer[0][1], "seeds": seeds, "ohc": own, "torch": losses,
        "difference": statistics.mean(own) - statistics.mean(losses),
    }, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
