//! Testbenches of the whole NIC, from its registers and queues to its wire and back.

mod control;
mod errors;
mod frame;
mod host;
mod mac;
mod random;
mod rate;
mod slots;
mod stale;
mod sweep;
mod traffic;
mod tso;

use crate::{
    coverage::Coverage,
    testbench::{Error, Options, Report, Testbench},
};
use host::{Fail, Host, Stat, feature};
use hwmodel::{AxiHostConfig, CYCLE_PS, Device, NicConfig, Ps, THIN_FEATURES};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;
use traffic::{Load, Traffic};

/// Frames of every length in both directions against a scoreboard.
pub const NIC_TRAFFIC: Testbench = Testbench {
    name: "nic_traffic",
    about: "random frames, buffers, latency and back-pressure in both directions; effort 4: every length",
    run: run_traffic,
};

/// Registers, negotiation, MSI-X, the link.
pub const NIC_CONTROL: Testbench = Testbench {
    name: "nic_control",
    about: "register map, negotiation, queue sizes, MSI-X masks and races, link, loopback, pause, snapshots",
    run: run_control,
};

/// Broken drivers.
pub const NIC_ERRORS: Testbench = Testbench {
    name: "nic_errors",
    about: "refused DMA, illegal descriptors: NEEDS_RESET, an interrupt, quiet, and well after reset",
    run: run_errors,
};

/// Resets in the midst of traffic.
pub const NIC_RESET: Testbench = Testbench {
    name: "nic_reset",
    about: "device and queue resets at any moment of random traffic, with nothing left behind",
    run: run_reset,
};

/// A reset at every cycle of a window.
pub const NIC_SWEEP: Testbench = Testbench {
    name: "nic_sweep",
    about: "device, queue and function reset at each cycle of a window: bounded, silent after, works again",
    run: run_sweep,
};

/// One driver after another.
pub const NIC_STALE: Testbench = Testbench {
    name: "nic_stale",
    about: "a driver that takes the card over at once after a reset gets nothing that came for the one before",
    run: run_stale,
};

/// Everything at once, against the behavioural model.
pub const NIC_RANDOM: Testbench = Testbench {
    name: "nic_random",
    about: "random traffic, features, queues, buffers, back-pressure and resets against the model",
    run: |options| random::run(options).map(|(report, _)| report),
};

/// What [`NIC_RANDOM`] does, and the bins that it hit.
///
/// # Errors
/// As the testbench's.
pub fn random_coverage(options: &Options) -> Result<(Report, Coverage), Error> {
    random::run(options)
}

/// Idle skip.
pub const NIC_SKIP: Testbench = Testbench {
    name: "nic_skip",
    about: "the same outputs at the same times with and without skipped idle cycles",
    run: run_skip,
};

/// Line rate, printed.
pub const NIC_RATE: Testbench = Testbench {
    name: "nic_rate",
    about: "frames per second in simulated time for 64 to 9018 bytes, each direction and both, one queue and eight",
    run: rate::run,
};

/// Who is to blame when it is not line rate.
pub const NIC_SLOW_HOST: Testbench = Testbench {
    name: "nic_slow_host",
    about: "hosts that are too slow in a known place: nic_rate names the block that waits for it",
    run: rate::run_blame,
};

/// Super-frames, and how fast their segments leave.
pub const NIC_TSO: Testbench = Testbench {
    name: "nic_tso",
    about: "super-frames in scattered buffers against a reference; line rate with gso_size 536 to 8948, printed",
    run: run_tso,
};

/// The longest frame of these testbenches, without FCS.
const LONGEST: usize = 9216;

fn mismatch(seed: u64, now: Ps, context: &str, fail: &Fail) -> Error {
    let message = format!("{context}: {} ({now} ps)", fail.0);
    Error::Mismatch {
        seed,
        cycle: now / CYCLE_PS,
        message,
    }
}

