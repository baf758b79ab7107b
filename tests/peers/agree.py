"""Trains the same models with ohc and with scikit-learn on the same rows, and compares them.

Usage: agree.py OHC FOLDER, where OHC is the program and FOLDER an empty folder to work in.

One pipeline trains all models. They are read back with Python's safetensors and computed with
numpy alone, so what is compared is what a stranger makes of the file. A convex model has one
optimum: predictions must agree closely, and must not agree with a peer that minimises another
objective (the control), else the tolerance would prove nothing. A perceptron has many optima: its
score on held-out rows must be within noise of the peer's.

Writes one JSON object per case; exits with 1 if a case disagrees.
"""

import json
import os
import subprocess
import sys

import numpy as np
import sklearn.datasets as datasets
from safetensors.numpy import load_file
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

OHC, FOLDER = sys.argv[1], sys.argv[2]
DECAY = 0.02
# How far predictions of the same optimum may be apart: f32 leaves about 1e-7.
NEAR = 1e-4
# How far below the peer's the score of a perceptron may be.
NOISE = 0.05
FULL = {"kind": "sgd", "lr": 0.3, "momentum": 0.9, "weightDecay": DECAY}
FALL = {"kind": "cosine"}


def rows(name):
    """Train and test rows: features, target."""
    x, y = getattr(datasets, "load_" + name)(return_X_y=True)
    stratify = y if name != "diabetes" else None
    return train_test_split(x, y, test_size=0.25, random_state=1, stratify=stratify)


DATA = {name: rows(name) for name in ["iris", "wine", "breast_cancer", "digits", "diabetes"]}


def write(name):
    """The training rows as CSV: features x0…, target y, and for wine two labels."""
    x, _, y, _ = DATA[name]
    names = [f"x{i}" for i in range(x.shape[1])] + ["y"]
    table = np.column_stack([x, y])
    if name == "wine":
        names += ["first", "strong"]
        table = np.column_stack([table, labels(x, y)])
    os.makedirs(f"{FOLDER}/data", exist_ok=True)
    with open(f"{FOLDER}/data/{name}.csv", "w", encoding="ascii") as file:
        file.write(",".join(names) + "\n")
        for row in table:
            cells = [repr(float(cell)) for cell in row]
            if name != "diabetes":
                cells[x.shape[1]] = f"c{int(row[x.shape[1]])}"
            file.write(",".join(cells) + "\n")


def labels(x, y):
    """Whether a wine is of the first class, and whether its alcohol is above 13 percent."""
    return np.column_stack([y == 0, x[:, 0] > 13.0]).astype(float)


def convex(data, epochs=3000, **settings):
    """A model with one optimum: whole batches, so that every step follows the true gradient."""
    n = len(DATA[data][0])
    return {"epochs": epochs, "batch": n, "optimizer": FULL, "schedule": FALL, **settings}


def perceptron(hidden, epochs, **settings):
    return {
        "model": {"kind": "mlp", "hidden": hidden},
        "epochs": epochs,
        "optimizer": {"kind": "adamw", "lr": 0.003},
        "schedule": FALL,
        **settings,
    }


LOGISTIC, LINEAR = {"kind": "logistic"}, {"kind": "linear"}
STAGES = {
    "iris-logistic": ("iris", convex("iris", model=LOGISTIC, target="y")),
    "wine-logistic": (
        "wine",
        convex("wine", model=LOGISTIC, target="y", features=[f"x{i}" for i in range(13)]),
    ),
    "cancer-logistic": ("breast_cancer", convex("breast_cancer", model=LOGISTIC, target="y")),
    "cancer-balanced": (
        "breast_cancer",
        convex("breast_cancer", model=LOGISTIC, target="y", classWeights="balanced"),
    ),
    "wine-labels": (
        "wine",
        convex(
            "wine",
            task="multi-label",
            model=LOGISTIC,
            targets=["first", "strong"],
            features=[f"x{i}" for i in range(13)],
        ),
    ),
    "diabetes-linear": (
        "diabetes",
        convex(
            "diabetes",
            task="regression",
            model=LINEAR,
            target="y",
            optimizer={**FULL, "lr": 0.05},
        ),
    ),
    "iris-mlp": ("iris", perceptron([16], 100, target="y", batch=16)),
    "digits-mlp": ("digits", perceptron([64], 30, target="y")),
    "digits-stopped": (
        "digits",
        perceptron(
            [64],
            60,
            target="y",
            validation=0.1,
            earlyStopping={"patience": 5},
            schedule={"kind": "constant"},
        ),
    ),
    "diabetes-mlp": (
        "diabetes",
        perceptron(
            [16],
            60,
            task="regression",
            target="y",
            validation=0.1,
            earlyStopping={"patience": 10},
        ),
    ),
}


def run():
    """Trains every stage in one pipeline."""
    used = sorted({data for data, _ in STAGES.values()})
    for name in used:
        write(name)
    stages = {
        f"table-{name}".replace("_", "-"): {"uses": "ingest", "inputs": {"rows": f"sources.{name}"}}
        for name in used
    }
    for stage, (data, settings) in STAGES.items():
        table = f"table-{data}.table".replace("_", "-")
        stages[stage] = {"uses": "train", "inputs": {"data": table}, "with": settings}
    manifest = {
        "apiVersion": "ohc/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "agree"},
        "spec": {
            "sources": {name: {"url": f"data/{name}.csv", "format": "csv"} for name in used},
            "budget": {"total": "500.00"},
            "stages": stages,
            "outputs": {name: {"from": f"{name}.model", "to": f"out/{name}/"} for name in STAGES},
        },
    }
    # JSON is YAML.
    with open(f"{FOLDER}/agree.yaml", "w", encoding="ascii") as file:
        json.dump(manifest, file)
    environment = {**os.environ, "OHC_HOME": f"{FOLDER}/home", "NO_COLOR": "1"}
    done = subprocess.run(
        [OHC, "apply", "agree.yaml", "-o", "json"],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"apply ended with {done.returncode}\n{done.stdout}\n{done.stderr}")


