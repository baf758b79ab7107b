"""dagster: a job of ops, run in this process."""

import logging
import sys
import time

from said import say


def main(graph, count):
    logging.disable(logging.CRITICAL)
    import dagster

    @dagster.op
    def total(numbers: list) -> int:
        return sum(numbers)

    def one(n):
        @dagster.op(name=f"one{n}")
        def noop() -> int:
            return n

        return noop

    @dagster.op
    def begin() -> int:
        return 0

    @dagster.op
    def following(n: int) -> int:
        return n + 1

    @dagster.job
    def fan():
        total([one(n)() for n in range(count)])

    @dagster.job
    def chain():
        n = begin()
        for k in range(count):
            n = following.alias(f"one{k}")(n)

    job, last = (fan, "total") if graph == "fan" else (chain, f"one{count - 1}")
    begun = time.perf_counter()
    result = job.execute_in_process()
    say(time.perf_counter() - begun, result.output_for_node(last))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
