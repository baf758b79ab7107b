"""What audits of the default policy cost: CPU time of the validators against that of the workers.

    OHC_NATS_SERVER=nats-server python3 benches/audits.py target/release/ohc [TRAININGS]

So many perceptrons learn digits on a network of `ohc dev`, without audits and then with those of the
default policy. What the validators take more the second time, over what the workers take, is what
audits cost. Training is nearly all that the workers do: a run takes a minute or more.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

MANIFESTS = pathlib.Path(__file__).resolve().parent.parent / "manifests"
PIPELINE = """
apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: {{ name: audits }}
spec:
  sources:
    pixels: {{ url: {data}, format: csv }}
  budget: {{ total: "100000.00" }}
  stages:
    table: {{ uses: ingest, inputs: {{ rows: sources.pixels }} }}
    train:
      uses: train
      matrix: {{ axes: {{ seed: {seeds} }} }}
      inputs: {{ data: table.table }}
      {policy}
      with:
        model: {{ kind: mlp, hidden: [128, 64] }}
        target: digit
        epochs: {epochs}
        optimizer: {{ kind: adamw, lr: 0.001 }}
        seed: "${{{{ matrix.seed }}}}"
    evaluate:
      uses: evaluate
      inputs: {{ models: "train.*.model", data: table.table }}
      with: {{ select: {{ metric: accuracy }} }}
  outputs:
    model: {{ from: evaluate.best, to: out/ }}
"""
EPOCHS = 200


def seconds(lab):
    """CPU seconds of each node so far, by its role."""
    spent = {"validator": 0.0, "worker": 0.0}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        role = next((role for role in spent if role.encode() in command[1:2]), None)
        if role and str(lab).encode() in b" ".join(command):
            spent[role] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def run(ohc, folder, lab, env, policy, seeds):
    """One apply: the CPU seconds of each role."""
    folder.mkdir()
    data = MANIFESTS / "data" / "digits.csv"
    text = PIPELINE.format(data=data, seeds=seeds, policy=policy, epochs=EPOCHS)
    (folder / "audits.yaml").write_text(text)
    before = seconds(lab)
    apply = [ohc, "apply", "audits.yaml", "-y"]
    done = subprocess.run(apply, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = seconds(lab)
    return {role: after[role] - before[role] for role in after}


def main():
    ohc, trainings = os.path.abspath(sys.argv[1]), int((sys.argv[2:] or ["24"])[0])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lab = folder / "lab"
        env = os.environ | {"XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name, "OHC_NETWORK": str(lab)}
        dev = [ohc, "dev", "--folder", str(lab), "-o", "json"]
        with subprocess.Popen(dev, env=env, stdout=subprocess.PIPE, text=True) as network:
            try:
                network.stdout.readline()
                seeds = list(range(trainings)), list(range(trainings, 2 * trainings))
                without = run(ohc, folder / "without", lab, env, "verification: none", seeds[0])
                audited = run(ohc, folder / "audited", lab, env, "", seeds[1])
            finally:
                network.send_signal(2)
    more = audited["validator"] - without["validator"]
    print(
        f"workers {without['worker']:.1f} and {audited['worker']:.1f} s, "
        f"validators {without['validator']:.1f} and {audited['validator']:.1f} s: "
        f"audits are {100 * more / audited['worker']:.1f} % of training"
    )


main()
