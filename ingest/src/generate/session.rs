//! The story of one session: who came, how far they got, and when.
//!
//! All probabilities are in 1/10,000, all durations in milliseconds.

use super::random::{Quantiles, Random};

/// Who a session belongs to and what its opening event says about it; numbers index the name lists
/// of `render`.
#[derive(Clone, Copy)]
pub struct Visit {
    pub id: u128,
    pub client: u8,
    pub user: u32,
    pub language: u8,
    pub returning: bool,
    pub conversation_type: u8,
    pub channel: u8,
    pub device: u8,
    pub referrer: Option<u8>,
    /// Whether the app passes a correlation id on.
    pub correlated: bool,
    /// Whether the app still speaks version 0 of `input.submitted`.
    pub old_app: bool,
}

/// One thing that happened in a session.
#[derive(Clone, Copy)]
pub struct Happening {
    pub occurred_us: i64,
    pub id: u128,
    pub cause: Option<u128>,
    pub what: What,
}

/// What happened, with the figures that the event carries.
#[derive(Clone, Copy)]
pub enum What {
    Started,
    Input { step: u8, meaningful: Option<bool>, characters: u32, latency_ms: u32 },
    Recommended { count: u8, model: u8, confidence: u16, latency_ms: u32 },
    Validated { consensus: u16, verdict: u8 },
    ApprovalRequested { role: u8 },
    Decided { decision: u8, tenths_reviewing: u32 },
    Applied { applied: u8, failed: u8 },
    Completed { failed: bool },
    Abandoned { reason: u8 },
    Resumed { checkpoint: u128 },
    Checkpoint { checkpoint: u128, step: u8 },
    Failed { error: u8, stage: u8 },
}

/// The last error of the list in `render`: what breaks in the last week.
pub const REGRESSION: u8 = 4;
const BACKGROUND_ERRORS: [u32; REGRESSION as usize] = [40, 25, 20, 15];

pub const MOBILE: u8 = 1;
pub const TABLET: u8 = 2;
const PARTNER: u8 = 2;
/// Languages from this one on get recommendations less often.
const POORLY_SERVED_FROM: u8 = 5;

const READING: Quantiles = [800, 4_000, 9_000, 21_000, 48_000, 110_000, 600_000, 2_400_000];
const TYPING: Quantiles = [1_500, 6_000, 12_000, 28_000, 62_000, 130_000, 420_000, 1_200_000];
const THINKING: Quantiles = [300, 900, 1_300, 2_100, 3_800, 6_500, 21_000, 90_000];
const REVIEWING: Quantiles =
    [4_000, 25_000, 70_000, 240_000, 900_000, 5_400_000, 43_000_000, 150_000_000];
const APPLYING: Quantiles = [200, 600, 1_000, 1_900, 4_200, 9_000, 40_000, 180_000];
const GIVING_UP: Quantiles =
    [2_000, 15_000, 40_000, 110_000, 300_000, 900_000, 7_200_000, 28_000_000];
const AWAY: Quantiles =
    [900_000, 2_400_000, 5_400_000, 14_000_000, 32_000_000, 61_000_000, 79_000_000, 170_000_000];

/// Draws who comes at `started_us`.
pub fn visit(random: &mut Random, client: u8) -> Visit {
    let returning = random.chance(3_800);
    let channel = random.pick(&[58, 27, 15]);
    let device = random.pick(if channel == 1 { &[0, 82, 18] } else { &[66, 25, 9] });
    Visit {
        id: random.id(),
        client,
        // The squared share makes some people come back often.
        user: (random.below(60_000) * random.below(60_000) / 60_000) as u32,
        language: random.pick(&[44, 15, 12, 12, 4, 8, 5]),
        returning,
        conversation_type: random.pick(&[70, 22, 8]),
        channel,
        device,
        referrer: random.chance(7_000).then(|| random.pick(&[40, 25, 20, 15])),
        correlated: random.chance(7_000),
        old_app: client == 2 && channel == PARTNER,
    }
}

/// Tells a session that starts at `started_us`; stages after `regression_us` suffer the regression.
pub fn tell(random: &mut Random, visit: &Visit, started_us: i64, regression_us: i64) -> Story {
    let mut story = Story { now_us: started_us, last: None, happenings: Vec::with_capacity(12) };
    story.add(random, What::Started);
    let small = visit.device == MOBILE;
    let engages = 8_100 + 700 * i64::from(visit.returning) - 500 * i64::from(small);
    if !story.goes_on(random, engages, 0) {
        return story;
    }
    story.inputs(random);
    let served = 8_700 - 1_300 * i64::from(visit.language >= POORLY_SERVED_FROM);
    if !story.goes_on(random, served, 1) {
        return story;
    }
    story.recommendations(random);
    if random.chance(500) {
        story.comes_back_later(random);
    }
    if !story.approval(random, visit, regression_us) {
        return story;
    }
    if story.goes_on(random, 8_900, 3) {
        story.completion(random);
    }
    story
}

