-- The funnel's stages
--
-- How many sessions reached each stage, from the first and from the stage before, with the 95 % Wilson
-- interval of the share from the first.
--
-- $funnel text = onboarding -- The funnel.
-- $from day = NULL -- Sessions that started on this day or later; NULL: all.
-- $to day = NULL -- Sessions that started before this day; NULL: all.
WITH counted AS (
  SELECT t.stage, t.stage_name, count(s.stage_at[t.stage]) AS sessions, count(*) AS started
  FROM funnel_stages t
  JOIN funnel_sessions s ON s.funnel = t.funnel
  WHERE t.funnel = CAST($funnel AS TEXT) AND s.funnel = CAST($funnel AS TEXT)
    AND (CAST($from AS DATE) IS NULL OR s.started_date >= CAST($from AS DATE))
    AND (CAST($to AS DATE) IS NULL OR s.started_date < CAST($to AS DATE))
  GROUP BY t.stage, t.stage_name
)
SELECT
  stage,
  stage_name,
  sessions,
  conversion_rate(sessions, started) AS from_start,
  wilson_lower(sessions, started) AS from_start_low,
  wilson_upper(sessions, started) AS from_start_high,
  conversion_rate(sessions, lag(sessions) OVER (ORDER BY stage)) AS from_stage_before
FROM counted
ORDER BY stage
