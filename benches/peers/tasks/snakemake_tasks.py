"""snakemake: rules that make files, two jobs at a time. Its command, as its users start it."""

import pathlib
import subprocess
import sys
import time

from said import say

FAN = """
rule all:
    input: "all.txt"
rule one:
    output: "out/{n}.txt"
    run:
        open(output[0], "w").write(wildcards.n)
rule total:
    input: expand("out/{n}.txt", n=range(COUNT))
    output: "all.txt"
    run:
        open(output[0], "w").write(str(sum(int(open(path).read()) for path in input)))
"""

CHAIN = """
rule all:
    input: "out/COUNT.txt"
rule first:
    output: "out/0.txt"
    run:
        open(output[0], "w").write("0")
rule one:
    input: lambda wildcards: f"out/{int(wildcards.n) - 1}.txt"
    output: "out/{n,[1-9][0-9]*}.txt"
    run:
        open(output[0], "w").write(str(int(open(input[0]).read()) + 1))
"""


def main(graph, count):
    text = FAN if graph == "fan" else CHAIN
    pathlib.Path("Snakefile").write_text(text.replace("COUNT", str(count)))
    begun = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "-j", "2", "--quiet", "all"]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    last = "all.txt" if graph == "fan" else f"out/{count}.txt"
    say(seconds, int(pathlib.Path(last).read_text()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
