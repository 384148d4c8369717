-- Conversion by segment
--
-- The share of sessions that completed for each value of an attribute of the opening event, raw and on
-- mature sessions.
--
-- $segment text = device -- The attribute.
-- $funnel text = onboarding -- The funnel.
SELECT
  map_extract(attributes, CAST($segment AS TEXT))[1] AS value,
  count(*) AS sessions,
  count(*) FILTER (WHERE outcome = 'completed') AS completed,
  conversion_rate(count(*) FILTER (WHERE outcome = 'completed'), count(*)) AS conversion,
  count(*) FILTER (WHERE is_mature) AS mature_sessions,
  conversion_rate(
    count(*) FILTER (WHERE is_mature AND completed_in_horizon), count(*) FILTER (WHERE is_mature)
  ) AS mature_conversion
FROM funnel_sessions
WHERE funnel = CAST($funnel AS TEXT)
GROUP BY value
ORDER BY sessions DESC, value
