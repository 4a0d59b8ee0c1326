//! The whole NIC under random traffic, features, queues, buffers, back-pressure and resets, against the
//! behavioural model: nothing is lost, duplicated or altered that the counters do not explain.
//!
//! A run is a row of sessions: a card of its own each, with a seed of its own, the first one's that of the
//! run. In a session a card lives a few lives, each from a bring-up to a reset. Every frame is given to
//! the model first, which says what must come of it ([`shadow`]); the card's counters must grow as the
//! model's, and each frame that does not come must be in one of the counters of drops ([`score`]).

pub(super) mod ctrl;
mod end;
mod feed;
mod plan;
mod queues;
mod score;
mod shadow;
mod stimulus;
mod take;

use super::{
    host::{Fail, Host, feature},
    mismatch, power_on,
};
use crate::{
    coverage::Coverage,
    testbench::{Error, Options, Report},
};
use hwmodel::{
    CYCLE_PS, Device, Ps,
    model::{Stat, feature as net},
};
use plan::{Plan, Reset};
use queues::Queues;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use score::{Counts, Score};
use shadow::Shadow;

/// Nothing at all happened for so long: something is lost.
const DEADLINE: Ps = 2_000_000_000;
/// Frames of effort 1, both directions together.
const FRAMES: u64 = 20_000;
/// Frames of a life, at the most.
const LIFE: usize = 400;

/// Runs sessions until enough frames were checked.
pub fn run(options: &Options) -> Result<(Report, Coverage), Error> {
    let mut report = Report::default();
    let mut coverage = Coverage::default();
    let wanted = FRAMES * u64::from(options.effort);
    let mut session = 0;
    let mut past = Past::default();
    while report.count("frames received") + report.count("frames transmitted") < wanted {
        let seed = options.seed.wrapping_add(session);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let card = plan::card(&mut rng, seed);
        let mut host = power_on(options, session as usize, card)?;
        past.reset = 0;
        let lives = rng.random_range(1..5);
        for life in 0..lives {
            let mut text = String::new();
            let result = one_life(
                (&mut host, &mut rng),
                (&mut report, &mut coverage),
                (&mut past, life + 1 == lives),
                &mut text,
            );
            result.map_err(|fail| {
                let context = format!("life {life} ({text}, {:?})", host.nic.config().axi);
                mismatch(seed, host.nic.now(), &context, &fail)
            })?;
        }
        report.add("sessions", 1);
        report.cycles += host.nic.counters().cycles;
        session += 1;
        if options.effort > 1 && session % 200 == 0 {
            println!("  up to seed {seed}: {report}");
        }
    }
    for (bits, name) in [
        (net::HOST_TSO4, "tso4"),
        (net::HOST_TSO6, "tso6"),
        (net::HOST_USO, "uso"),
        (net::HASH_REPORT, "hash"),
        (net::GUEST_TSO4 | net::GUEST_TSO6, "coalesced"),
    ] {
        if past.offered & bits == 0 {
            coverage.absent("offload", name);
        }
    }
    Ok((report, coverage))
}

/// What lives leave to those behind them.
#[derive(Debug, Default)]
struct Past {
    /// Value of the coverage's dimension "reset": what the life before ended with.
    reset: u8,
    /// Features that some card offered.
    offered: u64,
}

/// From a bring-up to a reset, or to the end when it is the `last`.
fn one_life(
    (host, rng): (&mut Host, &mut ChaCha8Rng),
    (report, coverage): (&mut Report, &mut Coverage),
    (past, last): (&mut Past, bool),
    text: &mut String,
) -> Result<(), Fail> {
    let offered = host.offered()?;
    past.offered |= offered;
    let plan = Plan::new(rng, host.nic.config(), offered);
    *text = format!("{plan:x?}");
    let mut life = Life::start((host, rng), (report, coverage), plan, past.reset)?;
    let resets = if life.plan.has(feature::RING_RESET) && life.rng.random_bool(0.4) {
        life.rng.random_range(1..3)
    } else {
        0
    };
    for _ in 0..resets {
        life.pause()?;
        let queue = life.rng.random_range(0..life.queues.all.len());
        life.reset_queue(queue)?;
        past.reset = Reset::Queue(queue).value();
    }
    for _ in 0..life.rng.random_range(0..3) {
        life.run(Ps::MAX)?;
        life.quiet_command()?;
        life.load(LIFE / 4);
    }
    if last || life.rng.random_bool(0.3) {
        life.run(Ps::MAX)?;
        return life.settle();
    }
    life.pause()?;
    let reset = if life.rng.random() {
        Reset::Device
    } else {
        Reset::Function
    };
    life.end(reset)?;
    past.reset = reset.value();
    Ok(())
}

/// A card that is at work.
struct Life<'a> {
    host: &'a mut Host,
    rng: &'a mut ChaCha8Rng,
    report: &'a mut Report,
    coverage: &'a mut Coverage,
    plan: Plan,
    queues: Queues,
    shadow: Shadow,
    /// What counters of the model say before anything is sent.
    shadow_base: Counts,
    /// Cuts what the card has coalesced, and streams for it.
    cutter: Option<Shadow>,
    score: Score,
    /// As the driver has said it.
    steering: ctrl::Steering,
    baseline: Counts,
    /// Frames that are still to be sent, by direction.
    left: [usize; 2],
    /// Of a stream, the last first.
    stream: Vec<Vec<u8>>,
    tag: u32,
    past: u8,
    last_progress: Ps,
}

