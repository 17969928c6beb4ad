#!/usr/bin/env bash
# The documentation builds without a warning, private items included (it should read like a book).
set -euo pipefail
RUSTDOCFLAGS="-D warnings" cargo doc -p greenhub --no-deps
RUSTDOCFLAGS="-D warnings" cargo doc -p greenhub --no-deps --document-private-items --target-dir target/private-docs
