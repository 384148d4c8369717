"""Asks other engines for the funnel: "ENGINE<tab>FILES" a line in, one JSON document a line out."""

import json
import sys
import time

import duckdb
from chdb import session

THREADS = int(sys.argv[1])
STAGES = [
    "onboarding.session.started",
    "onboarding.input.submitted",
    "onboarding.recommendations.generated",
    "onboarding.approval.decided",
    "onboarding.session.completed",
]
YEAR = 365 * 86_400 * 1_000_000

duck = duckdb.connect()
duck.execute(f"SET threads = {THREADS}")
click = session.Session()


def by_duckdb(files, key="session_id"):
    times = ", ".join(
        f"min(CASE WHEN event_type = '{stage}' THEN occurred_at END) AS t{n}"
        for n, stage in enumerate(STAGES)
    )
    counts = ", ".join(f"count(t{n})" for n in range(len(STAGES)))
    means = ", ".join(f"avg(epoch_us(t{n}) - epoch_us(t0))" for n in range(len(STAGES)))
    source = f"read_parquet('{files}', hive_partitioning = false)"
    return duck.execute(
        f"WITH s AS (SELECT {times} FROM {source} GROUP BY {key}) SELECT {counts}, {means} FROM s"
    ).fetchone()[: len(STAGES)]


def asked(query):
    rows = str(click.query(f"{query} SETTINGS max_threads = {THREADS}", "CSV")).split()
    return [[float(value) if value != "\\N" else 0 for value in row.split(",")] for row in rows]


def by_window_funnel(files):
    stages = ", ".join(f"event_type = '{stage}'" for stage in STAGES)
    at = "toUInt64(toUnixTimestamp64Micro(occurred_at))"
    levels = asked(
        f"SELECT level, count() FROM (SELECT windowFunnel({YEAR})({at}, {stages}) AS level"
        f" FROM file('{files}', Parquet) GROUP BY session_id) GROUP BY level"
    )
    return [int(sum(n for level, n in levels if level > stage)) for stage in range(len(STAGES))]


def by_min_if(files):
    times = ", ".join(
        f"minOrNullIf(occurred_at, event_type = '{stage}') AS t{n}"
        for n, stage in enumerate(STAGES)
    )
    counts = ", ".join(f"count(t{n})" for n in range(len(STAGES)))
    means = ", ".join(f"avg(dateDiff('second', t0, t{n}))" for n in range(len(STAGES)))
    rows = asked(
        f"SELECT {counts}, {means} FROM (SELECT {times} FROM file('{files}', Parquet)"
        f" GROUP BY session_id)"
    )
    return [int(count) for count in rows[0][: len(STAGES)]]


ENGINES = {
    "DuckDB": by_duckdb,
    "DuckDB by session_key": lambda files: by_duckdb(files, "session_key"),
    "ClickHouse windowFunnel": by_window_funnel,
    "ClickHouse minIf": by_min_if,
}

for line in sys.stdin:
    engine, files = line.rstrip("\n").split("\t")
    began = time.perf_counter()
    counts = ENGINES[engine](files)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "counts": list(counts)}), flush=True)
