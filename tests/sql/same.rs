//! The same number everywhere: every figure of a report, as the program prints it, as the API answers it,
//! and as plain SQL over the views counts it, each from its definition; the SQL by the program, over HTTP
//! and over the PostgreSQL wire.
//!
//! Of what SQL does not say, only the program and the API are held against each other: hashes and
//! positions, the intervals of Aalen and Johansen's curve, and how recommendations are chosen and worded;
//! their evidence brings its own statements, which are asked here too.

mod judged;
mod ways;

use serde_json::{Value, json};

use crate::api::World;

use ways::{Ways, is_same};

/// The whole period of the demo, with a segment and an earlier period.
const REPORT: &str = "--format json report --from 2026-01-01 --to 2026-03-01 --segment-by device \
    --compare-from 2026-01-01 --compare-to 2026-02-10 --mix-by device";
const ROUTE: &str = "funnel?start=2026-01-01&end=2026-03-01&segment_by=device&compare_start=2026-01-01\
    &compare_end=2026-02-10&mix_by=device";

/// A session at each stage of its funnel.
const AT: &str = "funnel_stages t JOIN funnel_sessions s ON s.funnel = t.funnel";

/// A session's leaving of each stage: lost there, or passed to the next.
const LEAVING: &str = "SELECT t.stage, s.outcome = 'abandoned' AND s.furthest_stage = t.stage AS lost,
      CASE WHEN s.stage_at[t.stage + 1] IS NULL THEN s.last_event_at ELSE s.stage_at[t.stage + 1] END AS left_at,
      s.stage_at[t.stage] AS reached_at, s.errors
    FROM funnel_stages t JOIN funnel_sessions s ON s.funnel = t.funnel
    WHERE t.stage < 5
      AND (s.stage_at[t.stage + 1] IS NOT NULL OR s.outcome = 'abandoned' AND s.furthest_stage = t.stage)";

/// A figure: what it is, the statement that counts it, and what the report says, row by row.
struct Figure {
    name: &'static str,
    statement: String,
    reported: Vec<Value>,
}

fn figure(name: &'static str, statement: impl Into<String>, reported: Vec<Value>) -> Figure {
    Figure { name, statement: statement.into(), reported }
}

/// These members, or members of members, of each element.
fn rows(list: &Value, members: &[&str]) -> Vec<Value> {
    let member =
        |it: &Value, path: &&str| it.pointer(&format!("/{path}")).cloned().unwrap_or_default();
    let row = |it: &Value| members.iter().map(|path| member(it, path)).collect();
    list.as_array().expect("a list").iter().map(row).collect()
}

fn seconds(until: &str, since: &str) -> String {
    format!("CAST(CAST({until} AS BIGINT) - CAST({since} AS BIGINT) AS DOUBLE) / 1e6")
}

const TIMES: [&str; 7] = [
    "sessions",
    "mean_seconds",
    "median_seconds",
    "p25_seconds",
    "p75_seconds",
    "p90_seconds",
    "p99_seconds",
];

/// Times of stages, of rows with a column x.
fn times(of: &str) -> String {
    format!(
        "SELECT stage, count(x), avg(x), median(x), percentile_cont(x, 0.25), percentile_cont(x, 0.75),
           percentile_cont(x, 0.9), percentile_cont(x, 0.99)
         FROM ({of}) WHERE x IS NOT NULL GROUP BY stage ORDER BY stage"
    )
}

