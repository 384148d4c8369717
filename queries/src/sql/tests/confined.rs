//! A caller who is confined to clients learns nothing of the others.

use std::collections::BTreeSet;

use super::*;

/// What belongs to the client whom the caller must not see.
const SECRET: &str = "hunter2";

/// A row with these texts in place of its own.
fn with(table: &'static Table, sequence: i64, texts: &[(&str, &str)]) -> RecordBatch {
    let row = row(table, sequence);
    let schema = row.schema();
    let columns = schema.fields().iter().zip(row.columns()).map(|(field, column)| {
        match texts.iter().find(|(name, _)| name == field.name()) {
            Some((_, text)) => Arc::new(StringArray::from(vec![*text])) as ArrayRef,
            None => Arc::clone(column),
        }
    });
    RecordBatch::try_new(row.schema(), columns.collect()).unwrap()
}

async fn world() -> (tempfile::TempDir, Source) {
    let (folder, source) = empty_source();
    let lake = &source.lake;
    let started = "onboarding.session.started";
    for (table, id, secret) in
        [(&tables::EVENTS, "id", "data"), (&tables::DEAD_LETTERS, "dead_letter_id", "message")]
    {
        let mut appender = Appender::open(lake.create(table).await.unwrap()).await.unwrap();
        for (sequence, client, word) in [(1, "acme", "12"), (2, "globex", SECRET)] {
            let sequence = if table.name == "dead_letters" { sequence + 10 } else { sequence };
            let texts = [
                ("client_id", client),
                ("event_type", started),
                (id, word),
                (secret, word),
                ("session_id", word),
                ("user_id", word),
            ];
            let files = appender.write(with(table, sequence, &texts), &[]).await.unwrap();
            appender.commit(files, vec![]).await.unwrap();
        }
    }
    for table in [&tables::DUPLICATES, &tables::REPORTS] {
        let mut appender = Appender::open(lake.create(table).await.unwrap()).await.unwrap();
        let texts = [("source_partition", SECRET), ("parameters", SECRET), ("positions", SECRET)];
        let files = appender.write(with(table, 1, &texts), &[]).await.unwrap();
        appender.commit(files, vec![]).await.unwrap();
    }
    (folder, source)
}

/// The answer or the error, whole.
async fn told(source: &Source, scope: &Scope, statement: &str) -> Result<String, String> {
    let caller = Caller { scope: scope.clone(), ..Caller::local() };
    let rows =
        run(source, &caller, statement).await.map_err(|error| format!("{error:?} {error}"))?;
    let rows: Vec<_> = rows.try_collect().await.map_err(|error| format!("{error:?} {error}"))?;
    Ok(pretty_format_batches(&rows).unwrap().to_string())
}

fn acme() -> Scope {
    Scope::Clients(BTreeSet::from(["acme".to_owned()]))
}

