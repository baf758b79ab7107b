"""Compares the measures of an evaluation with scikit-learn's, case by case.

Reads JSON from the standard input: a list of cases with what is true, what was said, and what ohc
measured. Fails at the first measure that is not the same; prints how many were compared.
"""

import json
import sys
import warnings

import numpy as np
from sklearn import metrics as sk

warnings.filterwarnings("ignore", category=sk._classification.UndefinedMetricWarning)
compared = 0


def same(case, name, want):
    global compared
    got = case["measures"].get(name)
    if want is None or np.isnan(want):
        assert got is None, f"{case['name']}: {name} is {got}, but is not defined"
        return
    assert got is not None, f"{case['name']}: {name} is missing, {want} in scikit-learn"
    close = abs(got - want) <= 1e-12 * max(1.0, abs(want))
    assert close, f"{case['name']}: {name} is {got!r}, {want!r} in scikit-learn"
    compared += 1


def averages(case, actual, predicted, plain="macro"):
    for name, score in [
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
        ("f1", sk.f1_score),
    ]:
        same(case, name, score(actual, predicted, average=plain, zero_division=0))
        same(case, f"{name}Weighted", score(actual, predicted, average="weighted", zero_division=0))


def area(actual, scores):
    return sk.roc_auc_score(actual, scores) if 0 < actual.sum() < len(actual) else None


def mean_area(areas):
    known = [area for area in areas if area is not None]
    return np.mean(known) if known else None


def calibration_error(probabilities, right):
    confidence = probabilities.max(axis=1)
    bins = np.clip(np.ceil(np.round(confidence * 10, 12)) - 1, 0, 9)
    gaps = 0.0
    for number in np.unique(bins):
        rows = bins == number
        gaps += abs(right[rows].mean() - confidence[rows].mean()) * rows.sum()
    return gaps / len(right)


def classes(case):
    actual, predicted = np.array(case["actual"]), np.array(case["predicted"])
    count = case["classes"]
    probabilities = np.array(case["probabilities"]).reshape(-1, count)
    assert (probabilities.argmax(axis=1) == predicted).all(), "the first of equals wins"
    same(case, "accuracy", sk.accuracy_score(actual, predicted))
    labels = list(range(count))
    same(case, "loss", sk.log_loss(actual, y_proba=probabilities, labels=labels))
    averages(case, actual, predicted)
    if count == 2:
        same(case, "rocAuc", area(actual == 1, probabilities[:, 1]))
    else:
        areas = [area(actual == label, probabilities[:, label]) for label in labels]
        same(case, "rocAuc", mean_area(areas))
        if None not in areas:
            whole = sk.roc_auc_score(actual, probabilities, multi_class="ovr", average="macro")
            same(case, "rocAuc", whole)
    same(case, "calibrationError", calibration_error(probabilities, actual == predicted))


def labels(case):
    count = case["labels"]
    actual = np.array(case["actual"]).reshape(-1, count)
    predicted = np.array(case["predicted"]).reshape(-1, count)
    probabilities = np.array(case["probabilities"]).reshape(-1, count)
    same(case, "accuracy", sk.accuracy_score(actual, predicted))
    same(case, "hammingLoss", sk.hamming_loss(actual, predicted))
    averages(case, actual, predicted)
    same(case, "f1Micro", sk.f1_score(actual, predicted, average="micro", zero_division=0))
    areas = [area(actual[:, label], probabilities[:, label]) for label in range(count)]
    same(case, "rocAuc", mean_area(areas))
    each = [
        sk.log_loss(actual[:, label], y_proba=probabilities[:, label], labels=[False, True])
        for label in range(count)
    ]
    same(case, "loss", np.mean(each))


def real(case):
    actual, predicted = np.array(case["actual"]), np.array(case["predicted"])
    same(case, "mse", sk.mean_squared_error(actual, predicted))
    same(case, "rmse", sk.root_mean_squared_error(actual, predicted))
    same(case, "mae", sk.mean_absolute_error(actual, predicted))
    same(case, "medianAbsoluteError", sk.median_absolute_error(actual, predicted))
    same(case, "r2", sk.r2_score(actual, predicted))


for case in json.load(sys.stdin):
    {"classes": classes, "labels": labels, "real": real}[case["kind"]](case)
print(compared)