/// Counts, rates and their intervals.
fn counted(report: &Value) -> Vec<Figure> {
    let rate = |of: &str| -> Value {
        rows(
            &json!([report.pointer(of).expect("a rate")]),
            &["reached", "total", "rate", "low", "high"],
        )
        .remove(0)
    };
    let stages = &report["stages"];
    let horizon = &report["horizon_seconds"];
    vec![
        figure(
            "fates",
            "SELECT count(*), count(*) FILTER (WHERE outcome = 'completed'),
               count(*) FILTER (WHERE outcome = 'abandoned'), count(*) FILTER (WHERE outcome = 'in_flight'),
               count(*) FILTER (WHERE is_active) FROM funnel_sessions",
            rows(&json!([report]), &["total_sessions", "completed", "abandoned", "in_flight", "active"]),
        ),
        figure(
            "overall conversion of mature sessions",
            "SELECT c, n, conversion_rate(c, n), wilson_lower(c, n), wilson_upper(c, n) FROM (
               SELECT count(*) FILTER (WHERE completed_in_horizon) AS c, count(*) AS n
               FROM funnel_sessions WHERE is_mature)",
            vec![rate("/overall_conversion/mature")],
        ),
        figure(
            "stages",
            format!(
                "SELECT stage, stage_name, c, n, conversion_rate(c, n), wilson_lower(c, n), wilson_upper(c, n)
                 FROM (SELECT t.stage, t.stage_name, count(s.stage_at[t.stage]) AS c, count(*) AS n FROM {AT}
                   GROUP BY t.stage, t.stage_name) ORDER BY stage"
            ),
            rows(stages, &["stage", "name", "count", "from_start/total", "from_start/rate", "from_start/low", "from_start/high"]),
        ),
        figure(
            "stages by days",
            "SELECT sum(reached[1]), sum(reached[2]), sum(reached[3]), sum(reached[4]), sum(reached[5]),
               sum(mature_reached[1]), sum(mature_reached[5]) FROM funnel_daily",
            vec![json!([
                stages[0]["count"], stages[1]["count"], stages[2]["count"], stages[3]["count"], stages[4]["count"],
                stages[0]["mature"]["count"], stages[4]["mature"]["count"]
            ])],
        ),
        figure(
            "stages of mature sessions",
            format!(
                "SELECT t.stage, count(*) FILTER (
                   WHERE CAST(s.stage_at[t.stage] AS BIGINT) - CAST(s.started_at AS BIGINT) <= {horizon}000000
                 ), count(*) FROM {AT} WHERE s.is_mature GROUP BY t.stage ORDER BY t.stage"
            ),
            rows(stages, &["stage", "mature/count", "mature/from_start/total"]),
        ),
        figure(
            "drop-off",
            "SELECT stage, l, p, f, l + p, conversion_rate(l, l + p), wilson_lower(l, l + p), wilson_upper(l, l + p)
             FROM (SELECT t.stage, count(s.stage_at[t.stage + 1]) AS p,
                 count(*) FILTER (WHERE s.outcome = 'abandoned' AND s.furthest_stage = t.stage) AS l,
                 count(*) FILTER (WHERE s.outcome = 'in_flight' AND s.furthest_stage = t.stage) AS f
               FROM funnel_stages t JOIN funnel_sessions s ON s.funnel = t.funnel
               WHERE t.stage < 5 GROUP BY t.stage) ORDER BY stage",
            rows(&report["drop_off"]["all"], &["stage", "lost", "passed", "in_flight", "exposed", "rate", "low", "high"]),
        ),
    ]
}

/// Segments, another period, and the events themselves.
fn apart(report: &Value) -> Vec<Figure> {
    vec![
        figure(
            "segments",
            "SELECT attributes['device'] AS value, count(*), count(stage_at[2]), count(stage_at[5]),
               count(*) FILTER (WHERE is_mature), count(*) FILTER (WHERE is_mature AND completed_in_horizon)
             FROM funnel_sessions GROUP BY value ORDER BY value NULLS LAST",
            by_value(rows(
                &report["segments"]["attributes"]["device"],
                &["value", "sessions", "raw/stages/1/count", "raw/stages/4/count", "mature/stages/0/count", "mature/stages/4/count"],
            )),
        ),
        figure(
            "the earlier period",
            format!(
                "SELECT t.stage, count(s.stage_at[t.stage]) FROM {AT}
                 WHERE s.started_at < TIMESTAMP '2026-02-10' GROUP BY t.stage ORDER BY t.stage"
            ),
            rows(&report["comparison"]["raw"]["stages"], &["stage", "before/count"]),
        ),
        figure(
            "events",
            "SELECT e + d, d FROM (SELECT (SELECT count(*) FROM events) AS e,
               (SELECT sum(last_sequence - first_sequence + 1) FROM duplicates) AS d)",
            rows(&json!([report["data_quality"]]), &["events", "duplicates"]),
        ),
    ]
}

/// By the first cell, null last.
fn by_value(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| (row[0].is_null(), row[0].to_string()));
    rows
}

