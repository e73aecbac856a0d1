#!/usr/bin/env python3
"""Reads a folder of event files with TensorBoard's own code and compares it with the database it was made from.

    python3 tests/python/check_tensorboard.py LOGDIR DATABASE        (tensorboard)

Every record is read with its checksums. Curves must be those of the view `history`, results those of `leaderboard`, and the plugin
HPARAMS must find every trial with its parameters, results and status.
"""
import glob
import json
import os
import sqlite3
import struct
import sys

from tensorboard.context import RequestContext
from tensorboard.backend.event_processing import data_provider, event_file_loader, plugin_event_multiplexer
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups
from tensorboard.util import tensor_util

logdir, database = sys.argv[1:]
db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)


def narrow(value):
    """TensorBoard keeps 32 bits."""
    return struct.unpack("f", struct.pack("f", value))[0]


# Framing: a reader that checks both checksums of every record must come to the end of every file.
records = 0
paths = glob.glob(f"{logdir}/**/events.out.tfevents.*", recursive=True)
assert paths, "no event files"
for path in paths:
    reader = pywrap_tensorflow.PyRecordReader_New(path)
    size = 0
    while True:
        try:
            reader.GetNext()
        except pywrap_tensorflow.errors.OutOfRangeError:
            break
        size += 16 + len(reader.record())
        records += 1
    assert size == os.path.getsize(path), (path, size)
    assert sum(1 for _ in event_file_loader.EventFileLoader(path).Load()) > 1, path

# A broken checksum must be seen, or the above proves nothing.
with open(paths[0], "rb") as file:
    broken = bytearray(file.read())
broken[14] ^= 1
with open(f"{paths[0]}.broken", "wb") as file:
    file.write(broken)
try:
    pywrap_tensorflow.PyRecordReader_New(f"{paths[0]}.broken").GetNext()
    raise SystemExit("this reader does not look at checksums")
except pywrap_tensorflow.errors.DataLossError:
    os.remove(f"{paths[0]}.broken")

multiplexer = plugin_event_multiplexer.EventMultiplexer()
multiplexer.AddRunsFromDirectory(logdir)
multiplexer.Reload()
runs = {name.rsplit("-", 1)[-1]: name for name in multiplexer.Runs()}
trials = db.execute(
    "SELECT t.id, t.state, st.parameters FROM trials t JOIN sweep_trials st USING (trial)"
    " WHERE st.sweep = (SELECT max(sweep) FROM sweeps) AND t.attempts > 0 AND t.kind NOT IN ('fetch', 'prepare', 'embed')"
).fetchall()
assert {trial[:10] for trial, _, _ in trials} == {run.rsplit("/", 1)[-1] for run in runs}, (runs, trials)

points = 0
for trial, _, _ in trials:
    accumulator = multiplexer.GetAccumulator(runs[trial[:10]])
    wanted = {}
    for metric, step, value in db.execute("SELECT metric, step, value FROM history WHERE trial_id = ? ORDER BY step", [trial]):
        wanted.setdefault(metric, []).append((step, narrow(value)))
    last = max((step for values in wanted.values() for step, _ in values), default=0)
    for metric, value in db.execute("SELECT DISTINCT metric, value FROM leaderboard WHERE trial_id = ?", [trial]):
        wanted[f"result/{metric}"] = [(last, narrow(value))]
    tags = [tag for tag in accumulator.Tags()["tensors"] if not tag.startswith("_hparams_")]
    assert set(tags) == set(wanted), (trial, tags, wanted.keys())
    for tag, values in wanted.items():
        found = [(event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in accumulator.Tensors(tag)]
        assert found == values, (trial, tag, found, values)
        times = [event.wall_time for event in accumulator.Tensors(tag)]
        assert times == sorted(times) and times[0] > 1.7e9, (trial, tag, times)
        points += len(found)

context = backend_context.Context(
    base_plugin.TBContext(data_provider=data_provider.MultiplexerDataProvider(multiplexer, logdir), logdir=logdir)
)
experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
request = api_pb2.ListSessionGroupsRequest(
    slice_size=10_000, allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]
)
for info in experiment.hparam_infos:
    request.col_params.add(hparam=info.name)
for info in experiment.metric_infos:
    request.col_params.add(metric=info.name)
groups = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
found = {group.sessions[0].name.rsplit("-", 1)[-1].rsplit("/", 1)[-1]: group for group in groups}
assert len(found) == len({trial for trial, _, _ in trials}), (found.keys(), trials)
for trial, state, parameters in trials:
    group = found[trial[:10]]
    for name, value in json.loads(parameters).items():
        told = group.hparams[name]
        told = getattr(told, told.WhichOneof("kind"))
        assert told == (value if isinstance(value, (str, int, float, bool)) else json.dumps(value)), (trial, name, told, value)
    ended = {"done": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE, "diverged": api_pb2.STATUS_FAILURE}
    assert group.sessions[0].status == ended.get(state, group.sessions[0].status), (trial, state, group.sessions[0].status)
    results = {value.name.tag: value.value for value in group.metric_values}
    for metric, value in db.execute("SELECT DISTINCT metric, value FROM leaderboard WHERE trial_id = ?", [trial]):
        assert results[f"result/{metric}"] == narrow(value), (trial, metric, results)
print(f"{len(trials)} runs, {records} records, {points} values agree")
