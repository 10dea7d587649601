# make demo    records a bundled program with 4 Ps and leaves every kind of report in demo/
# make test    runs every test, the model checker's included; installs Chromium and Perfetto's trace processor for them where it can
# make lint    formatting, clippy, documentation, layering
# make bench   measures what events, switches and recording cost
# make fuzz    tries everything that parses with libFuzzer; fuzz/README.md says what it needs
# make deny    licenses, duplicates and origins of what we depend on
# make profile draws flamegraphs of our own recorder and analyzer at work: demo/profile-*.svg
.PHONY: demo test lint bench fuzz deny profile

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
	needs=$$(tools/test-needs $(TARGET)/test-needs) && eval "$$needs" && cargo test --locked --package gmp-analyzer --release
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(LOOM_TARGET) cargo test --locked --release --package gmp-runtime --package gmp-trace --lib loom_

lint:
	cargo fmt --all --check
	rustfmt --check --edition 2024 runtime/policy/src/knobs/*.rs runtime/policy/src/knobs/*/*.rs
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

# A skip that one of the three workspaces does not need is no mistake.
DENY ?= bans licenses sources
deny:
	@cargo deny --version || { echo "deny: there is no cargo-deny; \`cargo install --locked cargo-deny\` makes it, in 2 to 4 minutes" >&2; exit 1; }
	for manifest in Cargo.toml fuzz/Cargo.toml tools/profile/Cargo.toml; do \
	    cargo deny --locked --manifest-path $$manifest --config "$(CURDIR)/deny.toml" check --allow unmatched-skip --allow unnecessary-skip $(DENY) || exit 1; \
	done

# A program with 600,000 events is recorded, which is in the picture too, and analysed; DB names another database to analyse. The demo
# would give a dozen samples.
DB ?= demo/profile.db
PROFILE = $(TARGET)/release/gmp-profile --no-inline --palette rust
profile:
	cargo build --locked --release --package gmp-recorder --package gmp-workloads
	cargo build --locked --release --package gmp-analyzer
	CARGO_TARGET_DIR=$(TARGET) cargo build --locked --release --manifest-path tools/profile/Cargo.toml
	mkdir -p demo
	rm -f demo/profile.db
	$(PROFILE) --output demo/profile-record.svg -- $(TARGET)/release/gmp-record --quiet --output demo/profile.db --procs 4 -- $(TARGET)/release/gmp-workloads skynet
	$(PROFILE) --output demo/profile-analyze.svg -- $(TARGET)/release/gmp-analyze $(DB) --report html --output demo/profile.html
	rm -f perf.data perf.data.old demo/profile.html
	@echo "Open demo/profile-record.svg and demo/profile-analyze.svg in a browser."
