-- Busiest sessions
--
-- Sessions with the most events: robots, loops, and very patient people.
--
-- $limit integer = 20 -- At most so many.
SELECT client_id, session_id, count(*) AS events, count(DISTINCT event_type) AS event_types,
  min(occurred_at) AS first_at, max(occurred_at) AS last_at
FROM events
GROUP BY client_id, session_id
ORDER BY events DESC, client_id, session_id
LIMIT $limit
