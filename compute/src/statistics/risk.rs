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

/// Takes what fits from the front of a list; how many that is.
fn skip(list: &mut &[i64], fits: impl Fn(i64) -> bool) -> u64 {
    let count = list.iter().take_while(|&&at| fits(at)).count();
    *list = &list[count..];
    count as u64
}
