-- Returning people
--
-- Weekly retention: of the people first seen in a week (Monday, UTC), how many were seen again so many weeks
-- later. Events without a user id do not count.
--
-- $weeks integer = 8 -- Up to so many weeks later.
WITH seen AS (
  SELECT DISTINCT client_id, user_id, date_trunc('week', occurred_at) AS week
  FROM events
  WHERE user_id IS NOT NULL
), firsts AS (
  SELECT client_id, user_id, min(week) AS first_week FROM seen GROUP BY client_id, user_id
), later AS (
  SELECT f.first_week, (CAST(s.week AS BIGINT) - CAST(f.first_week AS BIGINT)) / 604800000000 AS week
  FROM firsts f
  JOIN seen s ON s.client_id = f.client_id AND s.user_id = f.user_id
)
SELECT CAST(first_week AS DATE) AS first_week, week AS weeks_later, count(*) AS people,
  conversion_rate(
    count(*), first_value(count(*)) OVER (PARTITION BY first_week ORDER BY week)
  ) AS share
FROM later
WHERE week <= CAST($weeks AS BIGINT)
GROUP BY first_week, week
ORDER BY first_week, weeks_later
