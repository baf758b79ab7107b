#!/usr/bin/env python3
"""The same two graphs of no-op tasks on ohc and on programs of its world, in one run.

    fan     1,000 independent tasks, and one that takes all of their results
    chain   100 tasks, each of which takes the result of the one before

Usage: compare.py OHC [PEER ...]. Every peer is installed from PyPI into an environment of its own
below PEERS_HOME (default: beside what cargo builds); what cannot be installed is said and left
out. Two numbers are taken of each: the seconds of the run itself, without imports and without the
start of its workers, and those of the whole process. ohc signs, verifies and writes a durable log
while it runs; the last column says what a peer keeps. Ratios are to ohc, by the run itself.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FAN, CHAIN, TURNS, TIMEOUT = 1000, 100, 3, 600
# A run that takes longer than this is measured once.
LONG = 20

KEEPS = {
    "ohc": "a signed, verified, durable log of every task; 2 workers",
    "joblib": "nothing; 2 processes (the floor: no graph)",
    "doit": "a file with what was done; 1 process",
    "luigi": "nothing; 1 process (its tasks say themselves what is done)",
    "kedro": "nothing; 1 process",
    "dask": "nothing; 2 processes",
    "ray": "nothing; 2 processes",
    "snakemake": "files of metadata; 2 jobs at a time, each a process",
    "dagster": "events in memory; 1 process",
    "prefect": "states in SQLite, by a server; 2 threads",
}


def environment(line):
    """The python of a peer's environment; None, and why, if it cannot be made."""
    packages = line.split()
    name = packages[0].split("==")[0]
    build = os.environ.get("CARGO_TARGET_DIR", str(HERE.parent.parent / "target"))
    home = pathlib.Path(os.environ.get("PEERS_HOME", str(pathlib.Path(build) / "bench-peers")))
    venv = home / name
    python = venv / "bin/python"
    if not (venv / "whole").exists():
        home.mkdir(parents=True, exist_ok=True)
        made = subprocess.run([sys.executable, "-m", "venv", venv], capture_output=True, text=True)
        if made.returncode:
            return name, None, made.stderr.strip()
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        made = subprocess.run([*pip, *packages], capture_output=True, text=True)
        if made.returncode:
            return name, None, (made.stderr.strip().splitlines() or ["pip failed"])[-1]
        (venv / "whole").touch()
    return name, python, None


def peer(name, python, graph, count):
    """Seconds of the run itself and of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = dict(os.environ, PREFECT_HOME=folder, DAGSTER_HOME="", PYTHONWARNINGS="ignore")
        quiet.pop("DAGSTER_HOME")
        begun = time.perf_counter()
        command = [python, HERE / "tasks" / f"{name}_tasks.py", graph, str(count)]
        ran = subprocess.run(
            command, cwd=folder, env=quiet, capture_output=True, text=True, timeout=TIMEOUT
        )
        whole = time.perf_counter() - begun
    if ran.returncode:
        raise RuntimeError((ran.stderr.strip().splitlines() or ["it failed"])[-1])
    said = json.loads(ran.stdout.strip().splitlines()[-1])
    # The fan adds up the numbers of its tasks; the chain counts them.
    expect = count * (count - 1) // 2 if graph == "fan" else count
    if said["result"] != expect:
        raise RuntimeError(f"{said['result']} instead of {expect}")
    return said["seconds"], whole


def manifest(graph, count):
    head = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: peers }\nspec:\n  run: "
    head += f"{{ limits: {{ instances: {count}, jobsPerBlock: 1 }} }}\n  stages:\n"
    if graph == "chain":
        lines = ["    s0: { uses: noop, with: { tag: 0 } }"]
        inputs = "inputs: {{ a: s{}.done }}, with: {{ tag: {} }}"
        for n in range(1, count):
            lines.append(f"    s{n}: {{ uses: noop, {inputs.format(n - 1, n)} }}")
        return head + "\n".join(lines) + "\n"
    axis = ",".join(str(n) for n in range(count))
    return head + (
        f"    job: {{ uses: noop, matrix: {{ axes: {{ n: [{axis}] }} }}, with: "
        '{ tag: "${{ matrix.n }}" } }\n    all: { uses: noop, needs: [job] }\n'
    )


def ohc(program, graph, count):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "peers.yaml").write_text(manifest(graph, count))
        command = [program, "apply", "peers.yaml", "-y", "--home", "home", "--workers", "2"]
        begun = time.perf_counter()
        ran = subprocess.run(
            [*command, "-o", "json"], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT
        )
        whole = time.perf_counter() - begun
    result = json.loads(ran.stdout.strip().splitlines()[-1])
    if result["status"] != "settled":
        raise RuntimeError(ran.stderr.strip())
    return result["seconds"], whole


def turns(run):
    """Medians of a few turns of both graphs."""
    seconds = {}
    for graph, count in (("fan", FAN), ("chain", CHAIN)):
        taken = [run(graph, count)]
        while len(taken) < TURNS and taken[0][1] < LONG:
            taken.append(run(graph, count))
        seconds[graph] = [statistics.median(column) for column in zip(*taken)]
    return seconds


def main():
    program, *wanted = sys.argv[1:]
    program = str(pathlib.Path(program).resolve())
    lines = (HERE / "requirements.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    ours = turns(lambda graph, count: ohc(program, graph, count))
    rows, failed = [("ohc", ours)], []
    for line in lines:
        name, python, why = environment(line)
        if wanted and name not in wanted:
            continue
        if python is None:
            failed.append((name, why))
            continue
        try:
            rows.append((name, turns(lambda graph, count: peer(name, python, graph, count))))
        except subprocess.TimeoutExpired:
            failed.append((name, f"a graph took longer than {TIMEOUT} s"))
        except (RuntimeError, ValueError) as error:
            failed.append((name, str(error)))
    print(f"fan of {FAN} and chain of {CHAIN}, medians of {TURNS}: seconds of the run (whole process)")
    print("| program | fan, s | whole | ratio | chain, s | whole | ratio | keeps |")
    print("|---|---|---|---|---|---|---|---|")
    for name, seconds in rows:
        cells = []
        for graph in ("fan", "chain"):
            run, whole = seconds[graph]
            cells.append(f"{run:.3f} | {whole:.2f} | {run / ours[graph][0]:.1f}")
        print(f"| {name} | {' | '.join(cells)} | {KEEPS[name]} |")
    for name, why in failed:
        print(f"not measured: {name}: {why}")


if __name__ == "__main__":
    main()
