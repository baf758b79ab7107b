"""A worker in another language: it follows the log, bids, runs blocks of no-op jobs, and is paid.

Takes the folder of a worker that `ohc network init` made, and the folder `schemas`. Prints a line
when its bid stands and one for each receipt that it sent; ends when its standard input does.
"""

import asyncio
import base64
import binascii
import json
import os
import pathlib
import sys

import yaml
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client

from wire import Codec, frame

ASK, CAPACITY = 500_000, 50_000
RESEND = 2.0


def secret_of(pem):
    """The key of a PKCS#8 file: 32 bytes behind the head of an octet string in one."""
    der = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
    start = der.index(bytes.fromhex("04220420")) + 4
    return Ed25519PrivateKey.from_private_bytes(der[start : start + 32])


def public_of(secret):
    return secret.public_key().public_bytes_raw()


class Worker:
    def __init__(self, folder, schemas):
        self.codec = Codec(json.loads((schemas / "wire.v1.json").read_text()))
        config = yaml.safe_load((folder / "config.yaml").read_text())
        network = folder / config["network"]
        self.network = yaml.safe_load(network.read_text())
        self.id = bytes.fromhex(self.network["id"])
        genesis = yaml.safe_load((network.parent / self.network["genesis"]).read_text())
        staked = ((a["key"], float(a.get("stake", 0))) for a in genesis["allocations"])
        self.stakes = {bytes.fromhex(key): stake for key, stake in staked if stake}
        self.store = network.parent / self.network["store"]
        self.secret = secret_of((folder / config["key"]).read_text())
        self.key = public_of(self.secret)
        self.name = self.key.hex()[:16]
        seed = base64.b32decode((folder / config["credentials"]).read_text().strip() + "======")
        self.nkey = Ed25519PrivateKey.from_private_bytes(seed[2:34])
        # What is known of the log: its last slot, the digest of that one's head, our last number.
        self.height, self.parent, self.nonce = 0, self.id, 0
        self.sent = set()
        self.bus = Client()

    async def connect(self):
        public = b"\xa0" + public_of(self.nkey)
        public += binascii.crc_hqx(public, 0).to_bytes(2, "little")
        # The library wants a module of its own for this, and it is but a name and a signature.
        self.bus._public_nkey = base64.b32encode(public).decode().rstrip("=")
        sign = lambda nonce: base64.b64encode(self.nkey.sign(nonce.encode()))  # noqa: E731
        inbox = f"_INBOX_{self.name}".encode()
        await self.bus.connect(self.network["nats"], signature_cb=sign, inbox_prefix=inbox)

    def subject(self, name):
        return f"ohc.{self.id.hex()[:16]}.{name}"

    async def ask(self, question):
        data = frame(self.id, self.codec.encode("Ask", question))
        answer = await self.bus.request(self.subject(f"fetch.{self.name}"), data, timeout=RESEND)
        assert answer.data[:10] == frame(self.id, b""), "of another network or version"
        return self.codec.decode("Answer", answer.data[10:])

    async def follow(self):
        """Takes in what is final by now; what is not certified is not taken."""
        while True:
            answer = await self.ask({"is": "Slots", "from": self.height + 1})
            for data in answer["slots"]:
                self.take(self.codec.decode("Slot", data))
            if self.height >= answer["last"]:
                return

    def take(self, slot):
        codec, head, poh = self.codec, slot["head"], slot["poh"]
        root = lambda tag, kind, items: blake3(  # noqa: E731
            tag + b"\0" + codec.encode(kind, items)
        ).digest()
        assert head["height"] == self.height + 1 and head["parent"] == self.parent
        assert head["commands"] == root(b"ohc/commands/1", "SignedOrder[]", slot["commands"])
        assert head["poh"] == root(b"ohc/poh-segment/1", "Entry[]", poh)
        assert poh[-1]["mixin"] == head["commands"]
        digest = codec.digest("Head", codec.encode("Head", head))
        vote = {"height": head["height"], "round": slot["certificate"]["round"], "head": digest}
        vote["kind"], stake = {"is": "Precommit"}, 0
        for author, signature in slot["certificate"]["signatures"].items():
            said = {"author": author, "body": vote, "signature": signature}
            assert codec.is_signed("Vote", self.id, said)
            stake += self.stakes[author]
        assert 3 * stake > 2 * sum(self.stakes.values()), "it is not final"
        self.height, self.parent = head["height"], digest
        numbers = (o["body"]["nonce"] for o in slot["commands"] if o["author"] == self.key)
        self.nonce = max(self.nonce, *numbers, 0)

    async def order(self, command):
        """Sends a command until the log has it."""
        await self.follow()
        body = {"nonce": self.nonce + 1, "command": command}
        sealed = self.codec.seal("Order", self.secret, self.id, body)
        data = frame(self.id, self.codec.encode("SignedOrder", sealed))
        while self.nonce < body["nonce"]:
            await self.bus.publish(self.subject(f"command.{self.key.hex()[:16]}"), data)
            for _ in range(int(RESEND / 0.05)):
                await asyncio.sleep(0.05)
                await self.follow()
                if self.nonce >= body["nonce"]:
                    return

    def put(self, data):
        """An artifact into the store, whole or not at all."""
        digest = blake3(data).digest()
        place = self.store / digest.hex()[:2] / digest.hex()[2:]
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            draft = place.with_name(f"{place.name}#{os.getpid()}")
            draft.write_bytes(data)
            draft.rename(place)
        return digest

    def run(self, held):
        """The receipt for a lease, if all that it asks for is nothing."""
        if any(task["kind"] != "noop" for task in held["tasks"]):
            return None
        done = b"ohc noop\n"
        claims = [
            {"job": t["job"], "outputs": [self.put(done)], "bytes": len(done)}
            | {"read": 0, "given": len(done), "segments": [], "metrics": []}
            for t in held["tasks"]
        ]
        return {"lease": held["lease"], "outcome": {"is": "Done", "claims": claims}}

    async def work(self):
        answer = await self.ask({"is": "Work", "worker": self.key})
        new = [held for held in answer["held"] if str(held["lease"]) not in self.sent]
        receipts = [receipt for receipt in map(self.run, new) if receipt]
        if receipts:
            self.sent |= {str(receipt["lease"]) for receipt in receipts}
            await self.order({"is": "Deliver", "receipts": receipts[:256]})
            print(json.dumps({"delivered": len(receipts), "slot": self.height}), flush=True)

    async def live(self):
        await self.connect()
        has = {"cores": 1, "memory": 1 << 30, "gpus": 0}
        bid = {"ask": ASK, "capacity": CAPACITY, "has": has}
        await self.order({"is": "Bid", "bid": bid})
        print(json.dumps({"ready": self.key.hex(), "slot": self.height}), flush=True)
        over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not over.done():
            await self.work()
            await asyncio.sleep(0.05)
        await self.order({"is": "Withdraw"})
        await self.bus.close()


asyncio.run(Worker(*map(pathlib.Path, sys.argv[1:3])).live())
