"""Makes the made-up data sets beside it: the same bytes every time, from nothing but counters.

    python manifests/data/make.py        needs pyarrow for the parquet files

houses.csv             what a house costs: nearly linear in its properties, with noise of known size
deliveries/*.parquet   three days of deliveries, a file each: were they late?
tomorrow.parquet       deliveries of which nobody knows yet
reviews.csv            what guests wrote of a hotel, and whether they were pleased
small-bert/            an encoder with the files that Hugging Face's have. Its weights are chance: it
                       tells words apart and knows nothing of them
small-llama/           a language model with the files that Hugging Face's have. It knows which piece
                       of a word follows which in reviews.csv, and nothing else
payments.csv           who paid for what; the words do not say who, but for their order
shapes/*/*.png         rings, boxes and crosses, a picture each, in a folder for each of the three
tickets.csv            what people write to a shop, and which team answers

iris.csv and digits.csv are not made here: they are the UCI sets (CC BY 4.0).
"""

import csv
import json
import math
import struct
import zlib
from pathlib import Path

HERE = Path(__file__).parent


class Dice:
    """A linear congruential generator: the same on every machine and in every version."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53

    def between(self, low, high):
        return low + (high - low) * self.uniform()

    def below(self, n):
        return int(self.uniform() * n)

    def normal(self):
        """Nearly: the sum of twelve uniform numbers has variance 1."""
        return sum(self.uniform() for _ in range(12)) - 6


def houses():
    """The price is in thousands; the noise has a deviation of 18 of them."""
    dice = Dice(1)
    districts = {"centre": 90, "north": 20, "east": -15, "south": 35, "west": 0}
    lines = ["id,area,rooms,built,distance,district,garden,price"]
    for number in range(600):
        area = round(dice.between(35, 190), 1)
        rooms = max(1, round(area / 28 + dice.normal() * 0.7))
        built = 1900 + dice.below(124)
        distance = round(dice.between(0.3, 24), 1)
        district = list(districts)[dice.below(len(districts))]
        garden = dice.uniform() < 0.4
        price = 60 + 2.1 * area + 9 * rooms - 3.2 * distance + districts[district]
        price += 22 * garden + 0.35 * (built - 1960) + 18 * dice.normal()
        # Nobody knows when some of them were built.
        known = "" if dice.uniform() < 0.05 else str(built)
        word = "true" if garden else "false"
        lines.append(
            f"{number},{area},{rooms},{known},{distance},{district},{word},{price:.1f}"
        )
    (HERE / "houses.csv").write_text("\n".join(lines) + "\n")


TEAMS = {
    "billing": [
        "I was charged twice for my last order",
        "the invoice shows the wrong amount",
        "when do I get my money back",
        "my card was refused but the bank sees a payment",
        "please send me a receipt with the tax on it",
        "the discount is missing from the bill",
    ],
    "delivery": [
        "my parcel has not arrived yet",
        "the courier left the box in the rain",
        "the tracking number does not work",
        "can I change the address of my order",
        "half of the order is missing from the box",
        "the parcel went back to the sender",
    ],
    "account": [
        "I cannot log in since yesterday",
        "the password mail never comes",
        "please delete my account and my data",
        "somebody else uses my profile",
        "how do I change the name in my account",
        "the code for the login is always refused",
    ],
    "repair": [
        "the screen stays black after I turn it on",
        "the battery is empty within an hour",
        "one of the keys is broken",
        "it makes a loud noise when it runs",
        "the handle came off on the first day",
        "it no longer charges with the cable from the box",
    ],
}
AROUND = [
    "hello", "good morning", "dear team", "this is urgent", "thank you", "best regards",
    "I have written twice already", "I like your shop otherwise", "my order number is 4711",
    "I bought it as a present for my sister", "nobody answers the phone", "it is from last week",
]


def tickets():
    """Some words are mistyped, all have something around them that says nothing, and one in
    twenty-five went to the wrong team."""
    dice = Dice(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    lines = ["id,text,team"]
    for number in range(800):
        team = list(TEAMS)[dice.below(len(TEAMS))]
        parts = [TEAMS[team][dice.below(len(TEAMS[team]))]]
        for _ in range(1 + dice.below(3)):
            parts.insert(dice.below(len(parts) + 1), AROUND[dice.below(len(AROUND))])
        words = " - ".join(parts).split(" ")
        for place, word in enumerate(words):
            if len(word) > 3 and dice.uniform() < 0.08:
                at = dice.below(len(word))
                letter = letters[dice.below(len(letters))]
                words[place] = word[:at] + letter + word[at + dice.below(2) :]
        if dice.uniform() < 0.04:
            team = list(TEAMS)[dice.below(len(TEAMS))]
        lines.append(f"{number},{' '.join(words)},{team}")
    (HERE / "tickets.csv").write_text("\n".join(lines) + "\n")


ZONES = ["harbour", "hills", "market", "old-town", "station"]


def deliveries(dice, first, count, with_outcome):
    """Rows as columns. Distance, rush hour, rain and zone decide together whether one is late."""
    columns = {name: [] for name in ["id", "km", "items", "hour", "zone", "rain"]}
    late = []
    for number in range(first, first + count):
        km, items, hour = round(dice.between(0.4, 14), 2), 1 + dice.below(9), 8 + dice.below(14)
        zone, rain = ZONES[dice.below(len(ZONES))], dice.uniform() < 0.3
        rush = hour in (8, 9, 17, 18, 19)
        strain = 0.55 * km + 0.3 * items + 3.5 * rush + 2 * rain + 1.5 * ZONES.index(zone) - 9
        late.append("late" if strain + 0.8 * dice.normal() > 0 else "in-time")
        for name, value in zip(columns, [number, km, items, hour, zone, rain]):
            columns[name].append(value)
    return columns | {"outcome": late} if with_outcome else columns


def write(columns, path):
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, compression="zstd", row_group_size=400
    )


GOOD = ["clean", "quiet", "friendly", "lovely", "tasty", "bright", "warm", "helpful"]
BAD = ["dirty", "noisy", "rude", "awful", "stale", "dark", "cold", "careless"]
THINGS = ["room", "staff", "breakfast", "bed", "view", "kitchen", "pool", "garden"]
REST = ["the", "and", "but", "was", "were", "very", "a", "bit", "we", "will", "come", "back", "never"]
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "!", "##s", "##ly"]


def reviews():
    """Three remarks each; the majority decides, and one guest of thirty errs."""
    dice = Dice(4)
    lines = ["id,text,pleased"]
    for number in range(400):
        remarks, score = [], 0
        for _ in range(3):
            is_good = dice.uniform() < 0.5
            word = (GOOD if is_good else BAD)[dice.below(8)]
            score += 1 if is_good else -1
            very = ["", "very ", "a bit "][dice.below(3)]
            remarks.append(f"the {THINGS[dice.below(8)]} was {very}{word}")
        pleased = (score > 0) != (dice.uniform() < 1 / 30)
        text = f"{remarks[0]}, {remarks[1]} and {remarks[2]}."
        text = text[0].upper() + text[1:]
        lines.append(f'{number},"{text}",{"yes" if pleased else "no"}')
    (HERE / "reviews.csv").write_text("\n".join(lines) + "\n")


def halves(tensors):
    """A safetensors file of 16-bit floats: shape and values by name."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        size = len(values)
        header[name] = {
            "dtype": "F16",
            "shape": shape,
            "data_offsets": [len(data), len(data) + 2 * size],
        }
        data += struct.pack(f"<{size}e", *values)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


