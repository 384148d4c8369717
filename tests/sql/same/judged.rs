//! What a report judges and estimates, from its definitions in plain SQL: tests with their adjusted
//! p-values, intervals of differences, trends, severities, curves of incidence.

use serde_json::{Value, json};

use super::{AT, Figure, by_value, figure, rows, seconds};

/// The 97.5 % quantile of the normal distribution.
const Z: &str = "1.959963984540054";
/// Mature sessions of the earlier period.
const EARLY: &str = "started_at < TIMESTAMP '2026-02-10'";

/// Simpson's rule: the weight of node `k` of 1,000 steps, without the step's third.
const NODES: &str = "nodes AS (SELECT k, CASE WHEN k IN (0, 1000) THEN 1.0 WHEN k % 2 = 1 THEN 4.0 ELSE 2.0 END AS w
  FROM (SELECT unnest(range(0, 1001)) AS k))";

/// Of rows `counts` with `name, x1, n1, x2, n2`: the difference of the rates, Newcombe's interval, z, its
/// two-sided p by integration of the density, and p adjusted over all rows.
fn tested(counts: &str, select: &str) -> String {
    format!(
        "WITH {counts}, {NODES},
         rates AS (SELECT *, x1 / n1 AS p1, x2 / n2 AS p2, (x1 + x2) / (n1 + n2) AS pooled,
             wilson_lower(CAST(x1 AS BIGINT), CAST(n1 AS BIGINT)) AS l1, wilson_upper(CAST(x1 AS BIGINT), CAST(n1 AS BIGINT)) AS u1,
             wilson_lower(CAST(x2 AS BIGINT), CAST(n2 AS BIGINT)) AS l2, wilson_upper(CAST(x2 AS BIGINT), CAST(n2 AS BIGINT)) AS u2
           FROM (SELECT name, CAST(x1 AS DOUBLE) AS x1, CAST(n1 AS DOUBLE) AS n1, CAST(x2 AS DOUBLE) AS x2,
             CAST(n2 AS DOUBLE) AS n2 FROM counts)),
         z AS (SELECT *, p1 - p2 AS difference, p1 - p2 - sqrt(power(p1 - l1, 2) + power(u2 - p2, 2)) AS low,
             p1 - p2 + sqrt(power(u1 - p1, 2) + power(p2 - l2, 2)) AS high,
             (p1 - p2) / sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2)) AS z
           FROM rates),
         p AS (SELECT name, sum(w * exp(-power(abs(z) + 0.009 * k, 2) / 2)) * 0.003 * 2 / sqrt(2 * pi()) AS p
           FROM z CROSS JOIN nodes GROUP BY name),
         ranked AS (SELECT name, p, row_number() OVER (ORDER BY p, name) AS r, count(*) OVER () AS m FROM p),
         adjusted AS (SELECT name, m, p, least(1.0, min(p * m / r) OVER (ORDER BY r DESC)) AS q FROM ranked)
         SELECT {select} FROM z JOIN adjusted a ON a.name = z.name ORDER BY z.name"
    )
}

