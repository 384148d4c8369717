-- Time to convert
--
-- How long completed sessions took from the first stage to the last, by week of their start (Monday, UTC);
-- seconds. Sessions still under way are not in it.
--
-- $funnel text = onboarding -- The funnel.
SELECT
  CAST(date_trunc('week', started_at) AS DATE) AS week,
  count(*) AS completed,
  percentile_cont(seconds_to_complete, 0.25) AS p25_seconds,
  median(seconds_to_complete) AS median_seconds,
  percentile_cont(seconds_to_complete, 0.75) AS p75_seconds,
  percentile_cont(seconds_to_complete, 0.9) AS p90_seconds
FROM funnel_sessions
WHERE funnel = CAST($funnel AS TEXT) AND outcome = 'completed'
GROUP BY week
ORDER BY week
