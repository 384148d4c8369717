"""Deletes the events of one client from a lake, beside whoever appends: another program's doing."""

import os
import sys

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

lake, client = sys.argv[1:]
# Without this the library asks for a lock that every writer would have to take.
options = {"conditional_put": "etag"} | {
    name: value for name, value in os.environ.items() if name.startswith("AWS_")
}
for attempt in range(10):
    try:
        deleted = DeltaTable(f"{lake}/events", storage_options=options).delete(f"client_id = '{client}'")
        print(deleted["num_deleted_rows"])
        break
    except CommitFailedError as error:
        print(f"attempt {attempt}: {error}", file=sys.stderr)
else:
    sys.exit("the delete did not get through")
