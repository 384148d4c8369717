-- Funnel by day
--
-- How many sessions started on each day, what became of them, and how many reached the last stage. Days
-- that are not mature may still improve: judge on those that are.
--
-- $funnel text = onboarding -- The funnel.
-- $from day = NULL -- The first day; NULL: the first there is.
-- $to day = NULL -- The day after the last; NULL: all.
-- $client_id text = NULL -- One client; NULL: all.
SELECT
  day,
  sum(sessions) AS sessions,
  sum(completed) AS completed,
  sum(abandoned) AS abandoned,
  sum(in_flight) AS in_flight,
  conversion_rate(sum(completed), sum(sessions)) AS conversion,
  bool_and(is_complete) AS is_complete,
  bool_and(is_mature) AS is_mature
FROM funnel_daily
WHERE funnel = CAST($funnel AS TEXT)
  AND (CAST($from AS DATE) IS NULL OR day >= CAST($from AS DATE))
  AND (CAST($to AS DATE) IS NULL OR day < CAST($to AS DATE))
  AND (CAST($client_id AS TEXT) IS NULL OR client_id = CAST($client_id AS TEXT))
GROUP BY day
ORDER BY day
