//! What is read from columns is what the fold of a session's events gives.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::fold::properties::{any_events, any_funnel, ordered};
use crate::fold::{Session, Summary, fold};
use crate::sessions::encode::encode;
use crate::sessions::row::{Attributes, Row};

const SECOND: i64 = 1_000_000;

proptest! {
    #[test]
    fn columns_tell_what_the_fold_does(
        sessions in prop::collection::vec(any_events(), 1..6),
        funnel in any_funnel(),
        later in 0_i64..20,
        (from, to) in (0_i64..6, 6_i64..14),
    ) {
        let engine = Engine::new(&crate::engine::Options::default()).unwrap();
        let definition = Definition::compile(&engine.scratch(), &funnel).unwrap();
        let rules = (*definition.rules).clone();
        let digests: Vec<_> = sessions.iter().map(|events| ordered(events)).collect();
        let last = digests.iter().flatten().map(|digest| digest.occurred_at).max().unwrap();
        let scope = Scope { as_of: last + later * SECOND, period: (from * SECOND, to * SECOND), rules };
        let row = |digests: &Vec<crate::fold::Digest>| Row {
            client_id: "acme".into(),
            session_id: "s".into(),
            session_key: 1,
            summary: Summary::of(digests, &scope.rules).unwrap().0,
            events: digests.len() as i64,
            last_seen_at: last,
            attributes: Attributes::from([("v".to_owned(), digests.len().to_string())]),
            digests: Some(digests.clone()),
            truncated: false,
        };
        let rows: Vec<Row> = digests.iter().map(row).collect();
        let folded = |digests: &Vec<crate::fold::Digest>| Session {
            client_id: "acme".into(),
            session_id: "s".into(),
            attributes: [Some("acme".into()), Some(digests.len().to_string().into())].into(),
            folded: fold(digests, &scope.rules, scope.as_of).unwrap(),
        };
        let folded: Vec<Session> = digests.iter().map(folded).collect();
        let names = vec!["client_id".to_owned(), "v".to_owned()];
        let wanted = Arc::new(Wanted {
            names: names.clone(),
            errors: true,
            listed: Listed::default(),
        });
        let scope = Arc::new(scope);
        let batch = encode(&definition, &rows).unwrap();
        prop_assert_eq!(&Columns(&batch).rows().unwrap(), &rows);
        let mut collected = Collected::new(&scope, &wanted, 0);
        // In two parts, as two threads read them.
        let half = batch.num_rows() / 2;
        let mut other = Collected::new(&scope, &wanted, 0);
        collected.add_rows(&batch.slice(0, half)).unwrap();
        other.add_rows(&batch.slice(half, batch.num_rows() - half)).unwrap();
        collected.append(other);
        prop_assert_eq!(&collected.population, &Population::of(&folded, &names, &scope));
        let (mut counted, mut by_session) =
            (Counted::new(&scope, &wanted, 0), Counted::new(&scope, &wanted, 0));
        counted.add_rows(&batch).unwrap();
        folded.iter().for_each(|session| by_session.add_session(session));
        prop_assert_eq!((&counted.raw, &counted.mature), (&by_session.raw, &by_session.mature));
        let counts = collected.population.counts();
        prop_assert_eq!((&counted.raw, &counted.mature), (&counts.0, &counts.1));
    }
}
