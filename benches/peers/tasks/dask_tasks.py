"""dask.distributed: a scheduler and two worker processes on this machine."""

import sys
import time

from said import say


def noop(n):
    return n


def total(numbers):
    return sum(numbers)


def main(graph, count):
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    client = Client(cluster)
    client.gather(client.map(noop, [-1, -2]))
    begun = time.perf_counter()
    if graph == "fan":
        result = client.submit(total, client.map(noop, range(count), pure=False)).result()
    else:
        future = 0
        for _ in range(count):
            future = client.submit(lambda n: n + 1, future, pure=False)
        result = future.result()
    say(time.perf_counter() - begun, result)
    client.close()
    cluster.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
