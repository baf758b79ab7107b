"""doit: tasks with values, remembered in a file so that they are not done again."""

import io
import sys
import time

from said import say


def main(graph, count):
    from doit.cmd_base import ModuleTaskLoader
    from doit.doit_cmd import DoitMain
    from doit.tools import run_once

    values = {}

    def noop(n):
        values[n] = n
        return {"n": n}

    def total():
        values["total"] = sum(values[n] for n in range(count))

    def following(n):
        values[n] = values.get(n - 1, 0) + 1

    def task_one():
        for n in range(count):
            if graph == "fan":
                yield {"name": str(n), "actions": [(noop, [n])], "uptodate": [run_once]}
            else:
                before = [f"one:{n - 1}"] if n else []
                action = [(following, [n])]
                yield {"name": str(n), "actions": action, "task_dep": before, "uptodate": [run_once]}

    def task_all():
        actions = [total] if graph == "fan" else []
        return {"actions": actions, "task_dep": ["one"]}

    out = io.StringIO()
    loader = ModuleTaskLoader({"task_one": task_one, "task_all": task_all})
    begun = time.perf_counter()
    sys.stdout, kept = out, sys.stdout
    code = DoitMain(loader).run(["run", "all"])
    sys.stdout = kept
    seconds = time.perf_counter() - begun
    assert code == 0, out.getvalue()
    say(seconds, values["total"] if graph == "fan" else values[count - 1])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