/// A session in the making.
pub struct Story {
    now_us: i64,
    last: Option<u128>,
    /// What happened, in order.
    pub happenings: Vec<Happening>,
}

impl Story {
    fn wait(&mut self, random: &mut Random, quantiles: &Quantiles) {
        self.now_us += random.draw(quantiles) as i64 * 1_000 + random.below(1_000) as i64;
    }

    fn add(&mut self, random: &mut Random, what: What) {
        let id = random.id();
        let caused = matches!(
            what,
            What::Recommended { .. } | What::Validated { .. } | What::Applied { .. }
        );
        let cause = if caused { self.last } else { None };
        self.happenings.push(Happening { occurred_us: self.now_us, id, cause, what });
        self.last = Some(id);
    }

    /// Whether the next stage comes; if not, how this one ends. Something may break on the way.
    fn goes_on(&mut self, random: &mut Random, per_10_000: i64, stage: u8) -> bool {
        let broken = random.chance(350);
        if broken {
            self.wait(random, &THINKING);
            let error = random.pick(&BACKGROUND_ERRORS);
            self.add(random, What::Failed { error, stage });
        }
        let goes_on = random.chance(per_10_000 - 3_000 * i64::from(broken));
        if !goes_on && random.chance(3_000) {
            self.wait(random, &GIVING_UP);
            let reason =
                if broken && random.chance(5_000) { 3 } else { random.pick(&[40, 30, 30]) };
            self.add(random, What::Abandoned { reason });
        }
        goes_on
    }

    fn inputs(&mut self, random: &mut Random) {
        let count = 1 + random.pick(&[52, 28, 14, 6]);
        for step in 0..count {
            self.wait(random, if step == 0 { &READING } else { &TYPING });
            let idle = step + 1 < count && random.chance(1_200);
            let meaningful = if random.chance(900) && !idle { None } else { Some(!idle) };
            let characters =
                if idle { random.below(4) } else { 5 + random.below(60) * random.below(12) };
            let what = What::Input {
                step,
                meaningful,
                characters: characters as u32,
                latency_ms: 20 + random.below(400) as u32,
            };
            self.add(random, what);
            if random.chance(2_200) {
                self.checkpoint(random, step);
            }
        }
    }

    fn checkpoint(&mut self, random: &mut Random, step: u8) -> u128 {
        let checkpoint = random.id();
        self.now_us += 1_000 * (50 + random.below(500) as i64);
        self.add(random, What::Checkpoint { checkpoint, step });
        checkpoint
    }

    fn recommendations(&mut self, random: &mut Random) {
        let begun = self.now_us;
        self.wait(random, &THINKING);
        let what = What::Recommended {
            count: 1 + random.below(9) as u8,
            model: random.pick(&[70, 30]),
            confidence: 4_500 + random.below(5_400) as u16,
            latency_ms: ((self.now_us - begun) / 1_000) as u32,
        };
        self.add(random, what);
        if random.chance(9_500) {
            self.now_us += 1_000 * (300 + random.below(4_000) as i64);
            let consensus = 5_000 + random.below(5_000) as u16;
            let verdict = random.pick(&[82, 14, 4]);
            self.add(random, What::Validated { consensus, verdict });
        }
    }

    fn comes_back_later(&mut self, random: &mut Random) {
        let checkpoint = self.checkpoint(random, 9);
        self.wait(random, &AWAY);
        self.add(random, What::Resumed { checkpoint });
    }

    fn approval(&mut self, random: &mut Random, visit: &Visit, regression_us: i64) -> bool {
        if random.chance(6_500) {
            self.now_us += 1_000 * (100 + random.below(2_000) as i64);
            let role = random.pick(&[60, 25, 15]);
            self.add(random, What::ApprovalRequested { role });
        }
        let broken = visit.device == MOBILE && self.now_us >= regression_us && random.chance(5_500);
        if broken {
            self.wait(random, &THINKING);
            self.add(random, What::Failed { error: REGRESSION, stage: 2 });
        }
        let approves =
            7_900 + 600 * i64::from(visit.returning) + 400 * i64::from(visit.channel == PARTNER)
                - 500 * i64::from(visit.client == 1)
                - 6_500 * i64::from(broken);
        if !self.goes_on(random, approves, 2) {
            return false;
        }
        let begun = self.now_us;
        self.wait(random, &REVIEWING);
        let what = What::Decided {
            decision: random.pick(&[78, 7, 12, 3]),
            tenths_reviewing: ((self.now_us - begun) / 100_000) as u32,
        };
        self.add(random, what);
        true
    }

    fn completion(&mut self, random: &mut Random) {
        if random.chance(9_400) {
            self.wait(random, &APPLYING);
            let failed = u8::from(random.chance(600));
            let applied = 1 + random.below(8) as u8;
            self.add(random, What::Applied { applied, failed });
        }
        self.wait(random, &APPLYING);
        let failed = random.chance(200);
        self.add(random, What::Completed { failed });
    }
}
