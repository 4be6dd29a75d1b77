#!/usr/bin/env bash
# What takes seconds: the layout of C++, who may include whom, ruff and mypy over Python. Of lint.sh NAME.. the named ones
# alone: format, include, ruff, mypy.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

tools() {
  [[ -x build/lint/bin/pip ]] || quietly lint_venv /usr/bin/python3 -m venv build/lint
  cmp --silent scripts/lint_requirements.txt build/lint/installed.txt || {
    quietly lint_requirements build/lint/bin/pip install -r scripts/lint_requirements.txt
    cp scripts/lint_requirements.txt build/lint/installed.txt
  }
}
run_format() { git ls-files '*.h' '*.cpp' '*.cu' | xargs clang-format-14 --dry-run --Werror; }
run_include() { /usr/bin/python3 tests/include_rule_test.py; }
run_ruff() { tools && build/lint/bin/ruff check --quiet .; }
run_mypy() { tools && build/lint/bin/mypy --no-error-summary; }

[[ $# -gt 0 ]] || set -- format include ruff mypy
for name in "$@"; do
  "run_$name"
done
