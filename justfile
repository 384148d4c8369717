# Recipes call cargo and scripts, nothing else.

# List the recipes
default:
    @just --list

# A generated world, through the pipeline, to a report
demo *arguments:
    cargo run -- demo {{arguments}}

# Everything that a change must pass
ci:
    .ci/run

# Format and lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# All tests
test *filter:
    cargo test --workspace -- {{filter}}

# Hold the report against the golden case
golden:
    cargo test --workspace -- golden

# Write generated references and schemas anew after a change of what they are made from
bless:
    ONRAMP_BLESS=1 cargo test --workspace --lib docs

# Hurt a group of ingest N times and draw the balance of every record (ONRAMP_FAULT_SEED replays)
faults count="100":
    ONRAMP_FAULTS={{count}} cargo test -p onramp --test end_to_end -- faults::nothing --nocapture
