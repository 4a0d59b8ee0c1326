//! Throughput in simulated time: how near to 10 Gb/s the card comes with a driver that costs nothing.

mod bench;
mod bus;
mod flows;

use super::{
    host::{Fail, Host, RX, TX},
    mismatch, power_on, tso,
};
use crate::testbench::{Error, Options, Report};
use bench::{Load, Measured, measure};
use flows::Steering;
use hwmodel::{AxiHostConfig, Device, NicConfig, Stalls};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Share of 10 Gb/s from which on it is line rate, in and out: what came is seen every 100 cycles only,
/// what goes out at the cycle.
const LINE_RATE: [f64; 2] = [0.99, 0.999];

/// Bytes with FCS, as Ethernet sizes are told.
const RATE_SIZES: [usize; 5] = [64, 128, 512, 1518, 9018];
/// Of the FCS.
const FCS: usize = 4;

/// Queue pairs, and how received frames are spread over them.
const SPREADS: [(u16, Steering); 3] = [
    (1, Steering::Single),
    (8, Steering::Pairs),
    (8, Steering::Rss),
];

/// Sizes that showed it when several queues had asked for too little of what they send, and numbers of
/// queues.
const BETWEEN: ([usize; 3], [u16; 6]) = ([73, 121, 185], [2, 3, 4, 5, 6, 7]);

/// The MSS whose super-frames are measured as well.
const MSS: [u16; 2] = [1460, 536];

/// A line of the table: frames per second, and how many the line can carry.
fn row(what: &str, rate: f64, share: f64, lost: u64) {
    println!(
        "  {what:<31}  {:>8.3} / {:<8.3}  {:>9.1} %   {lost:>7}",
        rate / 1e6,
        rate / share / 1e6,
        share * 100.,
    );
}

/// A card with so many queue pairs behind a host like this.
fn card(
    options: &Options,
    number: usize,
    queue_pairs: u16,
    axi: AxiHostConfig,
) -> Result<Host, Error> {
    let config = NicConfig {
        mtu: 9202,
        queue_pairs,
        axi,
        seed: options.seed,
        ..NicConfig::default()
    };
    power_on(options, number, config)
}

/// All sizes, on one queue pair and spread over eight, and super-frames; an error when one is short of line
/// rate.
pub fn run(options: &Options) -> Result<Report, Error> {
    let seed = options.seed;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    let mut slow = Vec::new();
    println!("  bytes  queues       direction        Mframe/s / possible   of 10 Gb/s   dropped");
    let rows = SPREADS
        .into_iter()
        .flat_map(|spread| RATE_SIZES.map(|size| (size, spread)));
    for (number, (size, (pairs, steering))) in rows.enumerate() {
        let n = (400_000 / size as u64).clamp(150, 2000) * u64::from(options.effort);
        for (name, frames) in [("receive", [n, 0]), ("transmit", [0, n]), ("both", [n, n])] {
            let load = Load {
                len: size - FCS,
                pairs,
                steering,
                frames,
            };
            let mut host = card(options, number, pairs, AxiHostConfig::default())?;
            let measured = measure(&mut host, &mut rng, load)
                .map_err(|fail| mismatch(seed, host.nic.now(), name, &fail))?;
            let what = format!("{size:>5}  {pairs:>6} {steering:<3}  {name:<8}");
            for (way, rate) in ["in ", "out"]
                .into_iter()
                .zip(measured.rates)
                .filter(|(_, rate)| rate.wanted > 0)
            {
                row(&format!("{what} {way}"), rate.frames, rate.share, rate.lost);
            }
            short(&what, &measured, &mut slow);
            report.cycles += host.nic.counters().cycles;
            report.add("frames", frames.iter().sum());
            if pairs > 1 {
                report.add(
                    "frames spread over receive queues",
                    measured.spread.iter().sum(),
                );
            }
        }
    }
    other_sizes(options, &mut rng, &mut report, &mut slow)?;
    super_frames(options, &mut rng, &mut report, &mut slow)?;
    if slow.is_empty() {
        return Ok(report);
    }
    Err(mismatch(seed, 0, "below line rate", &Fail(slow.join("; "))))
}

/// Notes the directions that are below line rate, with the block that stalls.
fn short(what: &str, measured: &Measured, slow: &mut Vec<String>) {
    let rates = measured.rates.iter().enumerate();
    for (way, rate) in rates.filter(|(_, rate)| rate.wanted > 0) {
        if rate.lost == 0 && rate.share >= LINE_RATE[way] {
            continue;
        }
        let culprit = measured.culprit(way);
        println!("         {}\n         held up by {culprit}", measured.bus);
        let name = ["in", "out"][way];
        slow.push(format!(
            "{} {name}: {:.1} %, {} lost: {culprit}",
            what.trim(),
            rate.share * 100.,
            rate.lost
        ));
    }
}