/// Times, and what depends on them.
fn timed(report: &Value) -> Vec<Figure> {
    let stages = &report["stages"];
    let later = json!(stages.as_array().expect("stages")[1..]);
    let of = |part: &str| -> Vec<String> {
        ["stage".to_owned()].into_iter().chain(TIMES.map(|time| format!("{part}/{time}"))).collect()
    };
    let reported = |list: &Value, part: &str| {
        let members = of(part);
        rows(list, &members.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let step = |from: &str| {
        let time = seconds("s.stage_at[t.stage]", from);
        times(&format!("SELECT t.stage, {time} AS x FROM {AT} WHERE t.stage > 1"))
    };
    let left = |which: &str| {
        let time = seconds("left_at", "reached_at");
        times(&format!("SELECT stage, {time} AS x FROM ({LEAVING}) WHERE {which}"))
    };
    let mut figures = vec![
        figure("time to stage", step("s.started_at"), reported(&later, "time_to_stage")),
        figure("step time", step("s.stage_at[t.stage - 1]"), reported(&later, "step_time")),
        figure("dwell of the lost", left("lost"), reported(&report["time_analysis"], "lost")),
        figure(
            "dwell of those who passed",
            left("NOT lost"),
            reported(&report["time_analysis"], "passed"),
        ),
        figure(
            "dwell in the view",
            "SELECT furthest_stage, avg(dwell_seconds), median(dwell_seconds) FROM funnel_sessions
             WHERE outcome = 'abandoned' GROUP BY furthest_stage ORDER BY furthest_stage",
            rows(&report["time_analysis"], &["stage", "lost/mean_seconds", "lost/median_seconds"]),
        ),
    ];
    for (place, within) in [300, 3_600, 86_400, 604_800].into_iter().enumerate() {
        let value = format!("incidence/at/{place}/watched/value");
        // The product-limit estimator: everyone is watched until the instant that the report is as of.
        let statement = format!(
            "WITH x AS (
               SELECT t.stage, CAST(s.stage_at[t.stage] AS BIGINT) - CAST(s.stage_at[t.stage - 1] AS BIGINT) AS x,
                 CAST(s.as_of AS BIGINT) - CAST(s.stage_at[t.stage - 1] AS BIGINT) AS c
               FROM {AT} WHERE t.stage > 1 AND s.stage_at[t.stage - 1] IS NOT NULL
             ), u AS (
               SELECT stage, coalesce(x, c) AS at, count(x) AS d, count(*) AS n FROM x GROUP BY stage, coalesce(x, c)
             ), r AS (
               SELECT stage, at, d, sum(n) OVER (PARTITION BY stage ORDER BY at DESC) AS risk FROM u
             )
             SELECT stage, 1 - exp(sum(ln(1 - CAST(d AS DOUBLE) / risk)) FILTER (WHERE at <= {within}000000))
             FROM r WHERE d > 0 GROUP BY stage ORDER BY stage"
        );
        figures.push(figure("cumulative incidence", statement, rows(&later, &["stage", &value])));
    }
    let bins = report["time_to_convert"]["bins"].as_array().expect("bins");
    let bin = |bin: &Value| {
        let below = match bin["to_seconds"].as_f64() {
            Some(to) => format!(" AND seconds_to_complete < {to}"),
            None => String::new(),
        };
        format!("count(*) FILTER (WHERE seconds_to_complete >= {}{below})", bin["from_seconds"])
    };
    figures.push(figure(
        "time to convert",
        format!(
            "SELECT {} FROM funnel_sessions",
            bins.iter().map(bin).collect::<Vec<_>>().join(", ")
        ),
        vec![bins.iter().map(|bin| bin["sessions"].clone()).collect()],
    ));
    figures
}

/// Why and when sessions are lost, and cohorts.
fn grouped(report: &Value) -> Vec<Figure> {
    let weeks = report["cohort_analysis"].as_array().expect("weeks").iter();
    let weeks: Value = weeks.filter(|week| week["sessions"] != 0).cloned().collect();
    // Within a day's age, where the whole week was watched for it.
    let whole: Value = weeks
        .as_array()
        .expect("weeks")
        .iter()
        .filter(|week| week["monday"].as_str() < Some("2026-02-16"))
        .cloned()
        .collect();
    vec![
        figure(
            "heatmap",
            format!(
                "SELECT stage, (CAST(date_part('dow', left_at) AS BIGINT) + 6) % 7 * 24
                     + CAST(date_part('hour', left_at) AS BIGINT) AS hour,
                   count(*) FILTER (WHERE lost), count(*) FILTER (WHERE NOT lost)
                 FROM ({LEAVING}) GROUP BY stage, hour ORDER BY stage, hour"
            ),
            rows(&report["heatmap"], &["stage", "hour_of_week", "lost", "passed"]),
        ),
        figure(
            "errors",
            format!(
                "WITH e AS (
                   SELECT stage, lost, left_at, reached_at, unnest(errors) AS e, row_number() OVER () AS n FROM ({LEAVING})
                 )
                 SELECT stage, code, l, p, CAST(l AS DOUBLE) / lost / nullif(CAST(p AS DOUBLE) / passed, 0) FROM (
                   SELECT stage, code, count(*) FILTER (WHERE lost) AS l, count(*) FILTER (WHERE NOT lost) AS p FROM (
                     SELECT DISTINCT n, stage, lost, e['code'] AS code FROM e
                     WHERE e['occurred_at'] >= reached_at AND (lost OR e['occurred_at'] < left_at)
                   ) GROUP BY stage, code
                 ) JOIN (
                   SELECT stage AS at, count(*) FILTER (WHERE lost) AS lost, count(*) FILTER (WHERE NOT lost) AS passed
                   FROM ({LEAVING}) GROUP BY stage
                 ) ON at = stage ORDER BY CAST(stage AS TEXT) || code"
            ),
            by_text(rows(&report["error_patterns"], &["stage", "code", "lost_with", "passed_with", "lift"])),
        ),
        figure(
            "reasons",
            "SELECT loss_reason, count(*) FROM funnel_sessions WHERE outcome = 'abandoned'
             GROUP BY loss_reason ORDER BY loss_reason",
            by_value(rows(&report["common_reasons"], &["reason", "sessions"])),
        ),
        figure(
            "cohorts",
            "SELECT CAST(date_trunc('week', started_at) AS DATE) AS monday, count(*),
               count(*) FILTER (WHERE outcome = 'in_flight'), count(stage_at[2]), count(stage_at[5]),
               median(seconds_to_complete)
             FROM funnel_sessions GROUP BY monday ORDER BY monday",
            rows(&weeks, &["monday", "sessions", "in_flight", "stages/1/count", "stages/4/count", "median_seconds_to_complete"]),
        ),
        figure(
            "cohorts by age",
            "SELECT CAST(date_trunc('week', started_at) AS DATE) AS monday,
               conversion_rate(count(*) FILTER (WHERE seconds_to_complete <= 86400), count(*)),
               conversion_rate(count(*) FILTER (WHERE seconds_to_complete <= 604800), count(*))
             FROM funnel_sessions WHERE started_at < TIMESTAMP '2026-02-16' GROUP BY monday ORDER BY monday",
            rows(&whole, &["monday", "by_age/0/conversion/rate", "by_age/6/conversion/rate"]),
        ),
    ]
}