/// The tests of segments and of the comparison.
pub fn tests(report: &Value) -> Vec<Figure> {
    let horizon = &report["horizon_seconds"];
    let segments = &report["segments"]["attributes"]["device"];
    let tested_ones = segments.as_array().expect("segments").iter();
    let tested_ones: Value = tested_ones
        .filter(|it| !it["mature"]["against_rest"]["p_adjusted"].is_null())
        .cloned()
        .collect();
    assert!(tested_ones.as_array().map(Vec::len) > Some(2), "{segments:#}");
    let against = |member: &str| format!("mature/against_rest/{member}");
    let members = ["difference", "low", "high", "z", "p", "p_adjusted", "significant"].map(against);
    let members: Vec<&str> =
        ["value"].into_iter().chain(members.iter().map(String::as_str)).collect();
    let segmented = "s AS (SELECT attributes['device'] AS name, count(*) FILTER (WHERE completed_in_horizon) AS c,
           count(*) AS n FROM funnel_sessions WHERE is_mature GROUP BY name),
         counts AS (SELECT * FROM (SELECT name, c AS x1, n AS n1, sum(c) OVER () - c AS x2, sum(n) OVER () - n AS n2
           FROM s) WHERE name IS NOT NULL AND least(n1, n2) >= 30)";
    let mut figures = vec![
        figure(
            "segments against the rest",
            tested(segmented, "z.name, difference, low, high, z, a.p, q, q <= 0.05"),
            by_value(rows(&tested_ones, &members)),
        ),
        figure(
            "hypotheses of segments",
            tested(segmented, "m") + " LIMIT 1",
            rows(&json!([report["segments"]]), &["hypotheses"]),
        ),
    ];
    // A step from the first stage is the hypothesis of its rate from the start.
    let compared = format!(
        "m AS (SELECT t.stage, s.{EARLY} AS early,
             CAST(s.stage_at[t.stage] AS BIGINT) - CAST(s.started_at AS BIGINT) <= {horizon}000000 AS reached
           FROM {AT} WHERE s.is_mature),
         r AS (SELECT stage, count(*) FILTER (WHERE reached) AS x1, count(*) AS n1,
             count(*) FILTER (WHERE reached AND early) AS x2, count(*) FILTER (WHERE early) AS n2
           FROM m GROUP BY stage),
         counts AS (
           SELECT 10 + stage AS name, x1, n1, x2, n2 FROM r WHERE stage > 1
           UNION ALL
           SELECT 20 + r.stage, r.x1, before.x1, r.x2, before.x2
           FROM r JOIN r before ON before.stage = r.stage - 1 WHERE r.stage > 2)"
    );
    let changes = ["difference", "low", "high", "z", "p", "p_adjusted", "direction"];
    let of = |part: &str, from: usize| {
        let stages = &report["comparison"]["mature"]["stages"].as_array().expect("stages")[from..];
        let members = changes.map(|member| format!("{part}/{member}"));
        rows(&json!(stages), &members.each_ref().map(String::as_str))
    };
    figures.push(figure(
        "changes between the periods",
        tested(
            &compared,
            "difference, low, high, z, a.p, q, CASE WHEN q <= 0.05 AND difference > 0 THEN 'improving'
               WHEN q <= 0.05 AND difference < 0 THEN 'declining' ELSE 'stable' END",
        ),
        [of("from_start", 1), of("from_previous", 2)].concat(),
    ));
    figures
}

/// Shifts of times between the periods.
pub fn shifts(report: &Value) -> Vec<Figure> {
    let comparison = &report["comparison"];
    let mut figures = Vec::new();
    for (part, since) in
        [("time_to_stage", "s.started_at"), ("step_time", "s.stage_at[t.stage - 1]")]
    {
        let members = [
            "median_before_seconds",
            "median_after_seconds",
            "mann_whitney/u",
            "mann_whitney/z",
            "mann_whitney/p",
        ];
        let members = members.map(|member| format!("{part}/{member}"));
        let members: Vec<&str> =
            ["stage"].into_iter().chain(members.iter().map(String::as_str)).collect();
        let time = seconds("s.stage_at[t.stage]", since);
        // Sessions of the earlier period are in the later as well here; ranks are of both together.
        figures.push(figure(
            "shift of times",
            format!(
                "WITH {NODES}, x AS (SELECT t.stage, s.{EARLY} AS early, {time} AS x FROM {AT}
                   WHERE t.stage > 1 AND s.stage_at[t.stage] IS NOT NULL),
                 pool AS (SELECT stage, x, true AS first FROM x WHERE early UNION ALL SELECT stage, x, false FROM x),
                 ties AS (SELECT stage, x, CAST(count(*) AS DOUBLE) AS size, count(*) FILTER (WHERE first) AS mine
                   FROM pool GROUP BY stage, x),
                 ranks AS (SELECT *, sum(size) OVER (PARTITION BY stage ORDER BY x) - (size - 1) / 2 AS mid FROM ties),
                 sums AS (SELECT stage, sum(mine * mid) AS ranks, CAST(sum(mine) AS DOUBLE) AS n1,
                     sum(size) AS n, sum(power(size, 3) - size) AS ties FROM ranks GROUP BY stage),
                 u AS (SELECT *, ranks - n1 * (n1 + 1) / 2 AS u, n1 * (n - n1) AS pairs FROM sums),
                 z AS (SELECT stage, u, greatest(0.0, (abs(u - pairs / 2) - 0.5)
                     / sqrt(pairs / 12 * (n + 1 - ties / (n * (n - 1))))) AS z FROM u),
                 p AS (SELECT stage, u, z, sum(w * exp(-power(z + 0.009 * k, 2) / 2)) * 0.003 * 2 / sqrt(2 * pi()) AS p
                   FROM z CROSS JOIN nodes GROUP BY stage, u, z)
                 SELECT p.stage, b.median, a.median, p.u, p.z, p.p FROM p
                 JOIN (SELECT stage, median(x) AS median FROM x WHERE early GROUP BY stage) b ON b.stage = p.stage
                 JOIN (SELECT stage, median(x) AS median FROM x GROUP BY stage) a ON a.stage = p.stage
                 ORDER BY p.stage"
            ),
            rows(&comparison["times"], &members),
        ));
    }
    figures
}