#[tokio::test]
async fn no_statement_tells_of_another_client() {
    let (_folder, source) = world().await;
    for statement in [
        "SELECT * FROM events",
        "SELECT * FROM dead_letters",
        "SELECT * FROM sessions",
        "SELECT * FROM sessions_onboarding",
        "SELECT * FROM funnel_sessions",
        "SELECT * FROM funnel_daily",
        "SELECT * FROM duplicates",
        "SELECT * FROM reports",
        "SELECT * FROM events a JOIN events b ON a.event_type = b.event_type",
        "SELECT * FROM events WHERE client_id = 'globex' OR true",
        "SELECT (SELECT max(data) FROM events WHERE client_id <> 'acme')",
        "WITH e AS (SELECT * FROM events) SELECT string_agg(data, ',') FROM e",
        "SELECT * FROM events e WHERE EXISTS (SELECT 1 FROM dead_letters d WHERE d.client_id <> e.client_id)",
        "SELECT * FROM (SELECT client_id FROM events UNION SELECT client_id FROM dead_letters)",
        "SELECT client_id, count(*) OVER () FROM events",
        "SELECT max(data), min(client_id), count(*) FROM events",
        "SELECT data FROM events ORDER BY data DESC LIMIT 1",
        "SELECT first_value(data) OVER (ORDER BY data DESC) FROM events",
        "SELECT * FROM events EXCEPT SELECT * FROM events WHERE client_id = 'acme'",
        "SELECT data FROM events WHERE data IN (SELECT message FROM dead_letters)",
        "SELECT DISTINCT ON (event_type) data FROM events ORDER BY event_type, data DESC",
        "WITH RECURSIVE r AS (SELECT data FROM events UNION SELECT e.data FROM events e JOIN r ON e.data <> r.data) \
         SELECT * FROM r",
        "SELECT d.message FROM events e RIGHT JOIN dead_letters d ON d.client_id = e.client_id",
        "SELECT s.outcome, e.data FROM funnel_sessions s FULL JOIN events e ON e.session_id = s.session_id",
        // An expression that fails tells the value that it failed on.
        "SELECT CAST(data AS INT) FROM events",
        "SELECT data FROM events WHERE CAST(data AS INT) > 0",
        "SELECT count(*) FROM events WHERE CAST(user_id AS BIGINT) + 1 > 0 AND client_id <> ''",
        "SELECT 1 / (CASE WHEN client_id = 'globex' THEN 0 ELSE 1 END) FROM events",
        "SELECT id FROM events WHERE 1 / (CASE WHEN client_id = 'globex' THEN 0 ELSE 1 END) = 1",
        "SELECT CAST(session_id AS INT) FROM sessions_onboarding WHERE CAST(session_id AS INT) > 0",
        "SELECT a.id FROM events a JOIN events b ON CAST(a.data AS INT) = CAST(b.data AS INT)",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.df_settings",
        "SHOW TABLES",
        "SHOW COLUMNS FROM events",
        "DESCRIBE events",
        "EXPLAIN SELECT * FROM events WHERE data = 'x'",
        "EXPLAIN SELECT * FROM funnel_daily",
    ] {
        let told = told(&source, &acme(), statement).await;
        let text = told.as_ref().unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(!text.contains(SECRET), "{statement}:\n{text}");
        let literal = statement.contains("globex") && statement.starts_with("EXPLAIN");
        assert!(literal || !text.contains("| globex "), "{statement}:\n{text}");
    }
    for statement in [
        "EXPLAIN ANALYZE SELECT * FROM events",
        "EXPLAIN VERBOSE SELECT * FROM events",
        "EXPLAIN FORMAT TREE SELECT * FROM events",
    ] {
        let refused = told(&source, &acme(), statement).await.unwrap_err();
        assert!(refused.contains("confined"), "{statement}: {refused}");
        assert!(told(&source, &Scope::Everything, statement).await.is_ok(), "{statement}");
    }
    let plan = told(&source, &acme(), "EXPLAIN SELECT * FROM events").await.unwrap();
    assert!(!plan.contains("physical_plan") && !plan.contains(".parquet"), "{plan}");
}

#[tokio::test]
async fn no_query_by_name_tells_of_another_client() {
    let (_folder, source) = world().await;
    let session = session(&source, &acme(), None).unwrap();
    for query in crate::library::all() {
        let needed = query.parameters.iter().filter(|parameter| parameter.default.is_none());
        let given: Vec<_> = needed.map(|it| (it.name.to_owned(), "1".to_owned())).collect();
        let plan = query.plan(&session, &given).await.unwrap();
        let rows: Vec<_> =
            session.rows(plan, Turn::default()).await.unwrap().try_collect().await.unwrap();
        let text = pretty_format_batches(&rows).unwrap().to_string();
        assert!(!text.contains(SECRET) && !text.contains("globex"), "{}:\n{text}", query.name);
    }
}

#[tokio::test]
async fn a_confined_caller_sees_all_of_its_own() {
    let (_folder, source) = world().await;
    let count = |table: &str| format!("SELECT count(*) AS n, min(client_id) AS c FROM {table}");
    let both = Scope::Clients(BTreeSet::from(["acme".to_owned(), "globex".to_owned()]));
    let nobody = Scope::Clients(BTreeSet::new());
    for table in ["events", "dead_letters", "sessions", "sessions_onboarding", "funnel_daily"] {
        for (scope, rows) in [
            (&acme(), "1 | acme"),
            (&both, "2 | acme"),
            (&Scope::Everything, "2 | acme"),
            (&nobody, "0 | "),
        ] {
            let told = told(&source, scope, &count(table)).await.unwrap();
            assert!(told.contains(&format!("| {rows}")), "{table} {scope:?}:\n{told}");
        }
    }
    for table in ["duplicates", "reports"] {
        let statement = format!("SELECT count(*) AS n FROM {table}");
        assert!(told(&source, &acme(), &statement).await.unwrap().contains("| 0 "));
        assert!(told(&source, &Scope::Everything, &statement).await.unwrap().contains("| 1 "));
    }
}
