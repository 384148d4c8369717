//! A funnel's sessions and days in SQL: the statements behind the views, and what their columns mean.
//!
//! The statements read rows of the table `sessions` under the name [`SESSIONS`]. They tell a session's
//! fate by the rule of [`crate::fold::Outlook::fate`] and count by those of [`crate::metrics`]; the
//! as-of instant is an argument, and no row may hold a later event.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat};
use onramp_schemas::funnel::{Funnel, Order};

use crate::fold::Rules;

/// The name under which the statements find the rows of `sessions`.
pub const SESSIONS: &str = "folded";

/// A column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name.
    pub name: String,
    /// What it means, with its unit.
    pub doc: String,
    sql: String,
}

fn column(name: &str, sql: impl Into<String>, doc: impl Into<String>) -> ViewColumn {
    ViewColumn { name: name.to_owned(), doc: doc.into(), sql: sql.into() }
}

/// The columns of a funnel's sessions.
pub fn session_columns(funnel: &Funnel) -> Vec<ViewColumn> {
    let [mut columns, fate] = common_columns(funnel);
    columns.extend(stage_columns(funnel).into_iter().skip(1));
    columns.extend(fate);
    let taken: BTreeSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    for name in funnel.segments.iter().filter(|name| !taken.contains(*name)) {
        let sql = format!("attributes[{}]", text(name));
        columns.push(column(name, sql, "Of the event that opened the session."));
    }
    columns.extend(last_columns());
    columns
}

/// The columns of the sessions of all funnels.
pub fn any_session_columns(funnel: &Funnel) -> Vec<ViewColumn> {
    let [mut columns, fate] = common_columns(funnel);
    columns.insert(0, column("funnel", "funnel", "The funnel's name."));
    let stage_at = "Element k: when stage k was reached; null: it was not.";
    columns.push(column("stage_at", "stage_at", stage_at));
    columns.extend(fate);
    columns.extend(last_columns());
    columns
}

fn last_columns() -> [ViewColumn; 2] {
    [
        column("attributes", "attributes", "All fields of the event that opened it, as text."),
        column(
            "as_of",
            "as_of",
            "The instant of the lake's newest event: what `outcome` is as of.",
        ),
    ]
}

/// What every funnel's sessions have: before the stages, and after them.
fn common_columns(funnel: &Funnel) -> [Vec<ViewColumn>; 2] {
    let first = vec![
        column("client_id", "client_id", "The tenant."),
        column("session_id", "session_id", "The session, unique within the client."),
        column("started_at", "started_at", "When it reached the first stage."),
        column("started_date", "started_date", "UTC date of `started_at`."),
        column("outcome", "outcome", "`completed`, `abandoned` or `in_flight`, as of `as_of`."),
        column("furthest_stage", "furthest_stage", "Number of the last required stage reached."),
        column("furthest_stage_name", stage_name(funnel), "Its name."),
    ];
    let fate = vec![
        column("last_event_at", "last_event_at", "The last activity."),
        column("lost_at", instant_of("lost"), "When it was declared lost; null: it was not."),
        column("lost_how", "lost_how", "`explicit`, `idle`, `window` or `order`."),
        column(
            "loss_reason",
            "CASE WHEN outcome = 'abandoned' THEN coalesce(loss_reason, \
             CASE lost_how WHEN 'explicit' THEN 'unspecified' ELSE lost_how END) END",
            "Why it was lost: the reason it gave, else its last error at the furthest stage, else \
             `lost_how`.",
        ),
        column(
            "is_active",
            "outcome = 'in_flight' AND idle < active_within",
            "In flight with recent activity.",
        ),
        column(
            "dwell_seconds",
            "CASE outcome WHEN 'abandoned' THEN CAST(last_event - furthest AS DOUBLE) / 1e6 \
             WHEN 'in_flight' THEN CAST(seen - furthest AS DOUBLE) / 1e6 END",
            "How long it stayed at the furthest stage: to its last activity if lost, to `as_of` if in \
             flight; null if completed.",
        ),
        column(
            "seconds_to_complete",
            "CASE WHEN outcome = 'completed' THEN CAST(furthest - started AS DOUBLE) / 1e6 END",
            "From the first stage to the last; null if not completed.",
        ),
        column("errors", "errors", "Errors with a code, in order: `occurred_at`, `code`."),
        column("events", "events", "Distinct events."),
        column(
            "is_mature",
            "is_mature",
            "It started at least the funnel's horizon before `as_of`: what rates are judged on.",
        ),
        column(
            "completed_in_horizon",
            format!("{} <> 0", bit(funnel.stages.len() - 1)),
            "It completed within the horizon.",
        ),
    ];
    [first, fate]
}