/// What the change of conversion is made of.
pub fn mix(report: &Value) -> Vec<Figure> {
    let parts = &report["comparison"]["mature"]["decomposition"];
    vec![figure(
        "mix and rate",
        format!(
            "WITH g AS (SELECT attributes['device'] AS value,
                 CAST(count(*) FILTER (WHERE {EARLY} AND completed_in_horizon) AS DOUBLE) AS x1,
                 CAST(count(*) FILTER (WHERE {EARLY}) AS DOUBLE) AS n1,
                 CAST(count(*) FILTER (WHERE completed_in_horizon) AS DOUBLE) AS x2, CAST(count(*) AS DOUBLE) AS n2
               FROM funnel_sessions WHERE is_mature GROUP BY value),
             w AS (SELECT value, x1 / n1 AS r1, x2 / n2 AS r2, n1 / sum(n1) OVER () AS w1, n2 / sum(n2) OVER () AS w2,
               (sum(x1) OVER () / sum(n1) OVER () + sum(x2) OVER () / sum(n2) OVER ()) / 2 AS centre FROM g)
             SELECT value, (w2 - w1) * ((r1 + r2) / 2 - centre), (w1 + w2) / 2 * (r2 - r1)
             FROM w ORDER BY value NULLS LAST"
        ),
        by_value(rows(&parts["groups"], &["value", "mix", "rate"])),
    )]
}

/// Severity and rank of drop-offs, lift of errors, the trend of weekly cohorts.
pub fn judgements(report: &Value) -> Vec<Figure> {
    let drop_off = &report["drop_off"];
    let losses = |which: &str| {
        format!(
            "SELECT stage, l, wilson_lower(l, l + p) AS low, CASE WHEN l + p < 30 THEN NULL
               WHEN wilson_lower(l, l + p) >= 0.5 THEN 'critical' WHEN wilson_lower(l, l + p) >= 0.3 THEN 'high'
               WHEN wilson_lower(l, l + p) >= 0.15 THEN 'medium' ELSE 'low' END AS severity
             FROM (SELECT t.stage, count(s.stage_at[t.stage + 1]) AS p,
                 count(*) FILTER (WHERE s.outcome = 'abandoned' AND s.furthest_stage = t.stage) AS l
               FROM {AT} WHERE t.stage < 5 AND {which} GROUP BY t.stage)"
        )
    };
    let mut figures = Vec::new();
    for (part, top, which) in [("all", "top", "true"), ("mature", "top_mature", "s.is_mature")] {
        let losses = losses(which);
        figures.push(figure(
            "severity",
            format!("SELECT stage, severity FROM ({losses}) ORDER BY stage"),
            rows(&drop_off[part], &["stage", "severity"]),
        ));
        let top = drop_off[top].as_array().expect("stages").iter();
        figures.push(figure(
            "the worst stages",
            format!(
                "SELECT stage FROM ({losses}) WHERE l > 0 ORDER BY low DESC, l DESC, stage LIMIT 5"
            ),
            top.map(|stage| json!([stage])).collect(),
        ));
    }
    let horizon = &report["horizon_seconds"];
    // Student's t as an integral of cosines: no constant of the density is needed.
    figures.push(figure(
        "trend of cohorts",
        format!(
            "WITH {NODES}, weeks AS (
               SELECT CAST(date_trunc('week', started_at) AS DATE) AS monday, CAST(count(*) AS DOUBLE) AS n,
                 CAST(count(*) FILTER (WHERE completed_in_horizon) AS DOUBLE) AS x, max(as_of) AS as_of
               FROM funnel_sessions GROUP BY monday),
             points AS (SELECT CAST(date_part('epoch', monday) AS DOUBLE) / 604800 AS t, n, x / n AS y FROM weeks
               WHERE monday >= DATE '2026-01-01'
                 AND date_part('epoch', monday) + 604800 + {horizon} <= date_part('epoch', as_of)),
             means AS (SELECT t, n, y, t - sum(n * t) OVER () / sum(n) OVER () AS dt,
               y - sum(n * y) OVER () / sum(n) OVER () AS dy FROM points),
             line AS (SELECT sum(n * dt * dy) / sum(n * dt * dt) AS slope, sum(n * dt * dt) AS spread,
               count(*) AS weeks FROM means),
             fit AS (SELECT slope, weeks, weeks - 2 AS df,
                 atan(abs(slope) / sqrt(sum(n * power(dy - slope * dt, 2)) / (weeks - 2) / spread) / sqrt(weeks - 2)) AS angle
               FROM means CROSS JOIN line GROUP BY slope, weeks, spread),
             p AS (SELECT slope, weeks, (pi() / 2 - angle) / (pi() / 2)
                 * sum(w * power(cos(angle + (pi() / 2 - angle) * k / 1000), df - 1))
                 / sum(w * power(cos(pi() / 2 * k / 1000), df - 1)) AS p
               FROM fit CROSS JOIN nodes GROUP BY slope, weeks, angle)
             SELECT slope, p, weeks, CASE WHEN p <= 0.05 AND slope > 0 THEN 'improving'
               WHEN p <= 0.05 AND slope < 0 THEN 'declining' ELSE 'stable' END FROM p"
        ),
        rows(&json!([report["trend"]]), &["slope_per_week", "p", "weeks", "direction"]),
    ));
    figures
}

