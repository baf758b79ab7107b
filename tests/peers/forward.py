"""Runs the code of a model card on another model, and compares with what ohc predicted.

Arguments: the card, the model file, and a CSV of rows of its features with the prediction and the
probability of each class. Prints how many rows agree; fails at the first that does not.
"""

import csv
import pathlib
import re
import sys

import numpy as np

card, model, said = map(pathlib.Path, sys.argv[1:])
code = re.search(r"```python\n(.*?)```", card.read_text(), re.S).group(1)
scope = {}
exec(code.replace('"model.safetensors"', repr(str(model))), scope)
about, rows = scope["about"], list(csv.DictReader(said.open()))

x = np.array([[float(row[name]) for name in about["features"]] for row in rows], dtype=np.float32)
outputs = scope["outputs"](x)
likely = np.exp(outputs - outputs.max(axis=1, keepdims=True))
likely /= likely.sum(axis=1, keepdims=True)
want = np.array([[float(row[f"p({name})"]) for name in about["classes"]] for row in rows])
assert np.abs(likely - want).max() < 1e-5, np.abs(likely - want).max()
classes = [about["classes"][index] for index in outputs.argmax(axis=1)]
assert classes == [row["prediction"] for row in rows]
print(len(rows))
