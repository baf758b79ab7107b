#!/usr/bin/env python3
"""The same training on ohc, on stock candle and on PyTorch, in turns, in one run.

    mlp     784-512-256-10 with ReLU
    cnn     28 x 28: convolutions of 32 and 64 filters of 3 x 3, each with ReLU and max-pooling by 2,
            then 128 and 10

Cross-entropy, AdamW, batches of 128 synthetic rows that are in memory, f32.

Usage: train.py OHC [--model mlp|cnn] [--threads N] [--turns N], by a Python that has torch. A turn
is one measurement of each, one after another; the figures are medians over the turns, in samples
per second. PyTorch is taken as its users run it: eager with its default AdamW, with its fused one,
with channels last in memory, and compiled, where that works. Prints JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BATCH, FEATURES, CLASSES = 128, 784, 10
# Seconds of one measurement of PyTorch.
SECONDS = 2.0


def network(model, nn):
    if model == "mlp":
        return nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )


def learner(model, torch, fused, channels_last, compiled):
    """What takes one step."""
    torch.manual_seed(0)
    net = network(model, torch.nn)
    shape = (BATCH, FEATURES) if model == "mlp" else (BATCH, 1, 28, 28)
    batches = [(torch.randn(shape), torch.randint(0, CLASSES, (BATCH,))) for _ in range(8)]
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        batches = [(x.to(memory_format=torch.channels_last), y) for x, y in batches]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01, fused=fused)
    forward = torch.compile(net) if compiled else net
    loss = torch.nn.functional.cross_entropy

    def step(i):
        x, y = batches[i % len(batches)]
        optimizer.zero_grad()
        loss(forward(x), y).backward()
        optimizer.step()

    return step


def samples_per_second(step):
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        step(steps)
        steps += 1
    return steps * BATCH / (time.perf_counter() - begin)


def ours(ohc, model, threads):
    command = [ohc, "bench", "train", "--model", model, "--threads", str(threads)]
    ran = subprocess.run([*command, "--seconds", "0.6", "-o", "json"], check=True, capture_output=True)
    return json.loads(ran.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ohc")
    parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    kinds = {
        "torch eager": (False, False, False),
        "torch eager, fused AdamW": (True, False, False),
        "torch compiled, fused AdamW": (True, False, True),
    }
    if args.model == "cnn":
        kinds["torch eager, fused AdamW, channels last"] = (True, True, False)
    steps, left_out = {}, {}
    for name, kind in kinds.items():
        try:
            step = learner(args.model, torch, *kind)
            for i in range(3):
                step(i)
            steps[name] = step
        except Exception as error:  # What does not run here is said and left out.
            left_out[name] = str(error).splitlines()[0] if str(error) else type(error).__name__
    turns = []
    for _ in range(args.turns):
        measured = ours(args.ohc, args.model, args.threads)
        turn = {"ohc": measured["value"], "stock candle": measured["baseline"]["value"]}
        turn |= {name: samples_per_second(step) for name, step in steps.items()}
        turns.append(turn | {f"ohc, {name}": value for name, value in measured["detail"].items()
                             if name.startswith("conv2d")})
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    best = max((name for name in steps), key=medians.get)
    spread = [min(turn["ohc"] / turn[best] for turn in turns),
              max(turn["ohc"] / turn[best] for turn in turns)]
    json.dump({
        "model": args.model, "threads": args.threads, "turns": args.turns, "torch": torch.__version__,
        "load": os.getloadavg()[0], "samplesPerSecond": medians, "bestTorch": best,
        "overBestTorch": medians["ohc"] / medians[best], "spread": spread,
        "overStockCandle": medians["ohc"] / medians["stock candle"], "leftOut": left_out,
    }, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
