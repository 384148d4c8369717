//! The statements that Grafana's PostgreSQL data source sends: its check, its builder, and panels with
//! their macros written out.

use super::Wire;

/// How the builder asks for the tables that need no schema before their name.
const PATH: &str = "quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )";

#[test]
fn the_check_and_the_builder_find_views_and_columns() {
    let wire = Wire::start();
    assert_eq!(
        wire.ask("SELECT current_setting('server_version_num')::int/100 as version"),
        "1600"
    );
    assert_eq!(wire.ask("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"), "");
    assert_eq!(wire.ask("SELECT 1"), "1");
    wire.psql(&["-c", "-- ping"]).succeeded();
    let tables = wire.ask(&format!(
        "SELECT CASE WHEN {PATH} THEN quote_ident(table_name)
           ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\"
         FROM information_schema.tables
         WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog',
           '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal',
           '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental')
         ORDER BY CASE WHEN {PATH} THEN 0 ELSE 1 END, 1"
    ));
    let tables: Vec<&str> = tables.lines().collect();
    assert!(tables.contains(&"public.events") || tables.contains(&"events"), "{tables:?}");
    let events = tables.iter().find(|table| table.ends_with("events")).unwrap();
    let columns = wire.ask(&format!(
        "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\"
         FROM information_schema.columns
         WHERE
           CASE WHEN array_length(parse_ident('{events}'),1) = 2
             THEN quote_ident(table_schema) = (parse_ident('{events}'))[1]
               AND quote_ident(table_name) = (parse_ident('{events}'))[2]
             ELSE quote_ident(table_name) = '{events}' AND {PATH}
           END"
    ));
    assert!(columns.contains("occurred_at|timestamp with time zone"), "{columns}");
    assert!(columns.contains("event_type|text"), "{columns}");
}

#[test]
fn panels_draw_what_onramp_counts() {
    let wire = Wire::start();
    let period = "occurred_at BETWEEN '2026-02-01T00:00:00Z' AND '2026-03-02T00:00:00Z'";
    let total = wire.scene.sql(&format!("SELECT count(*) AS n FROM events WHERE {period}"));
    let total = total[0]["n"].as_i64().unwrap();
    assert!(total > 0);
    for time in [
        // $__timeGroupAlias(occurred_at, 1h), $__time(occurred_at) with date_trunc, $__unixEpochGroup.
        "floor(extract(epoch from occurred_at)/3600)*3600",
        "date_trunc('hour', occurred_at)",
        "to_timestamp(floor(extract(epoch from occurred_at)/3600)*3600)",
        "date_bin('1 hour', occurred_at)",
    ] {
        let rows = wire.ask(&format!(
            "SELECT {time} AS \"time\", event_type AS metric, count(*) AS \"value\"
             FROM events WHERE {period} GROUP BY 1, 2 ORDER BY 1, 2"
        ));
        let sum: i64 =
            rows.lines().map(|row| row.rsplit('|').next().unwrap().parse::<i64>().unwrap()).sum();
        assert_eq!(sum, total, "{time}");
        assert!(rows.lines().count() > 10, "{time}");
    }
    let filtered = wire.ask(&format!(
        "SELECT count(*) FROM events WHERE extract(epoch from occurred_at) >= 1769904000
           AND extract(epoch from occurred_at) <= 1772409600 AND {period}"
    ));
    assert_eq!(filtered, total.to_string());
    let table = wire.ask(
        "SELECT occurred_at AS \"time\", id FROM events ORDER BY occurred_at DESC, id LIMIT 50 ",
    );
    assert_eq!(table.lines().count(), 50);
}