fn config(rng: &mut ChaCha8Rng) -> NicConfig {
    let seed = rng.random();
    NicConfig {
        mtu: (LONGEST - 18) as u16,
        axi: if rng.random_bool(0.3) {
            AxiHostConfig::default()
        } else {
            AxiHostConfig::random(seed)
        },
        mmio_read_latency: rng.random_range(0..1_000_000),
        mmio_write_latency: rng.random_range(0..400_000),
        checks: rng.random_bool(0.2),
        seed,
        ..NicConfig::default()
    }
}

/// A card; with waves, each one of a run in a file of its own: `out.3.fst`.
fn power_on(options: &Options, number: usize, config: NicConfig) -> Result<Host, Error> {
    let waves = options
        .waves
        .as_ref()
        .map(|p| p.with_extension(format!("{number}.fst")));
    Host::new(NicConfig { waves, ..config })
        .map_err(|fail| mismatch(options.seed, 0, "power-on", &fail))
}

fn random_features(rng: &mut ChaCha8Rng) -> u64 {
    let optional = feature::CSUM | feature::GUEST_CSUM | feature::EVENT_IDX | feature::IN_ORDER;
    feature::BASE | (optional & rng.random::<u64>())
}

/// All lengths up to 1600, and beyond so many that the effort allows: all of them from 4 on.
fn lengths(rng: &mut ChaCha8Rng, effort: u32) -> Vec<usize> {
    let step = (64 >> (2 * effort.min(4)).saturating_sub(2)).max(1);
    let mut lengths: Vec<usize> = (1..=1600)
        .chain((1601..=LONGEST + 40).step_by(step))
        .chain([LONGEST])
        .collect();
    lengths.shuffle(rng);
    lengths
}

/// Lengths that the card receives.
pub const RECEIVED: RangeInclusive<usize> = frame::MIN_FRAME..=LONGEST;
/// Lengths that the driver may send: from an Ethernet header on.
pub const TRANSMITTED: RangeInclusive<usize> = 14..=LONGEST;
/// Sessions until the last lengths have gone through, at the most.
const REPEATS: usize = 40;

/// The session in which what is sent comes back; it takes no share of the frames to the card.
const LOOPBACK: usize = 12;

fn run_traffic(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    let (rx, tx) = (
        lengths(&mut rng, options.effort),
        lengths(&mut rng, options.effort),
    );
    let sessions = 12;
    for session in 0..=sessions {
        let share = |all: &[usize]| {
            let chunk = all.len().div_ceil(sessions);
            all.chunks(chunk).nth(session).unwrap_or_default().to_vec()
        };
        // Every 16th length comes back as well.
        let share_of_all = |all: &[usize]| all.iter().copied().step_by(16).collect();
        let features = random_features(&mut rng);
        let load = Load {
            rx: if session == LOOPBACK {
                vec![]
            } else {
                share(&rx)
            },
            tx: if session == LOOPBACK {
                share_of_all(&tx)
            } else {
                share(&tx)
            },
            faults: session % 2 == 1,
            flood: session % 4 == 3,
            short_buffers: session % 6 == 4,
            loopback: session == LOOPBACK,
        };
        run_session(options, session, &mut rng, &mut report, features, load)?;
    }
    // Of every length one frame goes through: those that met a fault, a flood or a short buffer come again. (The longest need a
    // VLAN tag, which not every frame has.)
    for session in (LOOPBACK + 1..=LOOPBACK + REPEATS).take_while(|_| options.effort >= 4) {
        let load = Load {
            rx: report.missing("received", RECEIVED),
            tx: report.missing("transmitted", TRANSMITTED),
            ..Load::default()
        };
        if load.rx.is_empty() && load.tx.is_empty() {
            break;
        }
        let features = random_features(&mut rng);
        run_session(options, session, &mut rng, &mut report, features, load)?;
    }
    Ok(report)
}

