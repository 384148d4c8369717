-- Why sessions are lost
--
-- Reasons of lost sessions by the stage that they were lost at, most frequent first.
--
-- $funnel text = onboarding -- The funnel.
SELECT furthest_stage, furthest_stage_name, loss_reason, lost_how, count(*) AS sessions
FROM funnel_sessions
WHERE funnel = CAST($funnel AS TEXT) AND outcome = 'abandoned'
GROUP BY furthest_stage, furthest_stage_name, loss_reason, lost_how
ORDER BY sessions DESC, furthest_stage, loss_reason, lost_how