/// When each stage was reached, by names that are columns; stage 1 is `started_at`.
fn stage_columns(funnel: &Funnel) -> Vec<ViewColumn> {
    let mut taken: BTreeSet<String> =
        ["started_at", "last_event_at", "lost_at"].map(str::to_owned).into();
    let stages = funnel.stages.iter().enumerate();
    let named = stages.map(|(index, stage)| {
        let number = index + 1;
        let (mut name, doc) = match (funnel.order, index) {
            (_, 0) => ("started_at".to_owned(), "When it started.".to_owned()),
            (Order::Unordered, _) => (
                format!("stage_{number}_at"),
                format!("When {number} distinct stages had been reached; null: they were not."),
            ),
            _ => (
                format!("{}_at", slug(&stage.name)),
                format!("When stage {number}, {}, was reached; null: it was not.", stage.name),
            ),
        };
        if index > 0 && !taken.insert(name.clone()) {
            name = format!("stage_{number}_at");
        }
        column(&name, format!("stage_at[{number}]"), doc)
    });
    named.collect()
}

/// The name of the column of a stage, from 0, in the view of the funnel's sessions.
pub fn stage_column(funnel: &Funnel, stage: usize) -> String {
    stage_columns(funnel).swap_remove(stage).name
}

/// `Approval decision` as `approval_decision`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter.is_alphanumeric() {
            true => slug.push(letter),
            false if !slug.ends_with('_') && !slug.is_empty() => slug.push('_'),
            false => {}
        }
    }
    slug.trim_end_matches('_').to_owned()
}

/// The statement behind a funnel's sessions: those that started and that no exclusion takes out.
pub fn sessions_statement(funnel: &Funnel, as_of: i64) -> String {
    select(funnel, as_of, &session_columns(funnel))
}

/// The same with the columns of all funnels.
pub fn any_sessions_statement(funnel: &Funnel, as_of: i64) -> String {
    select(funnel, as_of, &any_session_columns(funnel))
}

fn select(funnel: &Funnel, as_of: i64, columns: &[ViewColumn]) -> String {
    let list: Vec<String> =
        columns.iter().map(|it| format!("{} AS {}", it.sql, name(&it.name))).collect();
    format!("{}\nSELECT {}\nFROM told", told(funnel, as_of), list.join(",\n  "))
}

/// The end of a day in microseconds.
const END_OF_DAY: &str = "(CAST(CAST(started_date AS INT) AS BIGINT) + 1) * 86400000000";

/// The columns of a funnel's days.
pub fn day_columns() -> Vec<ViewColumn> {
    let mature = "count(*) FILTER (WHERE is_mature)";
    let outcome = |outcome: &str| format!("count(*) FILTER (WHERE outcome = '{outcome}')");
    vec![
        column("funnel", "", "The funnel's name."),
        column("day", "started_date", "UTC day in which the sessions started."),
        column("client_id", "client_id", "The tenant."),
        column("sessions", "count(*)", "Sessions that started on that day."),
        column("completed", outcome("completed"), "Those that reached the last stage."),
        column("abandoned", outcome("abandoned"), "Those that were lost."),
        column("in_flight", outcome("in_flight"), "Those that may go on."),
        column("reached", "", "Element k: those that reached stage k, whenever they did."),
        column("mature_sessions", mature, "Those that were watched for the funnel's horizon."),
        column(
            "mature_reached",
            "",
            "Element k: of these, those that reached stage k within the horizon.",
        ),
        column(
            "is_complete",
            format!("max(seen) >= {END_OF_DAY}"),
            "The day was over at `as_of`: no further session can start on it.",
        ),
        column(
            "is_mature",
            format!("max(mature_until) >= {END_OF_DAY}"),
            "All sessions of the day were watched for the horizon: its mature counts are final.",
        ),
        column("as_of", "min(as_of)", "The instant of the lake's newest event."),
    ]
}

