-- Duplicates by source
--
-- Resends that were dropped, by where they were read, and how many say something else than what was accepted.
SELECT
  source_partition,
  sum(last_sequence - first_sequence + 1) AS resends,
  sum(CASE WHEN content_differs THEN last_sequence - first_sequence + 1 ELSE 0 END) AS that_differ,
  max(received_at) AS last_at
FROM duplicates
GROUP BY source_partition
ORDER BY resends DESC, source_partition