/// All counters of the vendor region.
fn counters(host: &mut Host) -> Result<Counts, Fail> {
    let mut counts = Counts::default();
    for (index, count) in (0u32..).zip(&mut counts) {
        let at = 0x6100 + 8 * index;
        let low = host.nic.bar_read(at, 4)?;
        *count = u64::from(low) | u64::from(host.nic.bar_read(at + 4, 4)?) << 32;
    }
    Ok(counts)
}

fn shadow_counts(shadow: &Shadow) -> Counts {
    let mut counts = Counts::default();
    for (count, (stat, _)) in counts.iter_mut().zip(Stat::ALL) {
        *count = shadow.stat(*stat);
    }
    counts
}

impl<'a> Life<'a> {
    fn start(
        (host, rng): (&'a mut Host, &'a mut ChaCha8Rng),
        (report, coverage): (&'a mut Report, &'a mut Coverage),
        plan: Plan,
        past: u8,
    ) -> Result<Self, Fail> {
        if !host.negotiate(plan.features)? {
            return Err(format!("features {:#x} refused", plan.features).into());
        }
        host.enable_msix()?;
        let queues = Queues::start(host, rng, &plan)?;
        let baseline = counters(host)?;
        host.driver_ok()?;
        host.status()?; // behind the posted write: frames that come from now on are received
        // Frames are judged one by one; what was coalesced is cut again.
        let single = plan.features & !(net::GUEST_TSO4 | net::GUEST_TSO6);
        let shadow = Shadow::start(plan.mtu, plan.queue_pairs, single)?;
        let cutter = plan.coalesces().then(|| {
            let cuts = feature::BASE | net::CSUM | net::HOST_TSO4 | net::HOST_TSO6;
            Shadow::start(9202, 1, cuts)
        });
        let now = host.nic.now();
        let mut life = Self {
            queues,
            shadow_base: shadow_counts(&shadow),
            shadow,
            cutter: cutter.transpose()?,
            score: Score::new(plan.pairs()),
            steering: ctrl::Steering::RESET,
            baseline,
            left: [0, 0],
            stream: Vec::new(),
            tag: rng.random(),
            past,
            last_progress: now,
            plan,
            host,
            rng,
            report,
            coverage,
        };
        for command in ctrl::first(life.rng, life.plan.features, life.plan.queue_pairs) {
            life.command(&command)?;
        }
        life.load(LIFE);
        Ok(life)
    }

    /// More frames for both directions.
    fn load(&mut self, most: usize) {
        for left in &mut self.left {
            *left += self.rng.random_range(0..most);
        }
    }

    /// For a random time.
    fn pause(&mut self) -> Result<(), Fail> {
        let most = *[2_000_000, 20_000_000, 100_000_000]
            .choose(self.rng)
            .unwrap_or(&1);
        let until = self.host.nic.now() + self.rng.random_range(0..most);
        self.run(until)
    }

    /// Until all is sent and has come, or `until`.
    fn run(&mut self, until: Ps) -> Result<(), Fail> {
        self.last_progress = self.host.nic.now();
        while !self.finished() && self.host.nic.now() < until {
            self.feed_wire()?;
            self.feed_transmit()?;
            let eager = if self.plan.flood {
                0.1
            } else {
                self.plan.eager
            };
            self.refill(eager)?;
            self.poll_all(false)?;
            let most = *[1, 25, 250].choose(self.rng).unwrap_or(&1);
            let pause = self.rng.random_range(0..=most) * CYCLE_PS;
            self.advance(self.host.nic.now() + pause)?;
            if self.host.nic.now() > self.last_progress + DEADLINE {
                return Err(self.stuck()?);
            }
        }
        Ok(())
    }

    /// Nothing has happened for longer than a frame waits for a buffer.
    fn quiet(&self) -> bool {
        self.host.nic.now() > self.last_progress + 60_000_000
    }

    /// Nothing is left to be sent, and nothing but drops can be missing.
    fn finished(&self) -> bool {
        self.left == [0, 0]
            && self.stream.is_empty()
            && self.score.outgoing() == 0
            && (self.score.frames == 0 || self.quiet())
            && self.host.nic.wire_pending() == 0
            && (1..self.queues.all.len())
                .step_by(2)
                .all(|queue| self.queues.all[queue].ring.outstanding() == 0)
    }

    fn stuck(&mut self) -> Result<Fail, Fail> {
        let stats = counters(self.host)?;
        let status = self.host.status()?;
        let rings: Vec<_> = self
            .queues
            .all
            .iter()
            .map(|q| (q.ring.outstanding(), q.ring.free()))
            .collect();
        Ok(format!(
            "stuck: {} frames on the way in, {} on the way out, rings {rings:?}, status {status:#x}, \
             counters {stats:?}",
            self.score.frames,
            self.score.outgoing(),
        )
        .into())
    }
}