/// The statement behind a funnel's days: one row for each day and client with a session.
pub fn days_statement(funnel: &Funnel, as_of: i64) -> String {
    let stages = 0..funnel.stages.len();
    let reached = stages.clone().map(|stage| format!("count(stage_at[{}])", stage + 1));
    let mature =
        stages.map(|stage| format!("count(*) FILTER (WHERE is_mature AND {} <> 0)", bit(stage)));
    let list = |counts: &mut dyn Iterator<Item = String>| {
        format!("make_array({})", counts.collect::<Vec<_>>().join(", "))
    };
    let (reached, mature) = (list(&mut { reached }), list(&mut { mature }));
    let columns = day_columns();
    let sql = |it: &ViewColumn| match it.name.as_str() {
        "funnel" => text(&funnel.name),
        "reached" => reached.clone(),
        "mature_reached" => mature.clone(),
        _ => it.sql.clone(),
    };
    let list: Vec<String> =
        columns.iter().map(|it| format!("{} AS {}", sql(it), it.name)).collect();
    format!(
        "{}\nSELECT {}\nFROM told GROUP BY started_date, client_id",
        told(funnel, as_of),
        list.join(",\n  ")
    )
}

/// `WITH told AS (…)`: every session with its fate; times without `_at` in whole microseconds.
fn told(funnel: &Funnel, as_of: i64) -> String {
    let rules = Rules::new(funnel);
    let last = funnel.stages.len();
    let before = |span: i64| as_of.saturating_sub(span);
    let (idle, horizon) = (rules.abandon_after(), rules.horizon());
    let window = match rules.window() {
        Some(window) => {
            format!("CASE WHEN started < {} THEN started + {window} END", before(window))
        }
        None => "CAST(NULL AS BIGINT)".to_owned(),
    };
    format!(
        "WITH counted AS (
  SELECT *, CAST(started_at AS BIGINT) AS started, CAST(last_event_at AS BIGINT) AS last_event,
    CAST(stage_at[furthest_stage] AS BIGINT) AS furthest
  FROM {SESSIONS}
  WHERE funnel = {funnel} AND started_at IS NOT NULL AND excluded IS NOT TRUE
), declared AS (
  SELECT *, CASE WHEN given_up THEN last_event END AS given_up_at,
    CASE WHEN last_event <= {idle_since} THEN last_event + {idle} END AS idle_at,
    {window} AS window_at, CAST(interrupted_at AS BIGINT) AS order_at
  FROM counted
), first_declared AS (
  SELECT *, CASE WHEN furthest_stage < {last}
    THEN least(given_up_at, idle_at, window_at, order_at) END AS lost
  FROM declared
), told AS (
  SELECT *, CASE WHEN furthest_stage >= {last} THEN 'completed'
      WHEN lost IS NOT NULL THEN 'abandoned' ELSE 'in_flight' END AS outcome,
    CASE lost WHEN given_up_at THEN 'explicit' WHEN idle_at THEN 'idle' WHEN window_at THEN 'window'
      WHEN order_at THEN 'order' END AS lost_how,
    CAST({as_of} AS BIGINT) AS seen, {as_of} - last_event AS idle, {active} AS active_within,
    started <= {mature} AS is_mature, CAST({mature} AS BIGINT) AS mature_until, {as_of_at} AS as_of
  FROM first_declared
)",
        funnel = text(&funnel.name),
        idle_since = before(idle),
        active = rules.active_within(),
        mature = before(horizon),
        as_of_at = instant(as_of),
    )
}

fn stage_name(funnel: &Funnel) -> String {
    let stages = funnel.stages.iter().enumerate();
    let whens: Vec<String> =
        stages.map(|(index, it)| format!("WHEN {} THEN {}", index + 1, text(&it.name))).collect();
    format!("CASE furthest_stage {} END", whens.join(" "))
}

/// Bit `stage` of what was reached within the horizon.
fn bit(stage: usize) -> String {
    format!("(CAST(reached_in_horizon AS BIGINT) & {})", 1_u64 << stage)
}

fn instant_of(micros: &str) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// An instant as a literal of the type of `occurred_at`; beyond what SQL can write, the end of that.
fn instant(at: i64) -> String {
    const FIRST: i64 = -8_520_336_000_000_000;
    let at = DateTime::from_timestamp_micros(at.max(FIRST)).unwrap_or_default();
    instant_of(&text(&at.to_rfc3339_opts(SecondsFormat::Micros, true)))
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
