-- Late events
--
-- Events that came in long after they happened, by source and type; seconds.
--
-- $minutes integer = 60 -- Later than so many minutes.
SELECT source, event_type, count(*) AS events,
  max(CAST(received_at AS BIGINT) - CAST(occurred_at AS BIGINT)) / 1000000 AS latest_seconds,
  max(received_at) AS last_at
FROM events
WHERE CAST(received_at AS BIGINT) - CAST(occurred_at AS BIGINT) > CAST($minutes AS BIGINT) * 60000000
GROUP BY source, event_type
ORDER BY events DESC, source, event_type
