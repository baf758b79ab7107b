"""kedro: a pipeline of nodes and data in memory, run one after the other."""

import logging
import sys
import time

from said import say


def main(graph, count):
    logging.disable(logging.CRITICAL)
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline
    from kedro.runner import SequentialRunner

    def total(*numbers):
        return sum(numbers)

    def following(n):
        return n + 1

    if graph == "fan":
        inputs = {f"in{n}": MemoryDataset(n) for n in range(count)}
        nodes = [node(lambda n: n, f"in{n}", f"out{n}", name=f"one{n}") for n in range(count)]
        nodes.append(node(total, [f"out{n}" for n in range(count)], "last", name="all"))
    else:
        inputs = {"out0": MemoryDataset(0)}
        ends = [f"out{n}" for n in range(count)] + ["last"]
        pairs = enumerate(zip(ends, ends[1:]))
        nodes = [node(following, a, b, name=f"one{n}") for n, (a, b) in pairs]
    begun = time.perf_counter()
    out = SequentialRunner().run(pipeline(nodes), DataCatalog(inputs))
    last = out["last"]
    seconds = time.perf_counter() - begun
    say(seconds, last.load() if hasattr(last, "load") else last)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