/// A card of its own under a load.
fn run_session(
    options: &Options,
    session: usize,
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    features: u64,
    load: Load,
) -> Result<(), Error> {
    let config = config(rng);
    let mut host = power_on(options, session, config)?;
    let (result, text) = match Traffic::start(&mut host, rng, report, features, load) {
        Err(fail) => (Err(fail), String::new()),
        Ok(mut traffic) => {
            let result = traffic.run(Ps::MAX).and_then(|()| traffic.settle());
            (result, traffic.describe())
        }
    };
    let context = format!("session {session} ({text}, {:?})", host.nic.config().axi);
    result.map_err(|fail| mismatch(options.seed, host.nic.now(), &context, &fail))?;
    report.cycles += host.nic.counters().cycles;
    Ok(())
}

fn run_control(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    let config = config(&mut rng);
    let mut host = power_on(options, 0, config)?;
    let mut check = |name: &str, result: fn(&mut Host, &mut ChaCha8Rng, &mut Report) -> Check| {
        result(&mut host, &mut rng, &mut report)
            .map_err(|fail| mismatch(seed, host.nic.now(), name, &fail))
    };
    check("map", |host, _, _| control::map(host))?;
    check("negotiation", |host, _, report| {
        control::negotiation(host, report)
    })?;
    check("registers", control::registers)?;
    check("queue size", |host, _, _| control::queue_size(host))?;
    check("link", control::link)?;
    report.cycles = host.nic.counters().cycles;
    offers(options, &mut rng, &mut report)?;
    // Built for one pair, with the smaller store.
    let config = NicConfig {
        checks: false,
        features: THIN_FEATURES,
        queue_pairs: 1,
        ..host.nic.config().clone()
    };
    let mut host = power_on(options, 1, config)?;
    mac::run(&mut host).map_err(|fail| mismatch(seed, host.nic.now(), "MAC", &fail))?;
    report.cycles += host.nic.counters().cycles;
    Ok(report)
}

/// Cards of random options.
fn offers(options: &Options, rng: &mut ChaCha8Rng, report: &mut Report) -> Result<(), Error> {
    let mut all = None;
    for number in 0..12 {
        let config = NicConfig {
            features: match all {
                None => u64::MAX,
                Some(_) => feature::BASE | rng.random::<u64>(),
            },
            queue_pairs: if all.is_none() {
                2
            } else {
                rng.random_range(1..=2)
            },
            seed: options.seed,
            ..NicConfig::default()
        };
        let mut host = power_on(options, 2 + number, config)?;
        let result = match all {
            None => host.offered().map(|offered| all = Some(offered)),
            Some(all) => control::offer(&mut host, rng, report, all),
        };
        result.map_err(|fail| mismatch(options.seed, host.nic.now(), "offer", &fail))?;
        report.cycles += host.nic.counters().cycles;
    }
    Ok(())
}

type Check = Result<(), Fail>;

fn run_errors(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    for number in 0..2 {
        let config = config(&mut rng);
        let mut host = power_on(options, number, config)?;
        errors::no_frames(&mut host, &mut report)
            .and_then(|()| errors::no_super_frames(&mut host, &mut report))
            .and_then(|()| errors::run(&mut host, &mut report))
            .and_then(|()| {
                // As good as new.
                let lengths = (60..120).collect::<Vec<_>>();
                let load = Load {
                    rx: lengths.clone(),
                    tx: lengths,
                    ..Load::default()
                };
                let mut traffic =
                    Traffic::start(&mut host, &mut rng, &mut report, feature::BASE, load)?;
                traffic.run(Ps::MAX)?;
                traffic.settle()
            })
            .map_err(|fail| mismatch(seed, host.nic.now(), "errors", &fail))?;
        report.cycles += host.nic.counters().cycles;
    }
    Ok(report)
}

fn short_load(rng: &mut ChaCha8Rng, frames: usize) -> Load {
    let mut lengths = || (0..frames).map(|_| rng.random_range(1..2000)).collect();
    Load {
        rx: lengths(),
        tx: lengths(),
        faults: true,
        ..Load::default()
    }
}

/// Device resets and queue resets while frames go both ways, on one card.
fn run_reset(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    for number in 0..2 * options.effort as usize {
        let config = config(&mut rng);
        let mut host = power_on(options, number, config)?;
        let result = (0..12).try_for_each(|life| one_life(&mut host, &mut rng, &mut report, life));
        let context = format!("card {number} ({:?})", host.nic.config().axi);
        result.map_err(|fail| mismatch(seed, host.nic.now(), &context, &fail))?;
        report.cycles += host.nic.counters().cycles;
    }
    Ok(report)
}

