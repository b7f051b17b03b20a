# Two commands for a fresh machine: `make rehearse` and `make test`. Both set up what they need (.ci/setup).
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help setup rehearse test lint msrv clean apiserver conformance bench

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the rehearsal and the tests need; quick when it is there
	@./.ci/setup

rehearse: setup ## build release and open the cockpit on a running rehearsal; ARGS="--scenario NAME" passes flags on
	cargo build --release --locked
	./target/release/cutover rehearse $(ARGS)

apiserver: ## build kube-apiserver, etcd and kubectl into target/apiserver; 5 minutes once, needs Go 1.26
	@./tests/apiserver/build

conformance: setup apiserver ## the embedded API server beside the real one, RBAC, kubectl, a flight on it
	cargo test --locked --test conformance

test: setup apiserver ## run every test
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --no-fail-fast && cargo test --doc --locked; \
	else \
	  cargo test --locked --no-fail-fast; \
	fi

bench: setup ## build release and print one table of budgets; SIZE=full for 5 000 000 traces, PEERS=1 beside others, PART="screen load"
	cargo build --release --locked --no-default-features
	mkdir -p target/bench && cp target/release/cutover target/bench/cutover-lean
	cargo build --release --locked
	cargo test --locked --quiet --test bench --no-run
	CUTOVER_BENCH=$(CURDIR)/target/release/cutover CUTOVER_BENCH_LEAN=$(CURDIR)/target/bench/cutover-lean \
	  cargo test --locked --quiet --test bench -- $(PART)

lint: ## formatting, clippy, documentation, without changing anything
	cargo fmt --all --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D rustdoc::broken_intra_doc_links' cargo doc --locked --no-deps --document-private-items

msrv: ## build with the oldest compiler that Cargo.toml promises
	@version=$$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml); \
	  rustup toolchain install "$$version" --profile minimal && cargo +"$$version" check --locked --tests --target-dir target/msrv

clean: ## remove what was built here
	cargo clean
