-- The report's numbers once more, by DuckDB and from the CSV alone: run it in the folder that
-- holds permit-intake.csv.
WITH events AS (
    SELECT "case:concept:name" AS permit, "concept:name" AS what,
           epoch_us("time:timestamp"::TIMESTAMPTZ) AS moment
    FROM read_csv('permit-intake.csv', all_varchar = true)
),
newest AS (SELECT max(moment) AS as_of FROM events),
-- Each stage is the earliest event of its name that is not before the stage ahead of it.
s1 AS (SELECT permit, min(moment) AS t1 FROM events WHERE what = 'Confirmation of receipt' GROUP BY permit),
s2 AS (SELECT permit, min(moment) AS t2 FROM events JOIN s1 USING (permit)
       WHERE what = 'T02 Check confirmation of receipt' AND moment >= t1 GROUP BY permit),
s3 AS (SELECT permit, min(moment) AS t3 FROM events JOIN s2 USING (permit)
       WHERE what = 'T04 Determine confirmation of receipt' AND moment >= t2 GROUP BY permit),
s4 AS (SELECT permit, min(moment) AS t4 FROM events JOIN s3 USING (permit)
       WHERE what = 'T05 Print and send confirmation of receipt' AND moment >= t3 GROUP BY permit),
s5 AS (SELECT permit, min(moment) AS t5 FROM events JOIN s4 USING (permit)
       WHERE what = 'T10 Determine necessity to stop indication' AND moment >= t4 GROUP BY permit),
cases AS (
    SELECT *, CASE WHEN t5 IS NOT NULL THEN 5 WHEN t4 IS NOT NULL THEN 4 WHEN t3 IS NOT NULL THEN 3
                   WHEN t2 IS NOT NULL THEN 2 ELSE 1 END AS furthest,
           t5 IS NULL AND last_at + 90 * 86400000000 <= as_of AS lost
    FROM s1 LEFT JOIN s2 USING (permit) LEFT JOIN s3 USING (permit) LEFT JOIN s4 USING (permit)
    LEFT JOIN s5 USING (permit)
    JOIN (SELECT permit, max(moment) AS last_at FROM events GROUP BY permit) USING (permit)
    CROSS JOIN newest
),
-- Mature: watched for the horizon of 90 days, and only what happened within it.
mature AS (SELECT * FROM cases WHERE t1 <= as_of - 90 * 86400000000)
SELECT stage,
       count(*) FILTER (furthest >= stage) AS sessions,
       round(median((CASE stage WHEN 2 THEN t2 - t1 WHEN 3 THEN t3 - t2 WHEN 4 THEN t4 - t3
                                WHEN 5 THEN t5 - t4 END) / 1e6), 4) AS median_step_seconds,
       count(*) FILTER (lost AND furthest = stage) AS lost,
       (SELECT count(*) FROM mature WHERE [t1, t2, t3, t4, t5][stage] - t1 <= 90 * 86400000000)
           AS mature_sessions
FROM cases CROSS JOIN unnest([1, 2, 3, 4, 5]) AS stages(stage)
GROUP BY stage ORDER BY stage;