// shows (RTL): 2.1.2-1, 2.4.1-1, 2.4.1-2, 4.1.4.3.1-6
fn one_life(host: &mut Host, rng: &mut ChaCha8Rng, report: &mut Report, life: u32) -> Check {
    let features = random_features(rng);
    let last = life == 11;
    let load = short_load(rng, if last { 60 } else { 1000 });
    let mut traffic = Traffic::start(host, rng, report, features, load)?;
    if last {
        traffic.run(Ps::MAX)?;
        return traffic.settle();
    }
    let pause = |traffic: &mut Traffic| {
        let until = traffic.host.nic.now() + traffic.rng.random_range(0..150_000_000);
        traffic.run(until)
    };
    pause(&mut traffic)?;
    if [0, 3, 6, 9].contains(&life) {
        for _ in 0..3 {
            let queue = usize::from(traffic.rng.random::<bool>());
            traffic.reset_queue(queue)?;
            pause(&mut traffic)?;
        }
    }
    let baseline = *traffic.baseline();
    drop(traffic);
    host.reset(100_000_000)?;
    report.add("device resets", 1);
    // Frames that are still on the wire must not reach memory, nor what was under way before.
    let before = host.nic.counters();
    let mut frames_left = 0;
    while host.nic.wire_pending() != 0 {
        host.run(100)?;
    }
    host.run(2000)?;
    let after = host.nic.counters();
    let dma = |c: &hwmodel::Counters| (c.dma_read_bytes, c.dma_write_bytes, c.dma_refused);
    if dma(&before) != dma(&after) || before.msix_messages != after.msix_messages {
        return Err(format!("bus traffic after reset: {before:?}, then {after:?}").into());
    }
    // Each good frame is in a buffer, or in one of the drops.
    let now = host.stats()?;
    let grown = |stat: Stat| now[stat as usize] - baseline[stat as usize];
    let ends = [
        Stat::RxBuffers,
        Stat::RxDisabled,
        Stat::RxNoSpace,
        Stat::RxTruncated,
    ]
    .map(grown);
    if ends.iter().sum::<u64>() != grown(Stat::RxFrames) {
        let good = grown(Stat::RxFrames);
        return Err(
            format!("{good} good frames; used, disabled, no space, truncated: {ends:?}").into(),
        );
    }
    report.add("frames dropped by resets", grown(Stat::RxDisabled));
    while host.nic.take_msix().is_some() {}
    while host.nic.take_wire().is_some() {
        frames_left += 1;
    }
    report.add("frames that a reset left in the wire's queue", frames_left);
    Ok(())
}

/// Cycles of the window.
const SWEEP: u64 = 200;

/// Each kind of reset at each cycle of a window; amid single frames, and amid offloads and commands. Every kind meets every
/// cycle from effort 5 on.
fn run_sweep(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut report = Report::default();
    for number in 0..SWEEP * u64::from(options.effort) {
        let offset = number % SWEEP;
        let kind = sweep::KINDS[(offset + number / SWEEP) as usize % sweep::KINDS.len()];
        let config = NicConfig {
            axi: if seed % 2 == 1 {
                AxiHostConfig::default()
            } else {
                AxiHostConfig::random(seed)
            },
            mtu: 1500,
            mmio_read_latency: 100_000,
            mmio_write_latency: 50_000,
            checks: number % 5 == 0,
            seed,
            ..NicConfig::default()
        };
        // A read behind the write, and what the host may take for bursts one after the other.
        let axi = &config.axi;
        let latency = (2 * (axi.read_latency + axi.write_latency + 2 * axi.jitter)) / CYCLE_PS;
        let failed = |host: &Host, kind: sweep::Kind, fail: Fail| {
            let context = format!("{kind:?} reset {offset} cycles into the window");
            mismatch(seed, host.nic.now(), &context, &fail)
        };
        let mut host = power_on(options, 2 * number as usize, config.clone())?;
        sweep::one(&mut host, seed, &mut report, (kind, offset), latency)
            .map_err(|fail| failed(&host, kind, fail))?;
        report.cycles += host.nic.counters().cycles;

        let kinds = sweep::OFFLOAD_KINDS;
        let kind = kinds[(offset + number / SWEEP) as usize % kinds.len()];
        let mut host = power_on(options, 2 * number as usize + 1, config)?;
        sweep::offloads(&mut host, seed, &mut report, (kind, offset), latency)
            .map_err(|fail| failed(&host, kind, fail))?;
        report.cycles += host.nic.counters().cycles;
    }
    Ok(report)
}