class Model:
    """A model file, computed with numpy alone."""

    def __init__(self, stage):
        path = f"{FOLDER}/out/{stage}/model.safetensors"
        self.tensors = load_file(path)
        with safe_open(path, framework="numpy") as file:
            self.about = json.loads(file.metadata()["ohc"])

    def outputs(self, x):
        names = [f"x{i}" for i in range(x.shape[1])]
        assert self.about["features"] == names, self.about["features"]
        t = self.tensors
        y = (x - t["scaling.mean"]) * t["scaling.scale"]
        layers = sum(name.endswith(".bias") for name in t)
        for i in range(layers):
            y = y @ t[f"layers.{i:02}.weight"].astype(float) + t[f"layers.{i:02}.bias"]
            if i + 1 < layers:
                assert self.about["activation"] == "relu"
                y = np.maximum(y, 0)
        return y

    def predict(self, x):
        y = self.outputs(x)
        if self.about["task"] == "classification":
            p = np.exp(y - y.max(axis=1, keepdims=True))
            return p / p.sum(axis=1, keepdims=True)
        if self.about["task"] == "multi-label":
            return 1 / (1 + np.exp(-y))
        return y[:, 0] * self.tensors["target.deviation"][0] + self.tensors["target.mean"][0]


def logistic(x, y, c, **settings):
    peer = LogisticRegression(C=c, tol=1e-10, max_iter=100_000, **settings)
    return peer.fit(x, y)


def peer(stage, test, decay):
    """What a convex peer with an L2 penalty of decay / 2 says of the test rows."""
    x, _, y, _ = DATA[STAGES[stage][0]]
    n = len(x)
    scaler = StandardScaler().fit(x)
    x, test = scaler.transform(x), scaler.transform(test)
    if stage == "diabetes-linear":
        # Ours is the mean of squares in deviations of the target, theirs the sum of squares.
        mean, deviation = y.mean(), y.std()
        ridge = Ridge(alpha=n * decay / 2).fit(x, (y - mean) / deviation)
        return ridge.predict(test) * deviation + mean
    if stage == "wine-labels":
        # The mean over two labels halves the loss of each.
        marks = labels(DATA["wine"][0], DATA["wine"][2])
        each = [logistic(x, marks[:, i], 1 / (n * decay * 2)) for i in range(2)]
        return np.column_stack([each.predict_proba(test)[:, 1] for each in each])
    if stage.startswith("cancer"):
        # Two opposite columns of weights are penalised half as much as their difference.
        weight = "balanced" if stage == "cancer-balanced" else None
        return logistic(x, y, 2 / (n * decay), class_weight=weight).predict_proba(test)
    return logistic(x, y, 1 / (n * decay)).predict_proba(test)


def score(stage):
    """What a perceptron of theirs and of ours score on the test rows."""
    data, settings = STAGES[stage]
    x, test, y, truth = DATA[data]
    scaler = StandardScaler().fit(x)
    shape = {"hidden_layer_sizes": settings["model"]["hidden"], "random_state": 1}
    ours = Model(stage).predict(test)
    if data == "diabetes":
        mean, deviation = y.mean(), y.std()
        peer = MLPRegressor(
            **shape, max_iter=settings["epochs"], learning_rate_init=0.003, batch_size=32,
            early_stopping=True,
        ).fit(scaler.transform(x), (y - mean) / deviation)
        theirs = peer.predict(scaler.transform(test)) * deviation + mean
        return r2_score(truth, ours), r2_score(truth, theirs)
    peer = MLPClassifier(
        **shape,
        max_iter=settings["epochs"],
        learning_rate_init=0.003,
        batch_size=settings.get("batch", 32),
        early_stopping="earlyStopping" in settings,
    ).fit(scaler.transform(x), y)
    theirs = peer.predict(scaler.transform(test))
    return accuracy_score(truth, ours.argmax(axis=1)), accuracy_score(truth, theirs)


def main():
    run()
    good = True
    for stage, (data, settings) in STAGES.items():
        _, test, _, truth = DATA[data]
        if settings["model"]["kind"] == "mlp":
            ours, theirs = score(stage)
            case = {"ours": ours, "theirs": theirs, "tolerance": NOISE}
            case["agrees"] = bool(ours > theirs - NOISE)
            if data == "digits":
                case["agrees"] &= bool(ours >= 0.95)
        else:
            # Numbers of diabetes are in the hundreds, probabilities at most 1.
            unit = truth.std() if stage == "diabetes-linear" else 1.0
            ours = Model(stage).predict(test)
            apart = lambda theirs: float(np.abs(ours - theirs).max() / unit)
            case = {
                "difference": apart(peer(stage, test, DECAY)),
                "control": apart(peer(stage, test, DECAY * 1.2)),
                "tolerance": NEAR,
            }
            case["agrees"] = case["difference"] < NEAR < case["control"]
        good &= case["agrees"]
        print(json.dumps({"case": stage, **case}), flush=True)
    sys.exit(0 if good else 1)


main()
