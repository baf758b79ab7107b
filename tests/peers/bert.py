"""What an encoder gives for texts, in f64 and from its files alone, against what ohc gave.

    python bert.py FOLDER TEXTS OURS

FOLDER is an encoder, TEXTS a csv with the column `text`, OURS the same rows with `text@0`, `text@1`
and so on. Prints the largest cosine distance of a row, and the largest difference of a number.
"""

import csv
import json
import math
import sys
import unicodedata
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ERF = np.vectorize(math.erf)


def words(text):
    """BERT's words: without accents, in lower case, marks by themselves."""
    text = unicodedata.normalize("NFD", text).lower()
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    word = ""
    for c in text:
        mark = unicodedata.category(c).startswith("P") or c in "$+<=>^`|~"
        if (c.isspace() or mark) and word:
            yield word
            word = ""
        if mark:
            yield c
        elif not c.isspace():
            word += c
    if word:
        yield word


def pieces(word, vocabulary):
    """The longest piece that fits, from left to right."""
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                found.append(vocabulary[piece])
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return found


class Bert:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        said = json.loads((folder / "sentence_bert_config.json").read_text())
        self.length = said["max_seq_length"]
        self.vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        weights = load_file(folder / "model.safetensors")
        self.weights = {name: x.astype(np.float64) for name, x in weights.items()}

    def dense(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def tokens(self, text):
        ids = [id for word in words(text) for id in pieces(word, self.vocabulary)]
        ids = ids[: self.length - 2]
        return [self.vocabulary["[CLS]"], *ids, self.vocabulary["[SEP]"]]

    def encode(self, text):
        ids, w = self.tokens(text), self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings.LayerNorm", x)
        heads = self.config["num_attention_heads"]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}."

            def split(part):
                y = self.dense(f"{at}attention.self.{part}", x)
                return y.reshape(len(ids), heads, -1).transpose(1, 0, 2)

            q, k, v = split("query"), split("key"), split("value")
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True)) @ v
            mixed = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
            said = self.dense(at + "attention.output.dense", mixed)
            x = self.norm(at + "attention.output.LayerNorm", x + said)
            inner = self.dense(at + "intermediate.dense", x)
            inner = inner * (1 + ERF(inner / math.sqrt(2))) / 2
            x = self.norm(at + "output.LayerNorm", x + self.dense(at + "output.dense", inner))
        vector = x.mean(0)
        return vector / np.linalg.norm(vector)


def main(folder, texts, ours):
    bert = Bert(Path(folder))
    with open(texts, newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    with open(ours, newline="") as file:
        rows = list(csv.DictReader(file))
    width = bert.config["hidden_size"]
    ours = np.array([[float(row[f"text@{i}"]) for i in range(width)] for row in rows])
    truth = np.array([bert.encode(text) for text in texts])
    assert ours.shape == truth.shape, (ours.shape, truth.shape)
    cosine = (ours * truth).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(truth, axis=1)
    said = {
        "rows": len(texts),
        "tokens": max(len(bert.tokens(text)) for text in texts),
        "distance": float((1 - cosine).max()),
        "difference": float(np.abs(ours - truth).max()),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
