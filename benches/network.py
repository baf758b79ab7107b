"""iris on a network of `ohc dev` and in one process, in turns: milliseconds from start to exit.

    OHC_NATS_SERVER=nats-server python3 benches/network.py target/release/ohc [TURNS]

Each turn trains a little longer than the one before, so that no result is known; the first does not
count. Files lie in TMPDIR: name a folder in memory to leave the disk out.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MANIFESTS = pathlib.Path(__file__).resolve().parent.parent / "manifests"


def turn(ohc, folder, epochs, env):
    """One apply, with a copy of the manifest and its data beside it."""
    folder.mkdir()
    shutil.copy(MANIFESTS / "iris.yaml", folder)
    shutil.copytree(MANIFESTS / "data", folder / "data")
    apply = [ohc, "apply", "iris.yaml", "-y", "-o", "json", "-p", f"epochs={epochs}"]
    begin = time.monotonic()
    done = subprocess.run(apply, cwd=folder, env=env, capture_output=True, text=True)
    passed = 1000 * (time.monotonic() - begin)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "settled", done.stdout
    return passed


def main():
    ohc, turns = os.path.abspath(sys.argv[1]), int((sys.argv[2:] or ["9"])[0])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lab = folder / "lab"
        env = os.environ | {"XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name}
        dev = [ohc, "dev", "--folder", str(lab), "-o", "json"]
        with subprocess.Popen(dev, env=env, stdout=subprocess.PIPE, text=True) as network:
            try:
                network.stdout.readline()
                there, here = [], []
                for n in range(turns + 1):
                    at, alone = folder / f"there-{n}", folder / f"here-{n}"
                    there.append(turn(ohc, at, 60 + n, env | {"OHC_NETWORK": str(lab)}))
                    here.append(turn(ohc, alone, 60 + n, env | {"OHC_HOME": str(alone / "home")}))
            finally:
                network.send_signal(2)
    both = [statistics.median(times[1:]) for times in (there, here)]
    print(f"network {both[0]:.0f} ms, one process {both[1]:.0f} ms: {both[0] / both[1]:.1f} times")


main()
