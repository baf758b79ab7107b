"""prefect: a flow whose tasks report to a server of its own, with its states in SQLite."""

import logging
import os
import sys
import time

from said import say

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")


def main(graph, count):
    logging.disable(logging.CRITICAL)
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner

    @task
    def noop(n):
        return n

    @task
    def total(numbers):
        return sum(numbers)

    @task
    def following(n):
        return n + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def fan():
        return total.submit([noop.submit(n) for n in range(count)]).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def chain():
        n = 0
        for _ in range(count):
            n = following.submit(n)
        return n.result()

    @flow
    def nothing():
        return 0

    nothing()  # starts the server
    begun = time.perf_counter()
    result = fan() if graph == "fan" else chain()
    say(time.perf_counter() - begun, result)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