/// The curves of reaching a stage: medians of Kaplan and Meier's with their limits, and Aalen and
/// Johansen's beside the competing loss.
pub fn curves(report: &Value) -> Vec<Figure> {
    let later = json!(report["stages"].as_array().expect("stages")[1..]);
    let micros =
        |until: &str| format!("CAST({until} AS BIGINT) - CAST(s.stage_at[t.stage - 1] AS BIGINT)");
    let (reached, lost, watched) =
        (micros("s.stage_at[t.stage]"), micros("s.lost_at"), micros("s.as_of"));
    let begun = format!("FROM {AT} WHERE t.stage > 1 AND s.stage_at[t.stage - 1] IS NOT NULL");
    let mut figures = vec![figure(
        "medians of incidence",
        format!(
            "WITH x AS (SELECT t.stage, {reached} AS x, {watched} AS c {begun}),
             u AS (SELECT stage, coalesce(x, c) AS at, CAST(count(x) AS DOUBLE) AS d, count(*) AS n
               FROM x GROUP BY stage, coalesce(x, c)),
             r AS (SELECT stage, at, d, CAST(sum(n) OVER (PARTITION BY stage ORDER BY at DESC) AS DOUBLE) AS n FROM u),
             s AS (SELECT stage, at, sum(ln(1 - d / n)) OVER (PARTITION BY stage ORDER BY at) AS log,
                 sum(d / (n * (n - d))) OVER (PARTITION BY stage ORDER BY at) AS greenwood
               FROM r WHERE d > 0 AND d < n),
             l AS (SELECT stage, CAST(at AS DOUBLE) / 1e6 AS at, exp(log) AS s,
                 exp(log * exp({Z} * sqrt(greenwood) / abs(log))) AS low,
                 exp(log * exp(-{Z} * sqrt(greenwood) / abs(log))) AS high FROM s)
             SELECT stage, min(at) FILTER (WHERE s <= 0.5), min(at) FILTER (WHERE low <= 0.5),
               min(at) FILTER (WHERE high <= 0.5) FROM l GROUP BY stage ORDER BY stage"
        ),
        rows(
            &later,
            &[
                "stage",
                "incidence/median/median_seconds",
                "incidence/median/low_seconds",
                "incidence/median/high_seconds",
            ],
        ),
    )];
    for (place, within) in [300, 3_600, 86_400, 604_800].into_iter().enumerate() {
        let [value, competing] = ["aalen_johansen/value", "competing"]
            .map(|member| format!("incidence/at/{place}/{member}"));
        figures.push(figure(
            "incidence beside loss",
            format!(
                "WITH x AS (SELECT t.stage, {reached} AS x, {lost} AS l, {watched} AS c {begun}),
                 u AS (SELECT stage, coalesce(x, l, c) AS at, CAST(count(x) AS DOUBLE) AS d1,
                     CAST(count(l) FILTER (WHERE x IS NULL) AS DOUBLE) AS d2, count(*) AS m
                   FROM x GROUP BY stage, coalesce(x, l, c)),
                 r AS (SELECT *, CAST(sum(m) OVER (PARTITION BY stage ORDER BY at DESC) AS DOUBLE) AS n FROM u),
                 s AS (SELECT *, exp(coalesce(sum(CASE WHEN d1 + d2 < n THEN ln((n - d1 - d2) / n) END) OVER (
                     PARTITION BY stage ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS before
                   FROM r)
                 SELECT stage, sum(before * d1 / n) FILTER (WHERE at <= {within}000000),
                   sum(before * d2 / n) FILTER (WHERE at <= {within}000000) FROM s GROUP BY stage ORDER BY stage"
            ),
            rows(&later, &["stage", &value, &competing]),
        ));
    }
    figures
}
