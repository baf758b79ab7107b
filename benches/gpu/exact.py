#!/usr/bin/env python3
"""Exact kernels on a graphics card: are they the CPU's bit for bit, and what do they cost?

Needs a card, CuPy, PyTorch and blake3 (pip). Prints one JSON object. The digests are those of the
tests in `src/compute`: `kernel/sweep.rs` (all 2^32 inputs of every function) and `bench/train.rs`
(the perceptron after some steps). Matrix products are compared with a chain of fmaf in C.
"""
import ctypes, json, os, subprocess, sys, tempfile, time
import cupy as cp
import numpy as np
from blake3 import blake3

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = tempfile.mkdtemp()
# By nvcc itself: CuPy's own way to compile flushes what is below the normal range to zero.
FLAGS = ["-std=c++17", "-arch=native", "-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true"]
subprocess.run(["nvcc", *FLAGS, "-cubin", "-o", f"{FOLDER}/exact.cubin", f"{HERE}/exact.cu"], check=True)
MODULE = cp.RawModule(path=f"{FOLDER}/exact.cubin")
SWEEPS = {"exp": "a0bdf31a6088", "ln": "02cca0ba5371", "tanh": "a9cec4149e06",
          "sigmoid": "c8d03ef76d5c", "gelu": "7e32d8f47b6c", "gelu_slope": "1d8fd1cc1946"}
PERCEPTRON = "85d8a94455a4"
STEPS = 4
CHAIN = """
#include <cmath>
extern "C" void chain(const float *a, const float *b, float *out, int m, int n, int k) {
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) out[(long)i * n + j] = 0;
        for (int l = 0; l < k; l++)
            for (int j = 0; j < n; j++)
                out[(long)i * n + j] = __builtin_fmaf(a[(long)i * k + l], b[(long)l * n + j], out[(long)i * n + j]);
    }
}
"""


def kernel(name):
    return MODULE.get_function(name)


