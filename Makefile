# make test   runs every test, the model checker's included
# make lint   formatting, clippy, documentation, layering
.PHONY: test lint

# The models are compiled with another flag for everything: their own target folder keeps the other builds warm.
LOOM_TARGET := $(or $(CARGO_TARGET_DIR),target)/loom

test:
	cargo test --locked --workspace
	cargo test --locked --workspace --release --tests
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(LOOM_TARGET) cargo test --locked --release --package gmp-runtime --package gmp-trace --lib loom_

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	.ci/layering
