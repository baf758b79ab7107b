"""A training in parallel by one worker and by two, in turns: seconds from start to exit.

    python3 benches/workers.py target/release/ohc [TURNS]

Four shards of a perceptron on digits, three rounds, each block seconds long. Every turn has a home of
its own, so that no result is known. The model has the same digest each time, or this fails.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

DATA = pathlib.Path(__file__).resolve().parent.parent / "manifests" / "data" / "digits.csv"
MANIFEST = """apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: workers }
spec:
  sources:
    pixels: { url: digits.csv, format: csv }
  budget: { total: "2000.00" }
  stages:
    table: { uses: ingest, inputs: { rows: sources.pixels } }
    train:
      uses: train
      inputs: { data: table.table }
      with:
        model: { kind: mlp, hidden: [512, 256] }
        target: digit
        batch: 64
        optimizer: { kind: adamw, lr: 0.0003 }
        parallel: { shards: 4, rounds: 3, localSteps: STEPS }
  outputs:
    model: { from: train.model, to: out/ }
"""


def turn(ohc, folder, workers, steps):
    """One apply by so many workers: its seconds, and the digest of the model."""
    folder.mkdir()
    shutil.copy(DATA, folder)
    (folder / "workers.yaml").write_text(MANIFEST.replace("STEPS", str(steps)))
    apply = [ohc, "apply", "workers.yaml", "-y", "-o", "json", "--workers", str(workers)]
    env = os.environ | {"OHC_HOME": str(folder / "home")}
    begin = time.monotonic()
    done = subprocess.run(apply, cwd=folder, env=env, capture_output=True, text=True)
    passed = time.monotonic() - begin
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "settled", done.stdout
    files = sorted(path for path in (folder / "out").rglob("*.safetensors"))
    assert files, "a model was written"
    return passed, [path.read_bytes() for path in files]


def main():
    ohc, turns = os.path.abspath(sys.argv[1]), int((sys.argv[2:] or ["3"])[0])
    steps = int(os.environ.get("STEPS", "2500"))
    with tempfile.TemporaryDirectory() as name:
        seconds, models = {1: [], 2: []}, []
        for n in range(turns):
            for workers in seconds:
                passed, model = turn(ohc, pathlib.Path(name) / f"{n}-{workers}", workers, steps)
                seconds[workers].append(passed)
                models.append(model)
    assert all(model == models[0] for model in models), "the same model by one and by two"
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    print(json.dumps({"one": seconds[1], "two": seconds[2], "times": one / two}))


main()