/// Sizes between those of the table, in both directions at once, on one queue and on eight: some short ones,
/// whose last words are of every length, and some longer ones; from effort 4 on all. Some on two to seven.
fn other_sizes(
    options: &Options,
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    slow: &mut Vec<String>,
) -> Result<(), Error> {
    /// Octets on the wire of a measurement.
    const OCTETS: u64 = 400_000;
    let last = RATE_SIZES[RATE_SIZES.len() - 1];
    let sizes: Vec<usize> = if options.effort >= 4 {
        (64..=last).collect()
    } else {
        let longer = (0..8).map(|_| rng.random_range(88..=last));
        (64..88).chain(longer).collect()
    };
    let every = SPREADS.map(|(pairs, steering)| (pairs, steering, sizes.as_slice()));
    let between = BETWEEN
        .1
        .map(|pairs| (pairs, Steering::Pairs, BETWEEN.0.as_slice()));
    let mut worst = [(f64::MAX, 0); 2];
    for (pairs, steering, sizes) in every.into_iter().chain(between) {
        let mut host = card(options, 0, pairs, AxiHostConfig::default())?;
        for size in sizes {
            let load = Load {
                len: size - FCS,
                pairs,
                steering,
                frames: [OCTETS.div_ceil(*size as u64 + 20); 2],
            };
            let measured = measure(&mut host, rng, load)
                .map_err(|fail| mismatch(options.seed, host.nic.now(), "other sizes", &fail))?;
            for (rate, worst) in measured.rates.iter().zip(&mut worst) {
                if rate.share < worst.0 {
                    *worst = (rate.share, *size);
                }
            }
            let what = format!("{size} bytes, {pairs} queues {steering}");
            short(&what, &measured, slow);
            report.add("other sizes", 1);
        }
        report.cycles += host.nic.counters().cycles;
    }
    let [(into, into_size), (out, out_size)] = worst.map(|(share, size)| (share * 100., size));
    println!(
        "  {} other sizes in both directions at once, the slowest: in {into:.2} % ({into_size} bytes), \
         out {out:.2} % ({out_size} bytes)",
        report.count("other sizes"),
    );
    Ok(())
}

/// Segments of super-frames as they leave, at those of [`MSS`].
fn super_frames(
    options: &Options,
    rng: &mut ChaCha8Rng,
    report: &mut Report,
    slow: &mut Vec<String>,
) -> Result<(), Error> {
    println!("  gso_size  type  super-frame  segments");
    let cases = tso::RATE_CASES
        .into_iter()
        .filter(|case| MSS.contains(&case.gso_size()));
    for case in cases {
        let rate = tso::rate(options, rng, report, case)?;
        row(&case.to_string(), rate.frames, rate.share, 0);
        if rate.share < LINE_RATE[TX] {
            let share = rate.share * 100.;
            slow.push(format!("{case}: {share:.1} %: tx_seg or tx_dma"));
        }
        report.add("rows of super-frames", 1);
    }
    Ok(())
}

/// A host that is too slow in a known place, and the block that has to be named for it.
#[derive(Debug)]
struct SlowHost {
    axi: AxiHostConfig,
    load: Load,
    way: usize,
    block: &'static str,
}

/// Hosts that cannot keep up, each for one reason.
fn slow_hosts() -> Vec<SlowHost> {
    let latency = |read_latency| AxiHostConfig {
        read_latency,
        ..AxiHostConfig::default()
    };
    let stalls = |stalls| AxiHostConfig {
        stalls,
        ..AxiHostConfig::default()
    };
    let slow = |axi, way: usize, len, block| {
        let mut frames = [0; 2];
        frames[way] = (1_000_000 / len as u64).clamp(300, 4000);
        SlowHost {
            axi,
            load: Load {
                len,
                pairs: 1,
                steering: Steering::Single,
                frames,
            },
            way,
            block,
        }
    };
    vec![
        // 16 descriptors a read and one read after the other: 16 frames in 4 us, of the line's 60.
        slow(latency(4_000_000), RX, 60, "virtqueue"),
        slow(latency(4_000_000), TX, 60, "virtqueue"),
        // 256 beats in flight: 4 KiB in 8 us, of the line's 10 KB; their descriptors, 16 in 8 us, are enough.
        slow(latency(8_000_000), TX, 1514, "tx_dma"),
        // 0.4 of the beats, where full frames need half of them.
        slow(
            stalls(Stalls {
                w: 600,
                ..Stalls::default()
            }),
            RX,
            1514,
            "dma_write",
        ),
        slow(
            stalls(Stalls {
                r: 600,
                ..Stalls::default()
            }),
            TX,
            1514,
            "dma_read",
        ),
        // 8 bursts of 256 bytes in 2 us, of the line's 2500 bytes.
        slow(
            AxiHostConfig {
                write_latency: 2_000_000,
                max_writes: 8,
                ..AxiHostConfig::default()
            },
            RX,
            1514,
            "dma_write",
        ),
        slow(
            AxiHostConfig {
                read_latency: 2_000_000,
                max_reads: 8,
                ..AxiHostConfig::default()
            },
            TX,
            1514,
            "dma_read",
        ),
    ]
}

/// The blame is laid where the fault is.
pub fn run_blame(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut report = Report::default();
    for (number, slow) in slow_hosts().into_iter().enumerate() {
        let mut host = card(options, number, 1, slow.axi.clone())?;
        let measured = measure(&mut host, &mut rng, slow.load)
            .map_err(|fail| mismatch(options.seed, host.nic.now(), "slow host", &fail))?;
        let share = measured.rates[slow.way].share;
        let culprit = measured.culprit(slow.way);
        println!(
            "  {} of {} bytes, {:.0} % of the line: {culprit}\n         {}",
            ["in ", "out"][slow.way],
            slow.load.len + FCS,
            share * 100.,
            measured.bus
        );
        if share >= LINE_RATE[slow.way] || !culprit.starts_with(slow.block) {
            let fail = Fail(format!(
                "{culprit}, not {} ({:.2}): {slow:?}",
                slow.block, share
            ));
            return Err(mismatch(options.seed, host.nic.now(), "slow host", &fail));
        }
        report.cycles += host.nic.counters().cycles;
        report.add("blamed", 1);
    }
    Ok(report)
}
