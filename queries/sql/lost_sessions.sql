-- Sessions lost at a stage
--
-- The sessions behind a drop-off, the last to start first: how long they stayed, why and how they were lost.
--
-- $stage integer -- Number of the last stage that they reached.
-- $funnel text = onboarding -- The funnel.
-- $limit integer = 100 -- At most so many.
SELECT client_id, session_id, started_at, dwell_seconds, lost_at, lost_how, loss_reason, events
FROM funnel_sessions
WHERE funnel = CAST($funnel AS TEXT) AND outcome = 'abandoned'
  AND furthest_stage = CAST($stage AS INT)
ORDER BY started_at DESC, client_id, session_id
LIMIT $limit
