//! Who is still watched when something happens.

/// How long subjects were watched until that ended, by how it ended: microseconds ≥ 0, each list
/// ascending.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched<'a> {
    /// By the event of interest.
    pub events: &'a [i64],
    /// By an event that makes the one of interest impossible.
    pub competing: &'a [i64],
    /// Neither happened while they were watched.
    pub censored: &'a [i64],
}

/// The most events of a run, but for one instant with more: enough to be passed over together, few
/// enough to be gone through one by one.
const RUN: usize = 1_024;

/// Events of one kind, between which nobody ceased to be watched by anything else; or both kinds at one
/// instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Events of interest, ascending.
    pub events: &'a [i64],
    /// Competing events, ascending.
    pub competing: &'a [i64],
    /// Subjects still watched just before the first of them.
    pub at_risk: u64,
}

/// One instant at which events happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Microseconds since the start of watching.
    pub time: i64,
    /// Subjects still watched just before, those that end at this instant included.
    pub at_risk: u64,
    /// Events of interest.
    pub events: u64,
    /// Competing events.
    pub competing: u64,
}

impl<'a> Watched<'a> {
    /// How many subjects there are.
    pub fn subjects(&self) -> usize {
        self.events.len() + self.competing.len() + self.censored.len()
    }

    /// All events in runs, ascending; none has events both up to one of these times and after it.
    pub fn runs(self, times: &'a [i64]) -> impl Iterator<Item = Run<'a>> {
        let Watched { mut events, mut competing, mut censored } = self;
        std::iter::from_fn(move || {
            let [event, other] = [events, competing].map(|list| list.first().copied());
            let first = [event, other].into_iter().flatten().min()?;
            skip(&mut censored, |at| at < first);
            let at_risk = (events.len() + competing.len() + censored.len()) as u64;
            let next = times.iter().copied().find(|&time| time >= first).unwrap_or(i64::MAX);
            let last = censored.first().map_or(next, |&at| at.min(next));
            let (some, more) = match (event, other) {
                (Some(event), Some(other)) if event == other => {
                    (ties(events, first), ties(competing, first))
                }
                (Some(event), other) if other.is_none_or(|other| event < other) => {
                    (run(events, |at| at <= last && other.is_none_or(|other| at < other)), 0)
                }
                _ => (0, run(competing, |at| at <= last && event.is_none_or(|event| at < event))),
            };
            let run = Run { events: &events[..some], competing: &competing[..more], at_risk };
            (events, competing) = (&events[some..], &competing[more..]);
            Some(run)
        })
    }

    /// Every instant with events of either kind, ascending.
    pub fn groups(self) -> impl Iterator<Item = Group> + use<'a> {
        let Watched { mut events, mut competing, mut censored } = self;
        std::iter::from_fn(move || {
            let time = match (events.first(), competing.first()) {
                (Some(&event), Some(&other)) => event.min(other),
                (Some(&time), None) | (None, Some(&time)) => time,
                (None, None) => return None,
            };
            skip(&mut censored, |at| at < time);
            let at_risk = (events.len() + competing.len() + censored.len()) as u64;
            let events = skip(&mut events, |at| at == time);
            let competing = skip(&mut competing, |at| at == time);
            Some(Group { time, at_risk, events, competing })
        })
    }
}

impl Run<'_> {
    /// Its instants.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        let Run { events, competing, at_risk } = *self;
        // Nobody else leaves before its end: the others may count as watched for ever.
        let mut watched = at_risk;
        let all = Watched { events, competing, censored: &[] };
        all.groups().map(move |group| {
            let group = Group { at_risk: watched, ..group };
            watched -= group.events + group.competing;
            group
        })
    }

    /// The instant of its last event.
    pub fn last(&self) -> Option<i64> {
        self.events.last().max(self.competing.last()).copied()
    }
}

/// How many of a list, of which some at the front fit, belong to one run: instants as a whole.
fn run(list: &[i64], fits: impl Fn(i64) -> bool) -> usize {
    let some = &list[..list.len().min(RUN)];
    let count = some.partition_point(|&at| fits(at));
    match list.get(count) {
        Some(&next) if fits(next) => match some.partition_point(|&at| at < next) {
            0 => ties(list, next),
            whole => whole,
        },
        _ => count,
    }
}

/// How many at the front of a list are of this instant.
fn ties(list: &[i64], instant: i64) -> usize {
    list.partition_point(|&at| at <= instant)
}

/// Takes what fits from the front of a list; how many that is.
fn skip(list: &mut &[i64], fits: impl Fn(i64) -> bool) -> u64 {
    let count = list.iter().take_while(|&&at| fits(at)).count();
    *list = &list[count..];
    count as u64
}
