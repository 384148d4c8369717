-- Events by day
--
-- How many events of each type happened on each day (UTC), in how many sessions.
--
-- $from day = NULL -- The first day; NULL: the first there is.
-- $to day = NULL -- The day after the last; NULL: all.
-- $client_id text = NULL -- One client; NULL: all.
SELECT event_date AS day, event_type, count(*) AS events, count(DISTINCT session_key) AS sessions
FROM events
WHERE (CAST($from AS DATE) IS NULL OR event_date >= CAST($from AS DATE))
  AND (CAST($to AS DATE) IS NULL OR event_date < CAST($to AS DATE))
  AND (CAST($client_id AS TEXT) IS NULL OR client_id = CAST($client_id AS TEXT))
GROUP BY event_date, event_type
ORDER BY day, events DESC, event_type