/// By stage and code.
fn by_text(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| format!("{}{}", row[0], row[1].as_str().unwrap_or_default()));
    rows
}

#[test]
fn every_figure_is_the_same_everywhere() {
    let ways = Ways::of(World::shared());
    let report = ways.world.scene.run(REPORT.split_whitespace()).succeeded().json();
    assert_eq!(ways.world.analytics(ROUTE), report, "the API and the program");
    assert!(report["total_sessions"].as_u64() > Some(1_000), "{report}");
    let parts = [counted, apart, timed, grouped];
    let judged = [judged::tests, judged::shifts, judged::mix, judged::judgements, judged::curves];
    let figures = parts.into_iter().chain(judged).flat_map(|part| part(&report));
    for Figure { name, statement, reported } in figures {
        assert!(
            !reported.is_empty()
                && reported.iter().flat_map(|row| row.as_array()).all(|row| !row.is_empty())
        );
        let (_, counted) = ways.ask(name, &statement);
        assert_eq!(counted.len(), reported.len(), "{name}: {counted:?}");
        for (counted, reported) in counted.iter().zip(&reported) {
            assert!(is_same(counted, reported), "{name}: SQL {counted}, the report {reported}");
        }
    }
}

#[test]
fn every_recommendation_brings_statements_that_give_its_figures() {
    let ways = Ways::of(World::shared());
    let report = ways.world.scene.run(REPORT.split_whitespace()).succeeded().json();
    let recommendations = report["recommendations"].as_array().expect("recommendations");
    let evidence: Vec<&Value> = recommendations
        .iter()
        .flat_map(|it| it["evidence"].as_array().expect("evidence"))
        .collect();
    assert!(!evidence.is_empty(), "{recommendations:#?}");
    for evidence in evidence {
        let statement = evidence["sql"].as_str().expect("a statement");
        let (columns, rows) = ways.ask("evidence", statement);
        let reported: Value = columns.iter().map(|name| evidence[name].clone()).collect();
        assert!(is_same(&json!(rows), &json!([reported])), "{rows:?}, {evidence:#}");
    }
}
