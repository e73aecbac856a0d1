"""Reads an OpenMetrics document with Prometheus' own parser, and checks what promtool's linter checks."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

# The units that https://prometheus.io/docs/practices/naming/ calls others' names for.
NOT_BASE = ("milliseconds", "ms", "minutes", "hours", "kilobytes", "megabytes", "gigabytes", "percent", "milliwatts", "mhz", "kilojoules")

found = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    problems = []
    if not family.documentation:
        problems.append("no help")
    if family.type not in ("gauge", "counter"):
        problems.append(f"type {family.type}")
    if family.type == "gauge" and family.name.endswith(("_total", "_sum", "_count", "_bucket")):
        problems.append("a suffix of another type")
    if any(part in NOT_BASE for part in family.name.split("_")):
        problems.append("not a base unit")
    if any(word in family.name for word in ("counter", "gauge", "metric_")):
        problems.append("the type in the name")
    seen = set()
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        if key in seen:
            problems.append(f"{key} twice")
        seen.add(key)
        if family.type == "counter" and not sample.name.endswith("_total"):
            problems.append(f"counter {sample.name}")
    found[family.name] = {"type": family.type, "samples": [[s.name, s.labels, s.value] for s in family.samples], "problems": problems}
json.dump(found, sys.stdout)
