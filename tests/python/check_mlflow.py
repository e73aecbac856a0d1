#!/usr/bin/env python3
"""Reads an experiment back with MLflow's own client and compares it with the database it was made from.

    python3 tests/python/check_mlflow.py URI EXPERIMENT DATABASE        (mlflow)
"""
import json
import sqlite3
import sys

from mlflow import MlflowClient

uri, name, database = sys.argv[1:]
db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
client = MlflowClient(tracking_uri=uri)
experiment = client.get_experiment_by_name(name)
assert experiment is not None, "no experiment"

runs, token = [], None
while True:
    page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
    runs.extend(page)
    token = page.token
    if not token:
        break
found = {run.data.tags["permafrost.trial"]: run for run in runs}
assert len(found) == len(runs), "a trial has several runs"

trials = db.execute(
    "SELECT t.id, t.state, st.stage, st.parameters, a.attempt, a.started, a.ended, a.message"
    " FROM trials t JOIN sweep_trials st USING (trial) JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts"
    " WHERE st.sweep = (SELECT max(sweep) FROM sweeps) AND t.kind NOT IN ('fetch', 'prepare', 'embed') AND t.state IN ('done', 'failed', 'diverged', 'cancelled', 'pruned')"
).fetchall()
assert set(found) == {trial[0] for trial in trials}, (found.keys(), trials)

values = 0
for trial, state, stage, parameters, attempt, started, ended, message in trials:
    run = found[trial]
    wanted = {"done": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}.get(state, "KILLED")
    assert run.info.status == wanted, (trial, state, run.info.status)
    assert run.info.end_time == ended and run.info.run_name.endswith(trial[:10]), run.info
    tags = run.data.tags
    assert tags["permafrost.stage"] == stage and tags["permafrost.attempt"] == str(attempt) and tags["permafrost.device"] == "cpu", tags
    assert state == "done" or message is None or tags["mlflow.note.content"].startswith(message[:100]), tags
    told = dict(run.data.params)
    assert told.pop("stage") == stage
    for parameter, value in json.loads(parameters).items():
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        if len(text) > 6000:
            text = text[:5999] + "…"
        assert told.pop(parameter) == text or float(run.data.params[parameter]) == value, (trial, parameter)
    assert not told, told
    curves = {}
    for metric, step, value in db.execute("SELECT metric, step, value FROM history WHERE trial_id = ?", [trial]):
        curves.setdefault(metric, []).append((step, value))
    for metric, value in db.execute("SELECT DISTINCT metric, value FROM leaderboard WHERE trial_id = ?", [trial]):
        curves[f"result/{metric}"] = [(max((step for points in curves.values() for step, _ in points), default=0), value)]
    assert set(run.data.metrics) == set(curves), (trial, run.data.metrics, curves.keys())
    for metric, points in curves.items():
        history = client.get_metric_history(run.info.run_id, metric)
        assert sorted((point.step, point.value) for point in history) == sorted(points), (trial, metric)
        first = db.execute(
            "SELECT min(started) FROM attempts a JOIN trials t USING (trial) WHERE t.id = ?", [trial]
        ).fetchone()[0]
        assert all(first <= point.timestamp <= ended for point in history), (trial, metric)
        values += len(points)
print(f"{len(runs)} runs, {values} values agree")
