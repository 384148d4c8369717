-- Conversion by client
--
-- Each client's sessions and the share of them that completed within the funnel's horizon, on mature
-- sessions alone: everyone was watched equally long.
--
-- $funnel text = onboarding -- The funnel.
-- $least_sessions integer = 1 -- Leave out clients with fewer mature sessions.
SELECT
  client_id,
  count(*) AS mature_sessions,
  count(*) FILTER (WHERE completed_in_horizon) AS completed,
  conversion_rate(count(*) FILTER (WHERE completed_in_horizon), count(*)) AS conversion,
  wilson_lower(count(*) FILTER (WHERE completed_in_horizon), count(*)) AS conversion_low,
  wilson_upper(count(*) FILTER (WHERE completed_in_horizon), count(*)) AS conversion_high
FROM funnel_sessions
WHERE funnel = CAST($funnel AS TEXT) AND is_mature
GROUP BY client_id
HAVING count(*) >= CAST($least_sessions AS BIGINT)
ORDER BY conversion DESC, client_id
