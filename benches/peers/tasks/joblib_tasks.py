"""joblib: processes and no graph. The floor of what a call to another process costs."""

import sys
import time

from said import say


def noop(n):
    return n


def main(graph, count):
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2) as parallel:
        parallel(delayed(noop)(n) for n in range(8))  # starts the processes
        begun = time.perf_counter()
        if graph == "fan":
            result = sum(parallel(delayed(noop)(n) for n in range(count)))
        else:
            result = 0
            for _ in range(count):
                result = parallel([delayed(noop)(result + 1)])[0]
        say(time.perf_counter() - begun, result)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
