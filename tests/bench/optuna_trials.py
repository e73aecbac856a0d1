#!/usr/bin/env python3
"""Optuna's side of orchestrator/benches/orchestration.rs: trials that do nothing, recorded in SQLite.

Prints one line: name and version, a tab, and the seconds of all trials. Parameters are those of the trials on the other side.
"""
import argparse
import time

import optuna

FRACTIONS = [0.01, 0.1, 1.0]

parser = argparse.ArgumentParser()
parser.add_argument("--sampler", choices=["random", "grid"], default="random")
parser.add_argument("--trials", type=int, default=500)
parser.add_argument("--folder", required=True, help="where the database is made")
args = parser.parse_args()


def objective(trial):
    return trial.suggest_float("learning_rate", 0.0, 1.0) + trial.suggest_categorical("fraction", FRACTIONS)


if args.sampler == "random":
    sampler = optuna.samplers.RandomSampler(seed=0)
else:
    rates = [index / args.trials for index in range(-(-args.trials // len(FRACTIONS)))]
    sampler = optuna.samplers.GridSampler({"learning_rate": rates, "fraction": FRACTIONS}, seed=0)
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage=f"sqlite:///{args.folder}/study.db", sampler=sampler)
start = time.perf_counter()
study.optimize(objective, n_trials=args.trials)
seconds = time.perf_counter() - start
done = sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
assert done == args.trials, f"{done} trials are complete"
print(f"optuna {optuna.__version__} with SQLite\t{seconds}")
