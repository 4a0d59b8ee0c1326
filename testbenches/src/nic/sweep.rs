//! A reset at every cycle of a window of traffic: by register, by queue_reset, of the function.
//!
//! The same traffic on a new card each time, and the reset one cycle later each time. Afterwards: the
//! device says so within a bounded number of cycles, nothing comes over the bus any more, neither DMA
//! nor MSI-X, while frames go on coming in, and the card works as new.

mod offloads;

use super::{
    Check,
    host::{Fail, Host, RX, TX, feature},
    traffic::{Load, Traffic},
};
use crate::testbench::Report;
use hwmodel::{CYCLE_PS, Device, Ps, Stop, WireFrame};
use offloads::{CTRL, Offloads};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// What is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// device_status = 0 (2.4.1).
    Device,
    /// queue_reset (2.6.1) of this queue; the other one goes on.
    Queue(usize),
    /// Function Level Reset.
    Function,
}

/// All of them.
pub const KINDS: [Kind; 4] = [
    Kind::Device,
    Kind::Queue(RX),
    Kind::Queue(TX),
    Kind::Function,
];

/// Likewise, of a card with a control queue at work.
pub const OFFLOAD_KINDS: [Kind; 5] = [
    Kind::Device,
    Kind::Queue(TX),
    Kind::Function,
    Kind::Queue(CTRL),
    Kind::Queue(RX),
];

/// Cycles within which a reset is over, besides the host's own latencies: what is under way when it
/// comes (bursts, descriptor reads, used descriptors, a message) is finished in order.
const BOUND: u64 = 2000;
/// Cycles after a reset, and after the last frame has begun to come in, within which the card is quiet:
/// the rest of that frame (9236 bytes with preamble and FCS at 8 a cycle), while a frame on its way out
/// ends as well, then what waits in the receive store (2048 words, one a cycle), and a few stages.
const QUIET: u64 = 9236 / 8 + 2048 + 64;
/// Cycles of silence that are looked at afterwards.
const SILENCE: u64 = 600;
/// Traffic before the window.
const WARM_UP: Ps = 12_000_000;

fn load(rng: &mut ChaCha8Rng, frames: usize) -> Load {
    let mut lengths = || {
        (0..frames)
            .map(|_| *[60, 61, 200, 1514].choose(rng).unwrap_or(&60))
            .collect()
    };
    Load {
        rx: lengths(),
        tx: lengths(),
        ..Load::default()
    }
}

/// Bytes read and written, accesses refused, messages.
fn bus(host: &Host) -> [u64; 4] {
    let c = host.nic.counters();
    [
        c.dma_read_bytes,
        c.dma_write_bytes,
        c.dma_refused,
        c.msix_messages,
    ]
}

/// Runs without a driver; what comes is thrown away.
fn pass(host: &mut Host, cycles: u64) -> Result<(), Fail> {
    let until = host.nic.now() + cycles * CYCLE_PS;
    loop {
        match host.nic.run_until(until)? {
            Stop::Time => return Ok(()),
            Stop::Msix => drop(host.nic.take_msix()),
            Stop::WireTx => drop(host.nic.take_wire()),
        }
    }
}

/// One card: `kind` of reset, `offset` cycles into the window. `latency` is what the host takes at the
/// most for what is under way, in cycles.
pub fn one(
    host: &mut Host,
    seed: u64,
    report: &mut Report,
    (kind, offset): (Kind, u64),
    latency: u64,
) -> Check {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let features = feature::BASE
        | *[0, feature::EVENT_IDX, feature::IN_ORDER | feature::CSUM]
            .choose(rng)
            .unwrap_or(&0);
    let traffic_load = load(rng, 60);
    let mut traffic = Traffic::start(host, rng, report, features, traffic_load)?;
    traffic.run(traffic.host.nic.now() + WARM_UP)?;
    traffic.advance(traffic.host.nic.now() + offset * CYCLE_PS)?;
    let before = bus(traffic.host);
    let busy = traffic.host.nic.busy();
    match kind {
        Kind::Queue(queue) => {
            traffic.reset_queue(queue)?;
            traffic.run(Ps::MAX)?;
            traffic.settle()?;
        }
        Kind::Device => {
            drop(traffic);
            device_reset(host, report, latency)?;
        }
        Kind::Function => {
            drop(traffic);
            function_reset(host)?;
        }
    }
    report.add("resets", 1);
    report.add("resets while busy", busy.into());
    if !matches!(kind, Kind::Queue(_)) {
        ends(host, report)?;
        report.add("resets with bus traffic before", (before != [0; 4]).into());
    }
    let cut = host.nic.counters().wire_cut;
    report.add("frames cut on their way out", cut);
    if cut != 0 && kind != Kind::Function {
        return Err(format!("{kind:?} reset cut {cut} frames").into());
    }
    again(host, &mut ChaCha8Rng::seed_from_u64(seed), report)
}

