# The verbs of the project. What matters in CI is `tests/run`, which needs no `just`.

# Prints this list.
default:
    @just --list

# Formats the sources.
fmt:
    cargo fmt

# Every lint, for every set of features.
lint:
    cargo fmt --check
    cargo clippy --locked --no-default-features --all-targets -- -D warnings
    cargo clippy --locked --no-default-features --features train --all-targets -- -D warnings
    cargo clippy --locked --all-targets -- -D warnings

# base, domain and role alone: seconds.
pure:
    cargo test --locked --no-default-features

# The same and compute, still without IO.
compute:
    cargo test --locked --no-default-features --features train

# Everything.
test:
    cargo test --locked

# So many worlds of the simulator's swarm; with SEED=n in the environment, one of them again.
sim count="2000":
    SEEDS="${SEED:+1}"; SEEDS="${SEEDS:-{{ count }}}" cargo test --locked --no-default-features --test sim swarm

# Rewrites the scoreboard of attacks, docs/attacks.md; the diff is the review.
attacks:
    OHC_BLESS=1 cargo test --locked --no-default-features --test sim scoreboard

# Kills the real program wherever it hurts; with a seed, at the instants of an earlier time again.
crash seed="":
    {{ if seed != "" { "OHC_CRASH_SEED=" + seed } else { "" } }} cargo test --locked --test it crash::

# Kills nodes of a network at random, so many times; with a seed, those of an earlier time again.
kills count="200" seed="":
    OHC_KILLS={{ count }} {{ if seed != "" { "OHC_CRASH_SEED=" + seed } else { "" } }} OHC_NATS_SERVER="$(tests/peers/nats)" cargo test --locked --test it storm::r14

# Tries hostile bytes, texts and command lines (rule R-13) for about so many seconds, with new ones each time.
fuzz seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    cargo test --locked --no-run
    end="$((SECONDS + {{ seconds }}))"
    while true; do
        PROPTEST_CASES=2000 cargo test --locked r13_
        [ "$SECONDS" -lt "$end" ] || break
    done

# Licences, duplicates, origins and advisories of the dependencies.
deny:
    "$(tests/peers/deny)" --locked check

# Compares what the system says with what was agreed.
golden:
    cargo test --locked --test golden

# Rewrites the golden files; the diff is the review.
bless:
    OHC_BLESS=1 cargo test --locked --test golden

# Rewrites the JSON Schemas.
schemas:
    OHC_BLESS=1 cargo test --locked --no-default-features --test golden schema

# What is `unsafe`, on every path of this machine, under AddressSanitizer: needs a nightly toolchain, since
# stable compilers have none. Miri knows few of these instructions.
sanitize:
    #!/usr/bin/env bash
    set -euo pipefail
    host="$(rustc -vV | sed -n 's/^host: //p')"
    RUSTFLAGS="-Zsanitizer=address" cargo +nightly test --locked --target "$host" \
        --target-dir "${CARGO_TARGET_DIR:-target}/sanitize" --no-default-features --features train \
        --lib -- kernel:: poh:: table::index

# A number of docs/benchmarks.md on this machine, such as `just bench settle`.
bench name *args:
    cargo run --locked --release -- bench {{ name }} {{ args }}

# Seconds of an apply in an empty home, and of the next one.
bench-apply:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --locked --release
    ohc="${CARGO_TARGET_DIR:-target}/release/ohc"
    home="$(mktemp -d)"
    trap 'rm -rf "$home"' EXIT
    time "$ohc" apply manifests/iris.yaml --home "$home" -o json | tail -n 1
    time "$ohc" apply manifests/iris.yaml --home "$home" -o json | tail -n 1

# The same graphs of no-op tasks on ohc and on programs of its world, which come from PyPI.
bench-peers *peers:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --locked --release
    python3 benches/peers/compare.py "${CARGO_TARGET_DIR:-target}/release/ohc" {{ peers }}

# What audits of the default policy cost, on a network of this machine: a minute or two.
bench-audits trainings="48":
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --locked --release
    export OHC_NATS_SERVER="$(tests/peers/nats)"
    python3 benches/audits.py "${CARGO_TARGET_DIR:-target}/release/ohc" {{ trainings }}

# Elementary functions on all 2^32 inputs, compared with what they must give: a few minutes.
exact:
    cargo run --locked --release -- bench exact

# Iris on a network of this machine and in one process, in turns: milliseconds.
bench-network turns="9":
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --locked --release
    export OHC_NATS_SERVER="${OHC_NATS_SERVER:-$(tests/peers/nats)}"
    python3 benches/network.py "${CARGO_TARGET_DIR:-target}/release/ohc" {{ turns }}

# Seconds that the program takes to say what it can do.
bench-help:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --locked --release
    time "${CARGO_TARGET_DIR:-target}/release/ohc" --help > /dev/null

# Trains the quickstart, then shows that nothing is left to do.
demo:
    cargo run --locked --release -- apply manifests/iris.yaml
    cargo run --locked --release -- apply manifests/iris.yaml

# The documentation of the code.
doc:
    cargo doc --locked --no-deps --document-private-items

# What CI runs.
ci:
    tests/run
