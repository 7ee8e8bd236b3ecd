# The commands of this repository. Each first installs what it needs (scripts/setup; quick when there
# is nothing to do).

export PATH := $(HOME)/.cargo/bin:$(PATH)
MAKEFLAGS += --no-print-directory

.PHONY: help demo deb test test-machines test-long bench-failover setup clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

demo: ## three agents on this machine, an address, and what happens when things fail
	@scripts/setup demo
	@cargo build --release --locked --quiet -p standfast
	@target/release/standfast demo

deb: ## the Debian package, in target/debian
	@scripts/setup deb
	@cargo build --release --locked --quiet -p standfast
	@packaging/build-deb

test: ## all checks, as in CI
	@scripts/setup test
	@cargo run --quiet --locked -p xtask -- ci

test-machines: ## what needs a kernel of its own, in emulated machines
	@scripts/setup machines
	@cargo build --release --locked --quiet -p standfast -p standfast-machines
	@target/release/standfast-machines

test-long: ## what takes hours; writes docs/results, to be committed
	@scripts/setup all
	@scripts/test-long

bench-failover: ## the faults beside keepalived and Pacemaker; writes docs/results/failover.{json,md}
	@scripts/setup bench
	@cargo build --release --locked --quiet --workspace
	@mkdir -p docs/results
	@target/release/standfast-lab bench-failover --out docs/results

setup: ## install what demo, test and bench-failover need
	@scripts/setup all

clean: ## remove what was built here
	rm -rf target .lab