/// Amid offloads and commands, which nobody judges: only what the reset does. A queue's is followed by the
/// device's.
pub fn offloads(
    host: &mut Host,
    seed: u64,
    report: &mut Report,
    (kind, offset): (Kind, u64),
    latency: u64,
) -> Check {
    let offloads = Offloads::start(host, seed, report)?;
    let until = host.nic.now() + WARM_UP + offset * CYCLE_PS;
    offloads.run(host, until)?;
    match kind {
        Kind::Queue(queue) => offloads.reset_queue(host, queue, BOUND + latency)?,
        Kind::Device => {}
        Kind::Function => function_reset(host)?,
    }
    if kind != Kind::Function {
        device_reset(host, report, latency)?;
    }
    ends(host, report)?;
    again(host, &mut ChaCha8Rng::seed_from_u64(seed), report)
}

/// device_status = 0, and what it takes.
fn device_reset(host: &mut Host, report: &mut Report, latency: u64) -> Check {
    let begin = host.nic.now();
    host.reset(100_000_000)?;
    let cycles = (host.nic.now() - begin) / CYCLE_PS;
    if cycles > BOUND + latency {
        return Err(format!("reset took {cycles} cycles").into());
    }
    most(report, "cycles of the slowest reset", cycles);
    Ok(())
}

/// Initiate Function Level Reset, and the card may master the bus again.
fn function_reset(host: &mut Host) -> Check {
    host.nic.function_reset()?;
    host.nic.config_write(0x04, 2, 0x0006);
    Ok(())
}

/// A reset of all is over: the card becomes quiet, and stays so.
fn ends(host: &mut Host, report: &mut Report) -> Check {
    let reset = bus(host);
    let cycles = quiet(host)?;
    most(report, "cycles of the slowest to be quiet", cycles);
    silence(host, reset)
}

/// Counts the largest.
fn most(report: &mut Report, what: &'static str, cycles: u64) {
    let slowest = report.count(what);
    report.add(what, cycles.saturating_sub(slowest));
}

/// Cycles until the card is quiet, with frames that were under way on both sides of the wire.
fn quiet(host: &mut Host) -> Result<u64, Fail> {
    while host.nic.wire_pending() != 0 {
        pass(host, 1)?;
    }
    let begin = host.nic.now();
    while host.nic.busy() {
        pass(host, 1)?;
        let cycles = (host.nic.now() - begin) / CYCLE_PS;
        if cycles > QUIET {
            return Err(format!("still busy {cycles} cycles after the reset").into());
        }
    }
    Ok((host.nic.now() - begin) / CYCLE_PS)
}

/// Nothing has come since the reset was over, of what was, nor does it of frames that come now.
fn silence(host: &mut Host, before: [u64; 4]) -> Check {
    host.nic
        .wire_send(WireFrame::new(host.nic.now(), vec![0x33; 300]));
    pass(host, SILENCE)?;
    let after = bus(host);
    if after != before {
        return Err(format!("on the bus after the reset: {before:?}, then {after:?}").into());
    }
    if host.nic.busy() {
        return Err("still busy".to_string().into());
    }
    Ok(())
}

/// The card works as new.
fn again(host: &mut Host, rng: &mut ChaCha8Rng, report: &mut Report) -> Check {
    let features = feature::BASE | if rng.random() { feature::EVENT_IDX } else { 0 };
    let load = load(rng, 6);
    let mut traffic = Traffic::start(host, rng, report, features, load)?;
    traffic.run(Ps::MAX)?;
    traffic.settle()
}
