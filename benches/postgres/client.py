"""Asks a server for all rows of a statement; prints the seconds, the rows and, if asked for, their digest.

`text` and `binary` are libpq alone, which takes the rows and makes nothing of them; `rows` makes Python's
values; `digest` is the sum of a hash of each row, which is the same in any order.
"""

import json
import sys
import time
import zlib

import psycopg
from psycopg import pq

port, mode, statement = sys.argv[1:]
address = f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable"
told = {}
with psycopg.connect(address, autocommit=True) as connection:
    began = time.perf_counter()
    if mode == "rows":
        told["rows"] = len(connection.cursor(binary=True).execute(statement).fetchall())
    else:
        form = pq.Format.TEXT if mode == "text" else pq.Format.BINARY
        answer = connection.pgconn.exec_params(statement.encode(), None, result_format=form)
        if answer.status != pq.ExecStatus.TUPLES_OK:
            sys.exit(answer.error_message.decode())
        told["rows"] = answer.ntuples
    told["seconds"] = time.perf_counter() - began
    if mode == "digest":
        columns = range(answer.nfields)
        told["digest"] = sum(
            zlib.crc32(repr([answer.get_value(row, column) for column in columns]).encode())
            for row in range(answer.ntuples)
        )
print(json.dumps(told))
