-- Errors before leaving
--
-- Error codes that lost sessions met at their furthest stage, with the share of that stage's lost sessions.
--
-- $funnel text = onboarding -- The funnel.
WITH lost AS (
  SELECT client_id, session_id, furthest_stage, furthest_stage_name,
    stage_at[furthest_stage] AS reached_at, errors
  FROM funnel_sessions
  WHERE funnel = CAST($funnel AS TEXT) AND outcome = 'abandoned'
), met AS (
  SELECT DISTINCT client_id, session_id, furthest_stage, error['code'] AS code
  FROM (
    SELECT client_id, session_id, furthest_stage, reached_at, unnest(errors) AS error FROM lost
  )
  WHERE error['occurred_at'] >= reached_at
), of_stage AS (
  SELECT furthest_stage, furthest_stage_name, count(*) AS lost FROM lost
  GROUP BY furthest_stage, furthest_stage_name
)
SELECT o.furthest_stage, o.furthest_stage_name, m.code, count(*) AS sessions,
  conversion_rate(count(*), max(o.lost)) AS share_of_lost
FROM met m
JOIN of_stage o ON o.furthest_stage = m.furthest_stage
GROUP BY o.furthest_stage, o.furthest_stage_name, m.code
ORDER BY sessions DESC, o.furthest_stage, m.code
