"""How hard texts are to foretell for a Llama, in f64 and from its files alone.

    python llama.py FOLDER TEXTS LENGTH STRIDE [GGUF]

FOLDER is a model of Hugging Face with pieces of SentencePiece, TEXTS a csv with the column `text`.
Prints tokens, loss and perplexity. Where GGUF is named, the model is written there too, as llama.cpp
keeps it: its own names, queries and keys in pairs, eight bits for a weight of the perceptron.
"""

import csv
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


class Llama:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        self.vocabulary = said["vocab"]
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(said["merges"])}
        weights = load_file(folder / "model.safetensors")
        self.weights = {name: x.astype(np.float64) for name, x in weights.items()}

    def tokens(self, text):
        pieces = list("▁" + text.replace(" ", "▁"))
        while True:
            found = [
                (self.ranks[pair], at)
                for at, pair in enumerate(zip(pieces, pieces[1:]))
                if pair in self.ranks
            ]
            if not found:
                break
            _, at = min(found)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        known = [piece if piece in self.vocabulary else "<unk>" for piece in pieces]
        return [self.vocabulary["<s>"], *(self.vocabulary[piece] for piece in known)]

    def norm(self, name, x):
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"])
        return x * self.weights[name + ".weight"]

    def outputs(self, ids):
        config, w = self.config, self.weights
        heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
        columns = config["hidden_size"] // heads
        speeds = config["rope_theta"] ** (-2 * np.arange(columns // 2) / columns)
        angles = np.outer(np.arange(len(ids)), speeds)
        cos, sin = np.cos(angles), np.sin(angles)

        def split(name, x, count, turns):
            y = (x @ w[name + ".weight"].T).reshape(len(ids), count, columns).transpose(1, 0, 2)
            if turns:
                a, b = y[..., : columns // 2], y[..., columns // 2 :]
                y = np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
            return y.repeat(heads // count, 0)

        x = w["model.embed_tokens.weight"][ids]
        later = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            seen = self.norm(at + "input_layernorm", x)
            q = split(at + "self_attn.q_proj", seen, heads, True)
            k = split(at + "self_attn.k_proj", seen, keys, True)
            v = split(at + "self_attn.v_proj", seen, keys, False)
            scores = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(columns) + later)
            mixed = (scores / scores.sum(-1, keepdims=True)) @ v
            mixed = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
            x = x + mixed @ w[at + "self_attn.o_proj.weight"].T
            seen = self.norm(at + "post_attention_layernorm", x)
            gate = seen @ w[at + "mlp.gate_proj.weight"].T
            gate = gate / (1 + np.exp(-gate)) * (seen @ w[at + "mlp.up_proj.weight"].T)
            x = x + gate @ w[at + "mlp.down_proj.weight"].T
        return self.norm("model.norm", x) @ w["lm_head.weight"].T

    def nats(self, ids, length, stride):
        """Of each token but the first, in the first window that has it."""
        begin, counted, all = 0, 1, []
        while counted < len(ids):
            end = min(begin + length, len(ids))
            fit = self.outputs(ids[begin:end])
            fit = fit - np.log(np.exp(fit).sum(-1, keepdims=True))
            all += [-fit[at - begin - 1, ids[at]] for at in range(counted, end)]
            begin, counted = begin + stride, end
        return all

    def eight_bits(self):
        """Rounds the perceptron as a GGUF file keeps it, and gives its blocks."""
        blocks = {}
        for name, x in self.weights.items():
            if ".mlp." in name:
                rows = x.reshape(-1, 32)
                scale = (np.abs(rows).max(1, keepdims=True) / 127).astype(np.float16)
                quants = np.rint(rows / scale.astype(np.float64)).astype(np.int8)
                self.weights[name] = (quants * scale.astype(np.float64)).reshape(x.shape)
                pairs = zip(scale, quants)
                blocks[name] = b"".join(d.tobytes() + q.tobytes() for d, q in pairs)
        return blocks


PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def said(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def listed(key, kind, values):
    return said(key, 9, struct.pack("<IQ", kind, len(values)) + b"".join(values))


def gguf(llama):
    """The bytes of the file."""
    config, blocks = llama.config, llama.eight_bits()
    words = sorted(llama.vocabulary, key=llama.vocabulary.get)
    ranks = {"".join(pair): rank for pair, rank in llama.ranks.items()}
    scores = [-1.0 - ranks[word] if word in ranks else -1e4 for word in words]
    kinds = [{"<unk>": 2, "<s>": 3, "</s>": 3, "<0x0A>": 6}.get(word, 1) for word in words]
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]

    def count(key, value):
        return said(key, 4, struct.pack("<I", value))

    sayings = [
        said("general.architecture", 8, text("llama")),
        count("llama.embedding_length", config["hidden_size"]),
        count("llama.feed_forward_length", config["intermediate_size"]),
        count("llama.block_count", config["num_hidden_layers"]),
        count("llama.attention.head_count", heads),
        count("llama.attention.head_count_kv", keys),
        count("llama.context_length", config["max_position_embeddings"]),
        count("llama.rope.dimension_count", config["hidden_size"] // heads),
        said("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        said("llama.rope.freq_base", 6, struct.pack("<f", config["rope_theta"])),
        said("tokenizer.ggml.model", 8, text("llama")),
        count("tokenizer.ggml.bos_token_id", 1),
        listed("tokenizer.ggml.tokens", 8, [text(word) for word in words]),
        listed("tokenizer.ggml.scores", 6, [struct.pack("<f", score) for score in scores]),
        listed("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in kinds]),
    ]
    infos, data = [], b""
    for known, x in llama.weights.items():
        name = known
        for part, other in PARTS.items():
            name = name.replace(part, other)
        count = {"q": heads, "k": keys}.get(known.split("_proj")[0][-1]) if "attn" in known else None
        if count:
            x = x.reshape(count, 2, -1, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
        if known in blocks:
            form, stored = 8, blocks[known]
        elif x.ndim == 1:
            form, stored = 0, x.astype(np.float32).tobytes()
        else:
            form, stored = 1, x.astype(np.float16).tobytes()
        sides = struct.pack(f"<I{x.ndim}Q", x.ndim, *reversed(x.shape))
        infos.append(text(name) + sides + struct.pack("<IQ", form, len(data)))
        data += stored + bytes(-len(stored) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(sayings))
    head += b"".join(sayings) + b"".join(infos)
    return head + bytes(-len(head) % 32) + data


def main(folder, texts, length, stride, file=None):
    llama = Llama(Path(folder))
    if file is not None:
        Path(file).write_bytes(gguf(llama))
    with open(texts, newline="") as rows:
        texts = [row["text"] for row in csv.DictReader(rows)]
    nats = [x for row in texts for x in llama.nats(llama.tokens(row), int(length), int(stride))]
    loss = sum(nats) / len(nats)
    print(json.dumps({"tokens": len(nats), "loss": loss, "perplexity": math.exp(loss)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
