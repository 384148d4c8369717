-- Slowest stages
--
-- How long sessions took from the stage before, slowest median first; seconds.
--
-- $funnel text = onboarding -- The funnel.
WITH steps AS (
  SELECT
    t.stage,
    t.stage_name,
    CAST(CAST(s.stage_at[t.stage] AS BIGINT) - CAST(s.stage_at[t.stage - 1] AS BIGINT) AS DOUBLE) / 1e6
      AS seconds
  FROM funnel_stages t
  JOIN funnel_sessions s ON s.funnel = t.funnel
  WHERE t.funnel = CAST($funnel AS TEXT) AND s.funnel = CAST($funnel AS TEXT) AND t.stage > 1
)
SELECT
  stage,
  stage_name,
  count(seconds) AS sessions,
  median(seconds) AS median_seconds,
  percentile_cont(seconds, 0.9) AS p90_seconds,
  max(seconds) AS slowest_seconds
FROM steps
WHERE seconds IS NOT NULL
GROUP BY stage, stage_name
ORDER BY median_seconds DESC