def blocks(n, threads=256):
    return (((n + threads - 1) // threads,), (threads,))


def sweep(name):
    """The digest of the digests of 2^12 blocks of 2^20 inputs."""
    run, size, digests = kernel(f"sweep_{name}"), 1 << 24, b""
    out = cp.empty(size, cp.uint32)
    for first in range(0, 1 << 32, size):
        run(*blocks(size), (np.uint32(first), out, np.uint32(size)))
        host = out.get()
        for block in host.reshape(16, 1 << 20):
            digests += blake3(block.tobytes(), max_threads=blake3.AUTO).digest()
    return blake3(digests).hexdigest()[:12]


def product(form, m, n, k, a, b, out):
    """A·B, Aᵀ·B or A·Bᵀ of row-major matrices."""
    ai, al = (1, m) if form == "tn" else (k, 1)
    bl, bj = (1, k) if form == "nt" else (n, 1)
    fits = lambda tile: -(-m // tile) * -(-n // tile)
    # As large a tile as still gives every multiprocessor something to do.
    tile, name, threads = (128, "product_large", 256)
    if fits(128) < 132:
        tile, name, threads = (64, "product_middle", 256)
    if tile == 64 and fits(64) < 132:
        tile, name, threads = (16, "product_small", 256)
    grid = (-(-n // tile), -(-m // tile))
    kernel(name)(grid, (threads,), (a, b, out, *map(np.int32, (m, n, k, ai, al, bl, bj))))
    return out


def chain():
    open(f"{FOLDER}/chain.cpp", "w").write(CHAIN)
    command = ["g++", "-O3", "-mavx2", "-mfma", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", f"{FOLDER}/chain.so", f"{FOLDER}/chain.cpp"], check=True)
    run = ctypes.CDLL(f"{FOLDER}/chain.so").chain
    pointer = lambda x: x.ctypes.data_as(ctypes.c_void_p)

    def of(a, b):
        (m, k), n = a.shape, b.shape[1]
        out = np.empty((m, n), np.float32)
        run(pointer(a), pointer(b), pointer(out), m, n, k)
        return out
    return of


def products_are_exact():
    of, dice, wrong = chain(), np.random.default_rng(), 0
    for m, n, k in [(1, 1, 1), (5, 17, 31), (13, 33, 65), (128, 10, 256), (128, 512, 784),
                    (784, 512, 128), (256, 10, 128), (300, 700, 1025), (2048, 2048, 513)]:
        a = dice.uniform(-1, 1, (m, k)).astype(np.float32)
        b = dice.uniform(-1, 1, (k, n)).astype(np.float32)
        # Tiny ones too, whose sums are below the normal range.
        a[m // 2:] *= np.float32(1e-25)
        b[:, : n // 2] *= np.float32(1e-17)
        expect = of(a, b).view(np.uint32)
        for form in ("nn", "tn", "nt"):
            left = np.ascontiguousarray(a.T) if form == "tn" else a
            right = np.ascontiguousarray(b.T) if form == "nt" else b
            out = cp.full((m, n), cp.nan, cp.float32)
            product(form, m, n, k, cp.asarray(left), cp.asarray(right), out)
            wrong += int((out.get().view(np.uint32) != expect).sum())
    return wrong


def median_seconds(run, repeats=9, seconds=0.05):
    """Seconds of one, of as many in a row as take some time, until the device has done them."""
    def timed(count):
        cp.cuda.Device().synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            run()
        cp.cuda.Device().synchronize()
        return (time.perf_counter() - begin) / count
    timed(3)
    count = max(1, int(seconds / timed(3)))
    return sorted(timed(count) for _ in range(repeats))[repeats // 2]


def product_speeds():
    import torch
    rows = []
    for n in (512, 1024, 2048, 4096, 8192):
        a, b = (torch.rand((n, n), device="cuda") - 0.5 for _ in range(2))
        ours = [cp.from_dlpack(x) for x in (a, b)] + [cp.empty((n, n), cp.float32)]
        flop, row = 2.0 * n ** 3, {"n": n}
        for tf32 in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            name = "cublas tf32" if tf32 else "cublas f32"
            row[name] = flop / median_seconds(lambda: torch.mm(a, b)) / 1e12
        for form in ("nn", "tn", "nt"):
            run = lambda: product(form, n, n, n, *ours)
            row[f"exact {form}"] = flop / median_seconds(run) / 1e12
        rows.append(row)
    return rows


class Philox:
    """Philox4x32-10 as in `philox.rs`: key (seed), counter (block, stream, purpose)."""

    def __init__(self, seed, purpose, stream):
        self.key, self.tail = (seed & 0xFFFFFFFF, seed >> 32), (stream, purpose)

    def words(self, count):
        n = -(-count // 4)
        mask = np.uint64(0xFFFFFFFF)
        a, b = np.arange(n, dtype=np.uint64), np.zeros(n, np.uint64)
        c, d = (np.full(n, x, np.uint64) for x in self.tail)
        k0, k1 = self.key
        for _ in range(10):
            p, q = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
            a, b, c, d = ((q >> np.uint64(32)) ^ b ^ np.uint64(k0), q & mask,
                          (p >> np.uint64(32)) ^ d ^ np.uint64(k1), p & mask)
            k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
        return np.stack([a, b, c, d], 1).reshape(-1)[:count].astype(np.uint32)

    def fill(self, low, high, count):
        low, high = np.float32(low), np.float32(high)
        uniform = (self.words(count) >> np.uint32(8)).astype(np.longdouble) / (1 << 24)
        return (np.longdouble(high - low) * uniform + np.longdouble(low)).astype(np.float32)


class Perceptron:
    """Dense layers with ReLU, cross-entropy and AdamW; every number is the CPU's."""

    def __init__(self, widths, batch):
        self.widths, self.batch = widths, batch
        self.layers = list(zip(widths, widths[1:]))
        self.theta, stream = [], 0
        for place, (i, o) in enumerate(self.layers):
            fan = np.float32(i if place + 1 < len(self.layers) else i + o)
            limit = np.sqrt(np.float32(6.0) / fan)
            self.theta += [Philox(1, 1, stream).fill(-limit, limit, i * o), np.zeros(o, np.float32)]
            stream += 1
        self.theta = [cp.asarray(x) for x in self.theta]
        self.m, self.v = ([cp.zeros_like(x) for x in self.theta] for _ in range(2))
        self.gradient = [cp.empty_like(x) for x in self.theta]
        self.y = [cp.empty(batch * o, cp.float32) for _, o in self.layers]
        self.by = [cp.empty(batch * i, cp.float32) for i, _ in self.layers]
        self.powers = [1.0, 1.0]

    def step(self, x, labels):
        batch, last = self.batch, len(self.layers) - 1
        given = x
        for place, (i, o) in enumerate(self.layers):
            y = product("nn", batch, o, i, given, self.theta[2 * place], self.y[place])
            kernel("bend")(*blocks(batch * o), (y, self.theta[2 * place + 1], np.int32(batch),
                                                np.int32(o), np.int32(place < last)))
            given = y
        classes = self.widths[-1]
        scale = np.float32(1.0) / np.float32(batch)
        kernel("entropy_gradient")(*blocks(batch, 32), (self.y[last], labels, np.int32(batch),
                                                        np.int32(classes), scale))
        by = self.y[last]
        for place in range(last, -1, -1):
            i, o = self.layers[place]
            if place < last:
                kernel("unbend")(*blocks(batch * o), (by, self.y[place], np.int32(batch * o)))
            given = self.y[place - 1] if place else x
            kernel("column_sums")(*blocks(o, 32), (by, self.gradient[2 * place + 1],
                                                   np.int32(batch), np.int32(o)))
            product("tn", i, o, batch, given, by, self.gradient[2 * place])
            if place:
                by = product("nt", batch, i, o, by, self.theta[2 * place], self.by[place])
        self.follow()

    def follow(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
        self.powers = [self.powers[0] * beta1, self.powers[1] * beta2]
        f = np.float32
        for at, theta in enumerate(self.theta):
            keep = f(1.0 - lr * decay) if at % 2 == 0 else f(1.0)
            rates = (f(lr), f(beta1), f(1.0 - beta1), f(beta2), f(1.0 - beta2),
                     f(1.0 / (1.0 - self.powers[0])), f(1.0 / (1.0 - self.powers[1])), f(eps), keep)
            kernel("adamw")(*blocks(theta.size), (theta, self.m[at], self.v[at], self.gradient[at],
                                                  np.int32(theta.size), *rates))


def perceptron_is_exact():
    learner = Perceptron((784, 512, 256, 10), 128)
    for step in range(STEPS):
        x = cp.asarray(Philox(1, 3, step % 8).fill(-1.0, 1.0, 128 * 784))
        labels = cp.asarray((Philox(2, 3, step % 8).words(128) % 10).astype(np.int32))
        learner.step(x, labels)
    digest = blake3()
    for theta in learner.theta:
        digest.update(theta.get().tobytes())
    return digest.hexdigest()[:12]


def perceptron_speeds():
    import torch
    rows = []
    for widths, batch in [((784, 512, 256, 10), 128), ((784, 4096, 4096, 10), 2048)]:
        learner = Perceptron(widths, batch)
        x = cp.asarray(Philox(1, 3, 0).fill(-1.0, 1.0, batch * widths[0]))
        labels = cp.asarray((Philox(2, 3, 0).words(batch) % 10).astype(np.int32))
        row = {"widths": widths, "batch": batch}
        row["exact"] = batch / median_seconds(lambda: learner.step(x, labels))
        tx, tl = torch.from_dlpack(x.reshape(batch, -1)), torch.from_dlpack(labels).long()
        for tf32 in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            parts = []
            for i, o in zip(widths, widths[1:]):
                parts += [torch.nn.Linear(i, o, device="cuda"), torch.nn.ReLU()]
            net = torch.nn.Sequential(*parts[:-1])
            optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)

            def step():
                optimiser.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(net(tx), tl).backward()
                optimiser.step()
            row["torch tf32" if tf32 else "torch f32"] = batch / median_seconds(step)
        rows.append(row)
    return rows


def main():
    name = cp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    said = {"card": name}
    said["products wrong"] = products_are_exact()
    said["perceptron"] = {"found": perceptron_is_exact(), "golden": PERCEPTRON}
    said["product TFLOP/s"] = product_speeds()
    said["perceptron samples/s"] = perceptron_speeds()
    begin = time.time()
    said["sweeps"] = {f: {"found": sweep(f), "golden": g} for f, g in SWEEPS.items()}
    said["sweep seconds"] = time.time() - begin
    print(json.dumps(said, indent=1))
    same = said["perceptron"]["found"] == PERCEPTRON
    same &= all(x["found"] == x["golden"] for x in said["sweeps"].values())
    sys.exit(0 if same and said["products wrong"] == 0 else 1)


main()
