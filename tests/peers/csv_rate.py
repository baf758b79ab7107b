#!/usr/bin/env python3
"""Measures how fast ohc and pyarrow read one CSV file, in turns, with one thread and with two.

Usage: csv_rate.py OHC [FILE]. Without a file it writes two: numbers alone, and mixed columns.
Both sides read bytes that are in memory. pyarrow infers kinds from its first block and decodes once; ohc
surveys all rows for their kinds, cuts and hashes chunks, then decodes: both passes count.
"""

import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv

TURNS = 3
# So many rows are made, and written so many times: making them is slow.
ROWS = 20_000
REPEATS = 50
SECONDS = "1"


def numbers(path: Path) -> None:
    dice = random.Random(1)
    rows = (",".join(f"{dice.gauss(0, 10):.4f}" for _ in range(10)) for _ in range(ROWS))
    head = ",".join(f"x{i}" for i in range(10))
    path.write_text(f"{head}\n" + "".join(f"{row}\n" for row in rows) * REPEATS, newline="")


def mixed(path: Path) -> None:
    dice = random.Random(2)
    words = ["setosa", "versicolor", "", '"a, b"', "château"]
    rows = (
        f"{row},{dice.randrange(1000)},{dice.random() * 5000:.2f},{dice.random()!r},"
        f"{dice.choice(words)},{str(dice.random() < 0.5).lower()}\n"
        for row in range(ROWS)
    )
    head = "id,small,price,precise,word,flag\n"
    path.write_text(head + "".join(rows) * REPEATS, encoding="utf-8", newline="")


def theirs(content: bytes, threads: int) -> float:
    pa.set_cpu_count(threads)
    options = csv.ReadOptions(use_threads=threads > 1)
    convert = csv.ConvertOptions(strings_can_be_null=True)
    begin = time.perf_counter()
    csv.read_csv(io.BytesIO(content), read_options=options, convert_options=convert)
    return len(content) / 1e6 / (time.perf_counter() - begin)


def ours(ohc: str, path: Path) -> tuple[float, float]:
    command = [ohc, "bench", "ingest", "--file", str(path), "--seconds", SECONDS, "-o", "json"]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return measured["value"], measured["detail"]["ingestByTwo"]


def compare(ohc: str, path: Path) -> None:
    content = path.read_bytes()
    rates: dict[str, list[float]] = {name: [] for name in ("ours1", "ours2", "theirs1", "theirs2")}
    for turn in range(TURNS + 1):
        one, two = ours(ohc, path)
        measured = {"ours1": one, "ours2": two}
        for threads in (1, 2):
            best = statistics.median(theirs(content, threads) for _ in range(3))
            measured[f"theirs{threads}"] = best
        if turn > 0:  # the first turn warms up
            for name, rate in measured.items():
                rates[name].append(rate)
    median = {name: statistics.median(each) for name, each in rates.items()}
    for threads in (1, 2):
        mine, other = median[f"ours{threads}"], median[f"theirs{threads}"]
        print(
            f"{path.name}: {threads} thread(s): ohc {mine:.0f} MB/s, pyarrow {other:.0f} MB/s, "
            f"ratio {mine / other:.2f}"
        )


def main() -> None:
    ohc = sys.argv[1]
    if len(sys.argv) > 2:
        compare(ohc, Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("numbers.csv", numbers), ("mixed.csv", mixed)):
            path = Path(folder) / name
            write(path)
            compare(ohc, path)


if __name__ == "__main__":
    main()
