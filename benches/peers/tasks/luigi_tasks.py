"""luigi: its own local scheduler, one worker; what is done is known to the tasks alone."""

import sys
import time

from said import say


def main(graph, count):
    import luigi

    done = {}

    class Noop(luigi.Task):
        n = luigi.IntParameter()

        def complete(self):
            return self.n in done

        def run(self):
            done[self.n] = self.n

    class All(luigi.Task):
        def requires(self):
            return [Noop(n=n) for n in range(count)]

        def complete(self):
            return "all" in done

        def run(self):
            done["all"] = sum(done[n] for n in range(count))

    class Link(luigi.Task):
        n = luigi.IntParameter()

        def requires(self):
            return [Link(n=self.n - 1)] if self.n else []

        def complete(self):
            return self.n in done

        def run(self):
            done[self.n] = done.get(self.n - 1, 0) + 1

    last = All() if graph == "fan" else Link(n=count - 1)
    begun = time.perf_counter()
    assert luigi.build([last], local_scheduler=True, workers=1, log_level="ERROR")
    say(time.perf_counter() - begun, done["all"] if graph == "fan" else done[count - 1])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
