#!/usr/bin/env python3
"""Sentences per second of an encoder in PyTorch on a CPU, beside which `ohc bench embed` stands.

    bert.py FOLDER [THREADS]      FOLDER is an encoder, such as `tests/peers/minilm` prints

The network is BERT written with what PyTorch has for it: `scaled_dot_product_attention`, fused
queries, keys and values. Sentences are those of `ohc bench embed`; they are sorted by length and go
through in batches of 32, padded and masked, as sentence-transformers does it. Tokens are made
before: what is measured is the network. Prints JSON: the median of five turns.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

BATCH, SENTENCES, TURNS = 32, 256, 5


def read(folder):
    """safetensors without its package: a header of JSON, then the numbers."""
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, about in header.items():
        if about.get("dtype") == "F32":
            begin, end = (8 + size + at for at in about["data_offsets"])
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
            tensors[name] = flat.reshape(about["shape"])
    return tensors


class Bert:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.w = w = read(folder)
        self.seen = []
        for layer in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}.attention.self."
            names = [at + part for part in ("query", "key", "value")]
            self.seen.append(
                [torch.cat([w[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias")]
            )

    def dense(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def norm(self, name, x):
        scale, shift = self.w[name + ".weight"], self.w[name + ".bias"]
        return F.layer_norm(x, scale.shape, scale, shift, self.config["layer_norm_eps"])

    def encode(self, ids, mask):
        rows, length = ids.shape
        heads = self.config["num_attention_heads"]
        x = self.w["embeddings.word_embeddings.weight"][ids]
        x = x + self.w["embeddings.position_embeddings.weight"][:length]
        x = x + self.w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings.LayerNorm", x)
        keep = mask[:, None, None, :]
        for layer, (weight, bias) in enumerate(self.seen):
            at = f"encoder.layer.{layer}."
            qkv = F.linear(x, weight, bias).reshape(rows, length, 3, heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)
            mixed = mixed.transpose(1, 2).reshape(rows, length, -1)
            said = self.dense(at + "attention.output.dense", mixed)
            x = self.norm(at + "attention.output.LayerNorm", x + said)
            inner = F.gelu(self.dense(at + "intermediate.dense", x))
            x = self.norm(at + "output.LayerNorm", x + self.dense(at + "output.dense", inner))
        x = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(x)


def lengths():
    """Tokens of each sentence of `ohc bench embed`, with the two marks."""
    return [2 + 4 + i * 7 % 29 for i in range(SENTENCES)]


@torch.inference_mode()
def main(folder, threads=1):
    torch.set_num_threads(int(threads))
    bert = Bert(Path(folder))
    sentences = [[101, *(2000 + (i + j) % 977 for j in range(n - 2)), 102] for i, n in enumerate(lengths())]
    sentences.sort(key=len)

    def turn():
        for at in range(0, len(sentences), BATCH):
            batch = sentences[at : at + BATCH]
            longest = max(map(len, batch))
            ids = torch.zeros(len(batch), longest, dtype=torch.long)
            mask = torch.zeros(len(batch), longest, dtype=torch.bool)
            for row, sentence in enumerate(batch):
                ids[row, : len(sentence)] = torch.tensor(sentence)
                mask[row, : len(sentence)] = True
            bert.encode(ids, mask)

    turn()
    seconds = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        turn()
        seconds.append(time.perf_counter() - begin)
    rate = SENTENCES / statistics.median(seconds)
    print(json.dumps({"peer": f"torch {torch.__version__}", "sentences/s": round(rate, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
