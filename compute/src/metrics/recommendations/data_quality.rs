//! What makes the other figures doubtful: sessions without a start, ids that are used twice.

use statrs::distribution::{Binomial, DiscreteCDF};

use super::evidence::{Evidence, share};
use super::sql::instant;
use super::{Candidate, Draft, Frame, Gain, Kind, Side};
use crate::statistics::proportion::Proportion;

/// Two hypotheses: as many sessions lack a first stage as in the period before, and no more events
/// than are tolerated repeat an id with other content.
pub(super) fn candidates<'a>(frame: &'a Frame<'a>) -> Vec<Candidate<'a>> {
    orphans(frame).into_iter().chain(conflicts(frame)).collect()
}

fn orphans<'a>(frame: &'a Frame<'a>) -> Option<Candidate<'a>> {
    let of = |side: &Side| Proportion::new(side.orphans, side.orphans + side.counts.sessions);
    let rates = frame.sides().map(of);
    // Fewer are better here, so that the greater share stands where a reference does.
    let difference = frame.tested(rates[0], rates[1])?;
    Some(Candidate::of(difference, move || {
        let one = |(side, rate): (&Side, Proportion)| {
            Evidence::rate(side.name, rate, orphan_statement(frame, side))
        };
        let evidence = frame.sides().into_iter().zip(rates).map(one).collect();
        Draft {
            title: format!("More sessions lack the stage {}", frame.name(0)),
            description: format!(
                "{} sessions have no event of the first stage and are in no figure of the funnel; \
                 in the equally long period before it was {}.",
                share(rates[0]),
                share(rates[1])
            ),
            evidence,
            suggested_actions: &[
                "Check that every app sends the event that opens a session, and under the same \
                 session id as the others.",
                "Look for records of that event among the dead letters.",
            ],
            kind: Kind::DataQuality,
            stage: None,
            gain: Gain::Trust(rates[0]),
        }
    }))
}

fn orphan_statement(frame: &Frame, side: &Side) -> String {
    format!(
        "{}, orphans AS (\n  SELECT * FROM sessions\n  WHERE {}\n    \
         AND first_event_at >= {} AND first_event_at < {}\n    \
         AND (started_at IS NULL OR started_at > {})\n)\n\
         SELECT (SELECT count(*) FROM orphans) AS reached,\n       \
         (SELECT count(*) FROM orphans) + (SELECT count(*) FROM watched) AS total",
        frame.watched_sql(side, None),
        frame.funnel_sql(),
        instant(side.from),
        instant(side.to),
        instant(frame.request.as_of),
    )
}

/// Events of the whole lake that repeat the identity of another but say something else.
fn conflicts<'a>(frame: &'a Frame<'a>) -> Option<Candidate<'a>> {
    let found = Proportion::new(frame.input.conflicting_duplicates, frame.input.events);
    let tolerated = frame.request.thresholds.conflicts_tolerated;
    let expected = Binomial::new(tolerated, found.total).ok().filter(|_| found.total > 0)?;
    let at_least = found.reached.checked_sub(1).map_or(1.0, |below| expected.sf(below));
    let write = move || Draft {
        title: "Events repeat the id of another but say something else".to_owned(),
        description: format!(
            "{} events read into the lake have the client, source and id of another, and other \
             content; only one of each is counted. Up to {:.2} % is tolerated.",
            share(found),
            100.0 * tolerated
        ),
        evidence: vec![Evidence::rate("all events", found, CONFLICTS.to_owned())],
        suggested_actions: &[
            "Give every event an id of its own; a resend must repeat the event unchanged.",
            "The table duplicates says from which source they came.",
        ],
        kind: Kind::DataQuality,
        stage: None,
        gain: Gain::Trust(found),
    };
    Some(Candidate {
        test: "exact binomial test, one-sided",
        p: at_least,
        write: (found.rate()? > tolerated).then(|| Box::new(write) as _),
    })
}

const CONFLICTS: &str = "WITH dropped AS (
  SELECT last_sequence - first_sequence + 1 AS events, content_differs FROM duplicates
)
SELECT (SELECT coalesce(sum(events), 0) FROM dropped WHERE content_differs) AS reached,
       (SELECT count(*) FROM events) + (SELECT coalesce(sum(events), 0) FROM dropped) AS total";
