"""Ray: a local cluster of two processes."""

import sys
import time

from said import say


def main(graph, count):
    import ray

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")

    @ray.remote
    def noop(n):
        return n

    @ray.remote
    def following(n):
        return n + 1

    @ray.remote
    def total(*numbers):
        return sum(numbers)

    ray.get([noop.remote(n) for n in range(8)])
    begun = time.perf_counter()
    if graph == "fan":
        result = ray.get(total.remote(*[noop.remote(n) for n in range(count)]))
    else:
        future = 0
        for _ in range(count):
            future = following.remote(future)
        result = ray.get(future)
    say(time.perf_counter() - begun, result)
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
