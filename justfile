# `just` runs the same things as CI, one at a time. Plain commands: copy any line.

default: check

# Formatting, lints, docs.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Every test.
test:
    cargo test --workspace

# Recorded decisions of the real scheduler.
cases:
    cargo test --test scheduler_cases -- --nocapture

# Recorded timelines of a real control plane.
timelines:
    cargo test --test timelines

# Benchmarks for people; docs/performance.md says which figure comes from which.
bench NAME="":
    cargo bench --bench {{ if NAME == "" { "calendar --bench quiet --bench scaling --bench scheduling --bench traffic" } else { NAME } }}

# Accept changed results of the shipped scenarios (say why in CHANGELOG.md, under "The model").
accept-digests:
    WAVETANK_ACCEPT=1 cargo test --test shipped

# What CI runs.
ci:
    bash .ci/run
