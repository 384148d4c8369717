"""Reads a lake as analysts do and prints what each reader sees as one JSON document."""

import json
import sys

import duckdb
import polars
from deltalake import DeltaTable

lake = sys.argv[1]


def files(table):
    """The active files of a table, as the Delta log names them."""
    return DeltaTable(f"{lake}/{table}").file_uris()


def by_duckdb():
    def query(table, select, options=""):
        source = f"read_parquet({files(table)!r}, hive_partitioning = true{options})"
        cursor = duckdb.sql(select.format(source=source))
        return [dict(zip(cursor.columns, row)) for row in cursor.fetchall()]

    counts = "SELECT {key}, count(*)::INT AS n FROM {{source}} GROUP BY 1 ORDER BY 1"
    started = "SELECT count(*)::INT AS n FROM {source} WHERE started_at IS NOT NULL"
    return {
        "events": query("events", counts.format(key="event_type")),
        "dead_letters": query("dead_letters", counts.format(key="code")),
        "started": query("sessions", started)[0]["n"],
    }


def by_polars():
    def counts(table, key):
        frame = polars.scan_delta(f"{lake}/{table}")
        return frame.group_by(key).agg(n=polars.len()).sort(key).collect().to_dicts()

    started = polars.scan_delta(f"{lake}/sessions").filter(polars.col("started_at").is_not_null())
    return {
        "events": counts("events", "event_type"),
        "dead_letters": counts("dead_letters", "code"),
        "started": started.select(polars.len()).collect().item(),
    }


def by_pandas():
    def counts(table, key):
        frame = DeltaTable(f"{lake}/{table}").to_pandas(columns=[key])
        sizes = frame.groupby(key).size().sort_index()
        return [{key: value, "n": int(n)} for value, n in sizes.items()]

    sessions = DeltaTable(f"{lake}/sessions").to_pandas(columns=["started_at"])
    return {
        "events": counts("events", "event_type"),
        "dead_letters": counts("dead_letters", "code"),
        "started": int(sessions["started_at"].notna().sum()),
    }


print(json.dumps({"duckdb": by_duckdb(), "polars": by_polars(), "pandas": by_pandas()}))