/// Drivers with and without receive coalescing, with a reset in between, on a card whose registers answer at once.
fn run_stale(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    for number in 0..2 {
        let config = NicConfig {
            mtu: 1500,
            mmio_read_latency: 0,
            mmio_write_latency: 0,
            checks: number == 1,
            ..config(&mut rng)
        };
        let mut host = power_on(options, number, config)?;
        for life in 0..20 * options.effort {
            let result = stale::one(&mut host, &mut rng, &mut report);
            let context = format!("card {number}, reset {life} ({:?})", host.nic.config().axi);
            result.map_err(|fail| mismatch(seed, host.nic.now(), &context, &fail))?;
        }
        report.cycles += host.nic.counters().cycles;
    }
    Ok(report)
}

/// One scenario twice; what came out, when, and what the host saw on the bus.
fn run_skip(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut report = Report::default();
    for number in 0..3 {
        let mut seen = Vec::new();
        for idle_skip in [true, false] {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number);
            let config = NicConfig {
                idle_skip,
                ..config(&mut rng)
            };
            let mut host = power_on(options, seen.len(), config)?;
            host.nic.set_dma_log(true);
            let load = short_load(&mut rng, 60);
            let features = random_features(&mut rng);
            let mut counts = Report::default();
            let result = Traffic::start(&mut host, &mut rng, &mut counts, features, load).and_then(
                |mut traffic| {
                    traffic.run(Ps::MAX)?;
                    traffic.settle()?;
                    Ok(traffic.trace())
                },
            );
            let trace = result.map_err(|f| mismatch(seed, host.nic.now(), "idle skip", &f))?;
            let skipped = host.nic.counters().cycles_skipped;
            report.add("cycles skipped", skipped);
            report.cycles += host.nic.counters().cycles;
            let mut counters = host.nic.counters();
            counters.cycles += std::mem::take(&mut counters.cycles_skipped);
            seen.push((trace, host.nic.now(), counters, host.nic.take_dma_log()));
        }
        if seen[0] != seen[1] {
            let burst = seen[0].3.iter().zip(&seen[1].3).find(|(a, b)| a != b);
            let text = format!(
                "with idle skip {:?}, without {:?}; first DMA burst that differs: {burst:?}",
                (seen[0].0, seen[0].1, seen[0].2),
                (seen[1].0, seen[1].1, seen[1].2),
            );
            return Err(mismatch(seed, seen[0].1, "idle skip", &Fail(text)));
        }
    }
    Ok(report)
}

fn run_tso(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    for number in 0..3 * options.effort as usize {
        let config = config(&mut rng);
        let mut host = power_on(options, number, config)?;
        let result = tso::random(&mut host, &mut rng, &mut report, 60, LONGEST);
        let context = format!("card {number} ({:?})", host.nic.config().axi);
        result.map_err(|fail| mismatch(seed, host.nic.now(), &context, &fail))?;
        report.cycles += host.nic.counters().cycles;
    }
    println!("  gso_size  type  super-frame  segments   Mframe/s   of 10 Gb/s");
    for case in tso::RATE_CASES {
        let rate = tso::rate(options, &mut rng, &mut report, case)?;
        println!("  {case}  {rate}");
        let label = if rate.share > 0.995 {
            "at line rate"
        } else {
            "below line rate"
        };
        report.add(label, 1);
    }
    Ok(report)
}
