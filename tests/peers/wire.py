"""The canonical bytes of a network's messages in another language, from schemas/wire.v1.json.

As a program it takes the folder `schemas`, reads every vector, writes it again, and checks digests
and signatures. It shares nothing with ohc but the schema.
"""

import json
import pathlib
import struct
import sys

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

INTEGERS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "f64": "<d"}


class Codec:
    """Reads and writes values of the types of a schema."""

    def __init__(self, schema):
        self.types, self.tags = schema["types"], schema["tags"]

    def decode(self, kind, data):
        value, rest = self._read(kind, data)
        if rest:
            raise ValueError(f"{len(rest)} bytes are left after {kind}")
        return value

    def _take(self, data, count):
        if len(data) < count:
            raise ValueError("the bytes end inside a value")
        return data[:count], data[count:]

    def _count(self, data):
        head, data = self._take(data, 4)
        count = struct.unpack("<I", head)[0]
        # Every item takes a byte at least: more of them than there are bytes is a lie.
        if count > len(data):
            raise ValueError("the bytes end inside a value")
        return count, data

    def _read(self, kind, data):
        if kind in INTEGERS:
            head, data = self._take(data, struct.calcsize(INTEGERS[kind]))
            return struct.unpack(INTEGERS[kind], head)[0], data
        if kind == "bool":
            head, data = self._take(data, 1)
            return {b"\0": False, b"\1": True}[head], data
        if kind.startswith("bytes"):
            return self._take(data, int(kind[5:]))
        if kind in ("text", "u8[]"):
            count, data = self._count(data)
            head, data = self._take(data, count)
            return (head.decode() if kind == "text" else head), data
        if kind.endswith("[]"):
            count, data = self._count(data)
            items = []
            for _ in range(count):
                item, data = self._read(kind[:-2], data)
                items.append(item)
            return items, data
        if kind.endswith("?"):
            there, data = self._read("bool", data)
            return self._read(kind[:-1], data) if there else (None, data)
        if kind.startswith("<"):
            key, value = kind[1:-1].split(", ")
            count, data = self._count(data)
            pairs = {}
            for _ in range(count):
                name, data = self._read(key, data)
                if pairs and name <= max(pairs):
                    raise ValueError("map keys are not strictly ascending")
                pairs[name], data = self._read(value, data)
            return pairs, data
        shape = self.types[kind]
        if isinstance(shape, str):
            return self._read(shape, data)
        fields = {}
        if isinstance(shape, dict):
            tag, data = self._take(data, 1)
            shape = shape[str(tag[0])]
            fields, shape = {"is": shape[0]}, shape[1:]
        for name, inner in shape:
            fields[name], data = self._read(inner, data)
        return fields, data

    def encode(self, kind, value):
        if kind in INTEGERS:
            return struct.pack(INTEGERS[kind], value)
        if kind == "bool":
            return b"\1" if value else b"\0"
        if kind.startswith("bytes"):
            return value
        if kind in ("text", "u8[]"):
            data = value.encode() if kind == "text" else value
            return struct.pack("<I", len(data)) + data
        if kind.endswith("[]"):
            items = b"".join(self.encode(kind[:-2], item) for item in value)
            return struct.pack("<I", len(value)) + items
        if kind.endswith("?"):
            return b"\0" if value is None else b"\1" + self.encode(kind[:-1], value)
        if kind.startswith("<"):
            names = kind[1:-1].split(", ")
            pairs = (zip(names, pair) for pair in sorted(value.items()))
            items = b"".join(self.encode(*part) for pair in pairs for part in pair)
            return struct.pack("<I", len(value)) + items
        shape = self.types[kind]
        if isinstance(shape, str):
            return self.encode(shape, value)
        head = b""
        if isinstance(shape, dict):
            tag, shape = next((t, s) for t, s in shape.items() if s[0] == value["is"])
            head, shape = bytes([int(tag)]), shape[1:]
        return head + b"".join(self.encode(inner, value[name]) for name, inner in shape)

    def digest(self, kind, data):
        return blake3(self.tags[kind].encode() + b"\0" + data).digest()

    def to_sign(self, kind, network, data):
        return blake3(self.tags[kind].encode() + b"\0" + network + data).digest()

    def seal(self, kind, secret, network, body):
        """A signed value: `SignedOrder` of an `Order`, and so on."""
        message = self.to_sign(kind, network, self.encode(kind, body))
        public = secret.public_key().public_bytes_raw()
        return {"author": public, "body": body, "signature": secret.sign(message)}

    def is_signed(self, kind, network, sealed):
        message = self.to_sign(kind, network, self.encode(kind, sealed["body"]))
        try:
            Ed25519PublicKey.from_public_bytes(sealed["author"]).verify(
                sealed["signature"], message
            )
        except InvalidSignature:
            return False
        return True


def frame(network, body):
    return struct.pack("<H", 1) + network[:8] + body


def check(folder):
    schema = json.loads((folder / "wire.v1.json").read_text())
    vectors = json.loads((folder / "wire-vectors.v1.json").read_text())
    codec, network = Codec(schema), bytes.fromhex(vectors["network"])
    assert codec.digest("Genesis", bytes.fromhex(vectors["genesis"])) == network
    secrets = {}
    for pair in vectors["keys"]:
        secret = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(pair["secret"]))
        public = secret.public_key().public_bytes_raw()
        assert public.hex() == pair["public"]
        secrets[public] = secret
    signed = 0
    for vector in vectors["messages"]:
        kind, data = vector["type"], bytes.fromhex(vector["bytes"])
        value = codec.decode(kind, data)
        assert codec.encode(kind, value) == data, vector["name"]
        for cut in range(len(data)):
            try:
                codec.decode(kind, data[:cut])
            except (ValueError, KeyError, UnicodeDecodeError):
                continue
            raise AssertionError(f"{vector['name']} can be read without its end")
        if "frame" in vector:
            assert frame(network, data).hex() == vector["frame"], vector["name"]
        if "digest" in vector:
            assert codec.digest(kind, data).hex() == vector["digest"], vector["name"]
        if kind.startswith("Signed"):
            body = kind[len("Signed") :]
            assert codec.is_signed(body, network, value), vector["name"]
            # Ed25519 gives one signature for one message: ours is theirs.
            again = codec.seal(body, secrets[value["author"]], network, value["body"])
            assert codec.encode(kind, again) == data, vector["name"]
            other = bytes([network[0] ^ 1]) + network[1:]
            assert not codec.is_signed(body, other, value), "it holds on another network"
            signed += 1
        if kind == "Slot":
            head = codec.digest("Head", codec.encode("Head", value["head"]))
            height, certificate = value["head"]["height"], value["certificate"]
            vote = {"height": height, "round": certificate["round"], "head": head}
            vote["kind"] = {"is": "Precommit"}
            for author, signature in certificate["signatures"].items():
                precommit = {"author": author, "body": vote, "signature": signature}
                assert codec.is_signed("Vote", network, precommit), "a certificate"
                signed += 1
    print(json.dumps({"vectors": len(vectors["messages"]), "signatures": signed}))


if __name__ == "__main__":
    check(pathlib.Path(sys.argv[1]))
