#!/usr/bin/env python3
"""The same training on ohc, on stock candle and on PyTorch, in turns, in one run.

    mlp     784-512-256-10 with ReLU, batches of 128
    cnn     28 x 28: convolutions of 32 and 64 filters of 3 x 3, each with ReLU and max-pooling by 2,
            then 128 and 10; batches of 128
    gpt     a decoder of 4 blocks with 4 heads, 128 wide, learned positions, on 64 of 65 characters;
            batches of 12 sequences

Cross-entropy, AdamW, synthetic rows that are in memory, f32.

Usage: train.py OHC [--model mlp|cnn|gpt] [--threads N] [--turns N], by a Python that has torch. A
turn is one measurement of each, one after another; the figures are medians over the turns, in
samples (gpt: tokens) per second. PyTorch is taken as its users run it: eager with its default
AdamW, with its fused one, with channels last in memory, and compiled, where that works. The memory
of PyTorch is that of a process of its own which does nothing else: the most that it ever had, and
how much that is above what it had when torch was imported. Prints JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BATCH, FEATURES, CLASSES = 128, 784, 10
SEQUENCES, CONTEXT, TOKENS, WIDTH, HEADS, BLOCKS = 12, 64, 65, 128, 4, 4
# Seconds of one measurement of PyTorch.
SECONDS = 2.0
# Steps after which a training takes no more memory.
STEPS_ALONE = 16
# Fused AdamW, channels last, compiled.
KINDS = {
    "torch eager": (False, False, False),
    "torch eager, fused AdamW": (True, False, False),
    "torch eager, fused AdamW, channels last": (True, True, False),
    "torch compiled, fused AdamW": (True, False, True),
}


def decoder(nn, tied=False):
    """The decoder; tied, its head is the table of the tokens."""
    import torch
    from torch.nn.functional import gelu, linear, scaled_dot_product_attention

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention_in, self.attention_out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            rows, length, width = x.shape
            parts = self.attention_in(self.attention_norm(x)).split(width, 2)
            heads = [part.view(rows, length, HEADS, width // HEADS).transpose(1, 2) for part in parts]
            seen = scaled_dot_product_attention(*heads, is_causal=True)
            x = x + self.attention_out(seen.transpose(1, 2).reshape(rows, length, width))
            return x + self.narrow(gelu(self.wide(self.norm(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places = nn.Embedding(TOKENS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)])
            self.norm, self.head = nn.LayerNorm(WIDTH), None if tied else nn.Linear(WIDTH, TOKENS)

        def forward(self, x):
            places = self.places(torch.arange(CONTEXT))
            y = self.norm(self.blocks(self.tokens(x) + places))
            return (linear(y, self.tokens.weight) if tied else self.head(y)).flatten(0, 1)

    return Decoder()


def network(model, nn):
    if model == "gpt":
        return decoder(nn)
    if model == "mlp":
        return nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
        )
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )


def batch(model, torch):
    if model == "gpt":
        draw = lambda *shape: torch.randint(0, TOKENS, shape)
        return draw(SEQUENCES, CONTEXT), draw(SEQUENCES * CONTEXT)
    shape = (BATCH, FEATURES) if model == "mlp" else (BATCH, 1, 28, 28)
    return torch.randn(shape), torch.randint(0, CLASSES, (BATCH,))


def learner(model, torch, fused, channels_last, compiled):
    """What takes one step."""
    torch.manual_seed(0)
    net = network(model, torch.nn)
    batches = [batch(model, torch) for _ in range(8)]
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


def rate(model, step):
    """Samples or tokens per second."""
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < SECONDS:
        step(steps)
        steps += 1
    each = SEQUENCES * CONTEXT if model == "gpt" else BATCH
    return steps * each / (time.perf_counter() - begin)


def memory(model, kind, threads):
    """The most memory of this process, and how much of it came after the import, in MiB."""
    import torch

    def most():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024

    torch.set_num_threads(threads)
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # The most from now on.
    before = most()
    step = learner(model, torch, *KINDS[kind])
    for i in range(STEPS_ALONE):
        step(i)
    return {"peakMib": most(), "trainingMib": most() - before}


def ours(ohc, model, threads):
    command = [ohc, "bench", "train", "--model", model, "--threads", str(threads)]
    ran = subprocess.run([*command, "--seconds", "0.6", "-o", "json"], check=True, capture_output=True)
    return json.loads(ran.stdout)


def memories(args, kinds):
    """Of every kind of PyTorch that is not compiled: a compiler has a memory of its own."""
    found = {}
    for name in kinds:
        if not KINDS[name][2]:
            own = [sys.executable, __file__, args.ohc, "--model", args.model, "--memory-of", name]
            ran = subprocess.run([*own, "--threads", str(args.threads)], check=True, capture_output=True)
            found[name] = json.loads(ran.stdout)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ohc")
    parser.add_argument("--model", choices=["mlp", "cnn", "gpt"], default="mlp")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--memory-of", choices=KINDS, help="only the memory of this kind of PyTorch")
    args = parser.parse_args()
    if args.memory_of:
        json.dump(memory(args.model, args.memory_of, args.threads), sys.stdout)
        return

    import torch

    torch.set_num_threads(args.threads)
    steps, left_out = {}, {}
    for name, kind in KINDS.items():
        if kind[1] and args.model != "cnn":
            continue
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
        turn |= {name: rate(args.model, step) for name, step in steps.items()}
        turns.append(turn | {f"ohc, {name}": value for name, value in measured["detail"].items()
                             if name not in ("repeats", "steps", "threads")})
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    best = max((name for name in steps), key=medians.get)
    spread = lambda over: [f(turn["ohc"] / turn[over] for turn in turns) for f in (min, max)]
    most = "ohc, products, peak of multiply-adds"
    share = statistics.median(turn["ohc, products"] / turn[most] for turn in turns)
    json.dump({
        "model": args.model, "threads": args.threads, "turns": args.turns, "torch": torch.__version__,
        "load": os.getloadavg()[0], "perSecond": medians, "bestTorch": best,
        "overBestTorch": statistics.median(turn["ohc"] / turn[best] for turn in turns),
        "spread": spread(best),
        "overStockCandle": statistics.median(turn["ohc"] / turn["stock candle"] for turn in turns),
        "spreadOverStockCandle": spread("stock candle"), "shareOfPeak": share,
        "torchMemory": memories(args, steps), "leftOut": left_out,
    }, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
