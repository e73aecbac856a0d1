#!/usr/bin/env bash
# Every benchmark of docs/benchmarks.md beside its yardstick, in turn in one run: Optuna for the orchestration, PyTorch for the
# Adaptor's step, for heads and for the encoders. Makes a Python environment for them once. Takes some 30 minutes; nothing else should run
# meanwhile.
#
#   tests/bench/run.sh [orchestration|adaptor|heads|encoders]...      all of it without an argument
#   BENCH_VENV=DIR       where the Python environment is or is made (default: target/bench-venv)
#   BENCH_ROUNDS=N       rounds (default 5)
#   BENCH_WEIGHTS=DIR    real encoders, dinov2-s and minilm-l6 (default: target/bench-weights; without it encoders are skipped)
#   PERMAFROST_SHARED    its data/covid-cxr has the X-rays and notes (default: ../shared)
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$(realpath -m "${BENCH_VENV:-target/bench-venv}")
rounds=${BENCH_ROUNDS:-5}
weights=$(realpath -m "${BENCH_WEIGHTS:-target/bench-weights}")
data=$(realpath -m "${PERMAFROST_SHARED:-../shared}/data/covid-cxr")
(($#)) || set -- orchestration adaptor heads encoders

need() { # MODULE [PACKAGE]: installs it where it is missing
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -c "import $1" 2>/dev/null || "$venv/bin/pip" install --quiet "${2:-$1}"
}

echo "$(date -u +%F), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
rustc --version
for what in "$@"; do
  case $what in
    orchestration)
      need optuna
      cargo bench --quiet --workspace --bench orchestration -- --rounds "$rounds" \
        --optuna "$venv/bin/python" tests/bench/optuna_trials.py
      ;;
    adaptor)
      need torch
      for threads in 1 "$(nproc)"; do
        for precision in '' --bf16; do
          # shellcheck disable=SC2086
          cargo bench --quiet --workspace --bench adaptor_step -- --threads "$threads" --rounds "$rounds" $precision \
            --torch "$venv/bin/python" ../tests/bench/adaptor_step_torch.py
        done
      done
      ;;
    heads)
      need torch
      for threads in 1 "$(nproc)"; do
        cargo bench --quiet --workspace --bench heads -- --threads "$threads" --rounds "$rounds" \
          --torch "$venv/bin/python"
      done
      ;;
    encoders)
      if [ ! -d "$weights/dinov2-s" ] || [ ! -d "$data" ]; then
        echo "skipped encoders: needs $weights/dinov2-s and $data" >&2
        continue
      fi
      need torch
      need transformers
      need cv2 opencv-python-headless
      for threads in 1 "$(nproc)"; do
        cargo bench --quiet --workspace --bench encoders -- --threads "$threads" --rounds "$rounds" \
          --weights "$weights" --data "$data" --torch "$venv/bin/python" ../tests/bench/encoders_torch.py
      done
      ;;
    *)
      echo "unknown benchmark: $what" >&2
      exit 2
      ;;
  esac
done
