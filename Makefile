# make test   runs every test            make lint   formatting, clippy, layering
.PHONY: test lint

test:
	cargo test --locked

lint:
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	.ci/layering
