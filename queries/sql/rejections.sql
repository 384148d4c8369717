-- Rejections
--
-- Records that were refused, by cause and client, with the first and the last of them.
--
-- $days integer = 30 -- Only those of the last so many days before the newest.
SELECT kind, code, client_id, count(*) AS records, min(received_at) AS first_at,
  max(received_at) AS last_at, min(message) AS example
FROM dead_letters
WHERE CAST(dead_letter_date AS INT)
  > (SELECT max(CAST(dead_letter_date AS INT)) FROM dead_letters) - CAST($days AS INT)
GROUP BY kind, code, client_id
ORDER BY records DESC, kind, code, client_id
