#!/usr/bin/env bash
# Every static check: style, types, generated files, and the RTL in Verilator with -Wall.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
echo "== ruff";      $bin/ruff check --quiet .
echo "== mypy";      $bin/mypy
echo "== generated"; $bin/python -m hessbit.hw.codegen --check
echo "== verilator --lint-only -Wall"
$bin/python tools/lint_rtl.py
