//! The statements that give a figure again, over the tables `sessions`, `events` and `duplicates`.
//!
//! What is excluded, and which errors a session had, is read from the digests: for a session of
//! more events than are kept as digests the statement knows only the first of them.

use chrono::{DateTime, SecondsFormat};

use super::{Frame, Side};

/// SQL's timestamps hold nanoseconds: beyond these years nothing can be written, and nothing happens.
const YEARS: (i64, i64) = (-8_520_336_000_000_000, 7_258_118_400_000_000);

impl Frame<'_> {
    /// The mature sessions of a period as the table `watched`; `filter` is a further condition.
    pub(super) fn watched_sql(&self, side: &Side, filter: Option<&str>) -> String {
        let mut conditions = self.funnel_sql();
        conditions += &format!(
            "\n    AND started_at >= {} AND started_at < {}",
            instant(side.from),
            instant(side.to)
        );
        if let Some(filter) = filter {
            conditions += &format!("\n    AND {filter}");
        }
        let Some(excluded) = self.excluded_sql() else {
            return format!("WITH watched AS (\n  SELECT * FROM sessions\n  WHERE {conditions}\n)");
        };
        format!(
            "WITH excluded AS (\n{excluded}\n), watched AS (\n  SELECT * FROM sessions s\n  \
             WHERE {conditions}\n    AND NOT EXISTS (SELECT 1 FROM excluded e \
             WHERE e.client_id = s.client_id AND e.session_id = s.session_id)\n)"
        )
    }

    /// Of the watched sessions that reached one stage, those that reached another.
    pub(super) fn conversion_sql(
        &self,
        side: &Side,
        (from, to): (usize, usize),
        filter: Option<&str>,
    ) -> String {
        format!(
            "{}\nSELECT count(*) FILTER (WHERE {}) AS reached,\n       \
             count(*) FILTER (WHERE {}) AS total\nFROM watched",
            self.watched_sql(side, filter),
            self.reached_sql(to),
            self.reached_sql(from),
        )
    }

    /// Whether a session reached a stage within the horizon.
    pub(super) fn reached_sql(&self, stage: usize) -> String {
        format!("stage_at[{}] <= {}", stage + 1, self.end_sql())
    }

    /// The last instant that counts of a session.
    pub(super) fn end_sql(&self) -> String {
        format!("started_at + {}", seconds(self.request.funnel.horizon()))
    }

    /// Rows of the funnel, of the client and with the attributes that were asked for.
    pub(super) fn funnel_sql(&self) -> String {
        let mut text = format!("funnel = {}", quoted(&self.request.funnel.name));
        if let Some(client) = &self.request.client_id {
            text += &format!(" AND client_id = {}", quoted(client));
        }
        for (name, value) in &self.request.selection.attributes {
            text += &match value {
                Some(value) => format!(" AND {} = {}", attribute(name), quoted(value)),
                None => format!(" AND {} IS NULL", attribute(name)),
            };
        }
        text
    }

    /// Sessions that an exclusion takes out; `None`: the funnel has none.
    fn excluded_sql(&self) -> Option<String> {
        let funnel = &self.request.funnel;
        let as_of = instant(self.request.as_of);
        let window_end = match funnel.window_seconds {
            Some(window) => format!("digest['occurred_at'] <= started_at + {}", seconds(window)),
            None => "TRUE".to_owned(),
        };
        let one = |(index, exclusion): (usize, &onramp_schemas::funnel::Exclusion)| {
            let (from, to) = (exclusion.from_stage, exclusion.to_stage);
            format!(
                "(digest['exclusions'] & {}) <> 0 AND digest['occurred_at'] > stage_at[{from}]\n    \
                 AND CASE WHEN stage_at[{to}] <= {as_of} \
                 THEN digest['occurred_at'] < stage_at[{to}] ELSE {window_end} END",
                1_u32 << index
            )
        };
        let conditions: Vec<String> = funnel.exclusions.iter().enumerate().map(one).collect();
        (!conditions.is_empty()).then(|| {
            format!(
                "  SELECT DISTINCT client_id, session_id FROM (\n    \
                 SELECT client_id, session_id, started_at, stage_at, unnest(digests) AS digest\n    \
                 FROM sessions WHERE {}\n  ) WHERE digest['occurred_at'] <= {as_of} AND ({})",
                self.funnel_sql(),
                conditions.join("\n    OR "),
            )
        })
    }
}

/// An instant.
pub(super) fn instant(at: i64) -> String {
    let at = DateTime::from_timestamp_micros(at.clamp(YEARS.0, YEARS.1)).unwrap_or_default();
    format!("TIMESTAMP '{}'", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A span of time.
pub(super) fn seconds(seconds: u64) -> String {
    format!("INTERVAL '{seconds} seconds'")
}

/// A text.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The attribute of a session, as the report names it.
pub(super) fn attribute(name: &str) -> String {
    match name {
        "client_id" => name.to_owned(),
        name => format!("attributes[{}]", quoted(name)),
    }
}
