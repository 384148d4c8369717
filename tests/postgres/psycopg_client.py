"""psycopg 3 against the server; prints one JSON document of what it got."""

import datetime as dt
import decimal
import json
import sys
import threading

import psycopg
from psycopg import errors

address = f"host=127.0.0.1 port={sys.argv[1]} user=anybody dbname=anything"
told = {}
by_type = "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY event_type"

with psycopg.connect(address, autocommit=True) as connection:
    told["server_version"] = connection.info.server_version
    told["encoding"] = connection.info.encoding
    told["text"] = connection.execute(by_type).fetchall()
    with connection.cursor(binary=True) as cursor:
        told["binary"] = cursor.execute(by_type).fetchall()
    # Prepared, and run again and again.
    told["prepared"] = [
        connection.execute(
            "SELECT count(*) FROM events WHERE event_type = %s", [kind], prepare=True
        ).fetchone()[0]
        for kind, _ in told["text"]
    ]

    # A parameter of each type comes back as it went, as text and in binary.
    zone = dt.timezone(dt.timedelta(hours=2))
    values = {
        "bigint": 2**40,
        "integer": -7,
        "smallint": 3,
        "double precision": 1.25,
        "text": "naïve 'quoted' \\ text",
        "boolean": True,
        "date": dt.date(2026, 3, 1),
        "timestamp": dt.datetime(2026, 3, 1, 10, 0, 0, 250000),
        "timestamptz": dt.datetime(2026, 3, 1, 12, 0, tzinfo=zone),
        "bytea": b"\x00\xff'",
        "numeric(10,2)": decimal.Decimal("12.50"),
        "interval": dt.timedelta(days=1, seconds=7),
    }
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            for kind, value in values.items():
                got = cursor.execute(f"SELECT %s::{kind}", [value]).fetchone()[0]
                assert got == value, (kind, binary, value, got)
                got = cursor.execute(f"SELECT %s::{kind}", [None]).fetchone()[0]
                assert got is None, (kind, binary, got)
            assert cursor.execute("SELECT %s", ["a"]).fetchone()[0] == "a"
            got = cursor.execute("SELECT [1, NULL, 3], ['x', 'y z']").fetchone()
            assert got == ([1, None, 3], ["x", "y z"]), got
            got = cursor.execute("SELECT arrow_cast('18446744073709551615', 'UInt64')").fetchone()
            assert got[0] == 2**64 - 1, got
    when = connection.execute("SELECT min(occurred_at) FROM events").fetchone()[0]
    count = "SELECT count(*) FROM events WHERE occurred_at >= %s AND client_id = ANY(%s)"
    clients = [c for (c,) in connection.execute("SELECT DISTINCT client_id FROM events")]
    told["filtered"] = connection.execute(count, [when, clients]).fetchone()[0]
    told["limited"] = len(connection.execute("SELECT id FROM events LIMIT %s", [5]).fetchall())
    told["streamed"] = sum(1 for _ in connection.cursor().stream("SELECT id FROM events"))

    # Lists of the sessions' stages, in both formats.
    stages = "SELECT stage_at FROM sessions ORDER BY session_key LIMIT 5"
    rows = [connection.cursor(binary=b).execute(stages).fetchall() for b in (False, True)]
    assert rows[0] == rows[1] and any(isinstance(v, dt.datetime) for v in rows[0][0][0]), rows

    # Errors have their classes, and the connection goes on.
    for statement, wanted in [
        ("SELEC 1", errors.SyntaxError),
        ("SELECT * FROM nowhere", errors.UndefinedTable),
        ("SELECT nowhere FROM events", errors.UndefinedColumn),
        ("DROP TABLE events", errors.InsufficientPrivilege),
        ("COPY events TO STDOUT", errors.InsufficientPrivilege),
        ("SELECT 1/0", errors.DivisionByZero),
    ]:
        for parameters in ([], None):
            try:
                connection.execute(statement, parameters)
                raise AssertionError(f"{statement} was run")
            except wanted:
                pass
    # Cancelled from another thread.
    endless = "SELECT count(*) FROM events a, events b, events c, events d WHERE a.id < b.data"
    threading.Timer(0.5, connection.cancel).start()
    try:
        connection.execute(endless)
        raise AssertionError("it was not cancelled")
    except errors.QueryCanceled:
        pass
    told["after"] = connection.execute("SELECT 7").fetchone()[0]

# Transactions, as the driver makes them.
with psycopg.connect(address) as connection:
    first = connection.execute("SELECT count(*) FROM events").fetchone()
    try:
        connection.execute("SELECT 1/0")
    except errors.DivisionByZero:
        pass
    try:
        connection.execute("SELECT 1")
        raise AssertionError("a failed transaction goes on")
    except errors.InFailedSqlTransaction:
        connection.rollback()
    with connection.transaction():
        try:
            with connection.transaction():
                connection.execute("SELECT 1/0")
        except errors.DivisionByZero:
            pass
        assert connection.execute("SELECT count(*) FROM events").fetchone() == first
    with connection.pipeline():
        one, two = connection.execute("SELECT 1"), connection.execute("SELECT 2")
        told["pipeline"] = [one.fetchone()[0], two.fetchone()[0]]
print(json.dumps(told, default=str))
