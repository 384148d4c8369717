"""SQLAlchemy against the server: reflection, and a query built of what it found."""

import json
import sys

import sqlalchemy as sa

engine = sa.create_engine(f"postgresql+psycopg://anybody@127.0.0.1:{sys.argv[1]}/anything")
inspector = sa.inspect(engine)
told = {
    "schemas": sorted(inspector.get_schema_names()),
    "tables": sorted(inspector.get_table_names()),
}
metadata = sa.MetaData()
events = sa.Table("events", metadata, autoload_with=engine)
told["columns"] = {column.name: str(column.type) for column in events.columns}
told["nullable"] = {column.name: column.nullable for column in events.columns}
told["comments"] = {column.name: column.comment for column in events.columns}
told["table_comment"] = inspector.get_table_comment("events")["text"]
assert inspector.get_pk_constraint("events")["constrained_columns"] == []
assert inspector.get_foreign_keys("events") == [] and inspector.get_indexes("events") == []
sessions = sa.Table("sessions", metadata, autoload_with=engine)
stage_at = sessions.c.stage_at.type
assert isinstance(stage_at, sa.ARRAY), stage_at
told["stage_at"] = f"{stage_at.item_type}[]"
with engine.connect() as connection:
    query = (
        sa.select(events.c.event_type, sa.func.count().label("n"))
        .where(events.c.occurred_at >= sa.select(sa.func.min(events.c.occurred_at)).scalar_subquery())
        .group_by(events.c.event_type)
        .order_by(events.c.event_type)
    )
    told["rows"] = [list(row) for row in connection.execute(query)]
print(json.dumps(told))