def encoder():
    """One block of BERT, 32 wide, in halves."""
    words = MARKS + GOOD + BAD + THINGS + REST
    width, inner, positions = 32, 64, 48
    shapes = {
        "embeddings.word_embeddings.weight": [len(words), width],
        "embeddings.position_embeddings.weight": [positions, width],
        "embeddings.token_type_embeddings.weight": [2, width],
    }
    at = "encoder.layer.0."
    for name, inputs, outputs in [
        ("attention.self.query", width, width),
        ("attention.self.key", width, width),
        ("attention.self.value", width, width),
        ("attention.output.dense", width, width),
        ("intermediate.dense", width, inner),
        ("output.dense", inner, width),
    ]:
        shapes[at + name + ".weight"] = [outputs, inputs]
        shapes[at + name + ".bias"] = [outputs]
    for name in ["embeddings.", at + "attention.output.", at + "output."]:
        shapes[name + "LayerNorm.weight"] = [width]
        shapes[name + "LayerNorm.bias"] = [width]
    dice, tensors = Dice(5), {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        if "LayerNorm" in name:
            values = [1.0 if name.endswith("weight") else 0.0] * size
        else:
            spread = 0.02 if "position" in name else 1 / math.sqrt(shape[-1])
            values = [dice.normal() * spread for _ in range(size)]
        tensors[name] = (shape, values)
    folder = HERE / "small-bert"
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(halves(tensors))

    def write(name, value):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n")

    write(
        "config.json",
        {
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "max_position_embeddings": positions,
            "vocab_size": len(words),
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "position_embedding_type": "absolute",
        },
    )
    write("1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    text, special = {"Sequence": {"id": "A", "type_id": 0}}, {}
    for mark in ["[CLS]", "[SEP]"]:
        special[mark] = {"id": mark, "ids": [words.index(mark)], "tokens": [mark]}
    ends = [{"SpecialToken": {"id": mark, "type_id": 0}} for mark in special]
    write(
        "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [ends[0], text, ends[1]],
                "pair": [ends[0], text, ends[1], {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": special,
            },
            "decoder": None,
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {word: number for number, word in enumerate(words)},
            },
        },
    )


def pairs(texts, count):
    """The most frequent pairs of pieces, joined one after the other."""
    merges = []
    for _ in range(count):
        seen = {}
        for text in texts:
            for pair in zip(text, text[1:]):
                seen[pair] = seen.get(pair, 0) + 1
        best = min(seen, key=lambda pair: (-seen[pair], pair))
        merges.append(best)
        for text in texts:
            at = 0
            while at + 1 < len(text):
                if (text[at], text[at + 1]) == best:
                    text[at : at + 2] = ["".join(best)]
                at += 1
    return merges


def decoder():
    """One block of a Llama, 64 wide, in halves. Each piece has a column of its own, and the head
    says of it how often each other follows; the block adds next to nothing."""
    with open(HERE / "reviews.csv", newline="") as file:
        texts = [list("▁" + row["text"].replace(" ", "▁")) for row in csv.DictReader(file)]
    letters = sorted({letter for text in texts for letter in text})
    merges = pairs(texts, 24)
    words = ["<unk>", "<s>", "</s>", "<0x0A>", *letters, *("".join(pair) for pair in merges)]
    number = {word: number for number, word in enumerate(words)}
    width, inner, heads, keys = 64, 32, 4, 2
    assert len(words) <= width
    counts = [[0.1] * len(words) for _ in words]
    for text in texts:
        for before, after in zip(["<s>", *text], text):
            counts[number[before]][number[after]] += 1
    # A norm makes the one column of a piece as large as the root of the width.
    chance = [[math.log(n / sum(row)) / math.sqrt(width) for n in row] for row in counts]
    head = [[row[word] for row in chance] for word in range(len(words))]
    empty = [0.0] * (width - len(words))
    dice = Dice(11)

    def noise(rows, columns):
        return ([rows, columns], [dice.normal() * 0.05 for _ in range(rows * columns)])

    at, wide = "model.layers.0.", width * keys // heads
    tensors = {
        "model.embed_tokens.weight": (
            [len(words), width],
            [float(column == word) for word in range(len(words)) for column in range(width)],
        ),
        at + "input_layernorm.weight": ([width], [1.0] * width),
        at + "self_attn.q_proj.weight": noise(width, width),
        at + "self_attn.k_proj.weight": noise(wide, width),
        at + "self_attn.v_proj.weight": noise(wide, width),
        at + "self_attn.o_proj.weight": noise(width, width),
        at + "post_attention_layernorm.weight": ([width], [1.0] * width),
        at + "mlp.gate_proj.weight": noise(inner, width),
        at + "mlp.up_proj.weight": noise(inner, width),
        at + "mlp.down_proj.weight": noise(width, inner),
        "model.norm.weight": ([width], [1.0] * width),
        "lm_head.weight": ([len(words), width], [x for row in head for x in [*row, *empty]]),
    }
    folder = HERE / "small-llama"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(halves(tensors))
    config = {
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": 1,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "max_position_embeddings": 256,
        "vocab_size": len(words),
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    text = {"Sequence": {"id": "A", "type_id": 0}}
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": number,
            "merges": [list(pair) for pair in merges],
        },
    }
    tokenizer = json.dumps(tokenizer, indent=1, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(tokenizer + "\n", encoding="utf-8")


def payments():
    """Two of four people are named in each, and only their places tell who of them paid."""
    dice = Dice(23)
    people = ["Anna", "Ben", "Carla", "David"]
    things = ["the tea", "two tickets", "a book", "the taxi", "lunch", "a lamp"]
    when = ["", "today ", "on Monday ", "as ever "]
    lines = ["id,text,payer"]
    for number in range(600):
        first = dice.below(4)
        second = (first + 1 + dice.below(3)) % 4
        verb, payer = [("paid", first), ("was paid by", second)][dice.below(2)]
        said = f"{people[first]} {verb} {people[second]}"
        text = f"{when[dice.below(4)]}{said} for {things[dice.below(6)]}"
        lines.append(f"{number},{text},{people[payer]}")
    (HERE / "payments.csv").write_text("\n".join(lines) + "\n")


def picture(lines):
    """A PNG of grey pixels. Not compressed: what compresses differs between systems."""

    def part(name, data):
        sum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + sum

    head = struct.pack(">IIBBBBB", len(lines[0]), len(lines), 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(line) for line in lines), 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", data) + part(b"IEND", b"")


def shapes():
    """16 by 16 pixels: the shape is bright, of any size and at any place, and all is noisy."""
    dice = Dice(17)
    inside = {
        "ring": lambda x, y, r: r - 1.3 < math.hypot(x, y) <= r,
        "box": lambda x, y, r: r - 1.3 < max(abs(x), abs(y)) <= r,
        "cross": lambda x, y, r: min(abs(x), abs(y)) < 0.8 and max(abs(x), abs(y)) <= r,
    }
    for name, is_inside in inside.items():
        folder = HERE / "shapes" / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(40):
            size = dice.between(4, 6)
            left, top = dice.between(size, 15 - size), dice.between(size, 15 - size)

            def pixel(x, y):
                light = 170 if is_inside(x - left, y - top, size) else 60
                return max(0, min(255, int(light + dice.normal() * 10)))

            lines = [[pixel(x, y) for x in range(16)] for y in range(16)]
            (folder / f"{number:02}.png").write_bytes(picture(lines))


if __name__ == "__main__":
    houses()
    reviews()
    encoder()
    decoder()
    shapes()
    payments()
    tickets()
    dice = Dice(2)
    for day in range(3):
        days = deliveries(dice, day * 800, 800, True)
        write(days, HERE / "deliveries" / f"day-{day + 1}.parquet")
    write(deliveries(dice, 2400, 300, False), HERE / "tomorrow.parquet")
