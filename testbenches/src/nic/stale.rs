//! A device reset between two drivers of different features: nothing that came for the first one is told
//! to the second, however soon it is there, and what comes once it runs it gets as it negotiated.
//!
//! The first has no buffers, or few, so that the receive store fills with segments that are joined.

use super::{
    Check,
    frame::{self, HDR},
    host::{BUS_OFFSET, Fail, Host, RX, RX_BUFFERS, Stat, feature},
};
use crate::{
    frames::Shape,
    ring::{DriverRing, Element, Memory, Used},
    seg::stimulus,
    testbench::Report,
};
use hwmodel::{CYCLE_PS, Device, Ps, Stop, WireFrame, model::feature as net, xgmii::OCTET_PS};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// Descriptors of the ring, each of them a buffer.
const SIZE: u16 = 256;
/// Segments for the first driver from which on no further stream is begun: with those of the last one and
/// what else comes, the second one has buffers for all.
const FRAMES: usize = 180;
/// Place of a buffer of the second driver, and its bytes; the first one's hold a super-frame (5.1.6.3.1).
const SLOT: u64 = 0x800;
const BIG_SLOT: u64 = 0x1_1000;
/// Preamble and FCS, octets.
const AROUND: usize = 8 + 4;
/// Between a moment at which the driver knows of something and what the receiver sees of the wire.
const SLACK: Ps = 64 * CYCLE_PS;

/// A frame on its way to the card.
struct Arrival {
    begin: Ps,
    end: Ps,
    bytes: Vec<u8>,
}

/// What a TCP sender's segmentation makes of a piece of a stream: it can be joined again.
pub fn segments(rng: &mut ChaCha8Rng) -> Vec<Vec<u8>> {
    let size = *[1448, 536, 1448].choose(rng).unwrap_or(&1448);
    let shape = Shape {
        ipv6: rng.random(),
        tcp: true,
        payload: rng.random_range(1..=40) * usize::from(size),
        ..Shape::default()
    };
    let mut frame = stimulus::legal(&shape, size, rng);
    frame.bytes[frame.parts.l4 + 13] = 0x10; // ACK
    frame.segments(1514).unwrap_or_default()
}

/// Sends `frame` to the card once `at` has come and those before it are through.
fn arrive(host: &mut Host, sent: &mut Vec<Arrival>, at: Ps, bytes: Vec<u8>) {
    let begin = sent
        .last()
        .map_or(at, |last| at.max(last.end + 16 * OCTET_PS));
    let end = begin + (AROUND + bytes.len()) as Ps * OCTET_PS;
    host.nic.wire_send(WireFrame::new(begin, bytes.clone()));
    sent.push(Arrival { begin, end, bytes });
}

/// Makes `count` buffers of `len` bytes available.
fn post(host: &mut Host, ring: &mut DriverRing<u64>, count: u64, len: u64) -> Check {
    for slot in 0..count {
        let addr = RX_BUFFERS.0 + BUS_OFFSET + len * slot;
        let element = Element {
            addr,
            len: len as u32,
        };
        let (chain, _) = ring.prepare(&mut host.bus, &[element], addr, 0);
        ring.publish(&mut host.bus, chain);
    }
    host.kick(RX)
}

/// Runs until `until`.
fn pass(host: &mut Host, until: Ps) -> Check {
    while host.nic.run_until(until)? != Stop::Time {}
    Ok(())
}

fn start(host: &mut Host, features: u64) -> Result<DriverRing<u64>, Fail> {
    if !host.negotiate(features)? {
        return Err(format!("features {features:#x} refused").into());
    }
    host.enable_queue(RX, SIZE, 0, features, 0)
}

/// Two drivers, one after the other.
// shows (RTL): 2.4.1-1
pub fn one(host: &mut Host, rng: &mut ChaCha8Rng, report: &mut Report) -> Check {
    let before = host.stats()?;
    let joins = net::GUEST_CSUM | net::GUEST_TSO4 | net::GUEST_TSO6;
    let mut sent = vec![];
    let mut ring = start(host, feature::BASE | joins)?;
    host.driver_ok()?;
    let first = rng.random_range(0..3);
    post(host, &mut ring, first, BIG_SLOT)?;
    let most = rng.random_range(1..FRAMES);
    while sent.len() < most {
        for segment in segments(rng) {
            let now = host.nic.now();
            arrive(host, &mut sent, now, segment);
        }
    }
    // To any moment, many of them while the store is full of it; then the wire goes on.
    let stop = host.nic.now() + rng.random_range(0..150_000_000);
    pass(host, stop)?;
    let mut used = vec![];
    for _ in 0..first {
        ring.take_used(&host.bus, &mut used)?;
    }
    let asked = host.nic.now();
    host.reset(100_000_000)?;

    let wanted = rng.random::<u64>() & (net::GUEST_CSUM | net::MRG_RXBUF);
    let features = feature::BASE | wanted;
    let mut ring = start(host, features)?;
    // So that nothing of the first one's frames is taken for what comes now.
    host.bus.write(
        RX_BUFFERS.0 + BUS_OFFSET,
        &vec![0; SLOT as usize * usize::from(SIZE)],
    );
    post(host, &mut ring, SIZE.into(), SLOT)?;
    host.driver_ok()?;
    host.status()?;
    let runs = host.nic.now();
    report.add("picoseconds from a reset to the next driver", runs - asked);
    for tag in 0..rng.random_range(1..20) {
        let len = rng.random_range(60..1514);
        let bytes = frame::random(rng, len, tag);
        let now = host.nic.now();
        arrive(host, &mut sent, now, bytes);
    }
    let end = sent.last().map_or(runs, |last| last.end);
    pass(host, end.max(host.nic.now()))?;
    // Until nothing comes any more.
    let mut taken: Vec<Used<u64>> = vec![];
    let mut count = usize::MAX;
    while count != taken.len() {
        count = taken.len();
        pass(host, host.nic.now() + 150_000_000)?;
        let mut before = usize::MAX;
        while before != taken.len() {
            before = taken.len();
            ring.take_used(&host.bus, &mut taken)?;
        }
    }
    // What begins behind the reset may come, what begins once the driver runs must.
    let mut due = sent.iter().filter(|frame| frame.begin + SLACK >= asked);
    let mut got = 0;
    for buffer in &taken {
        let mut bytes = vec![0; buffer.len.unwrap_or_default() as usize];
        host.bus.read(buffer.token, &mut bytes);
        let Some(header) = bytes.get(..HDR) else {
            return Err(format!("{} bytes, less than a header", bytes.len()).into());
        };
        let body = &bytes[HDR..];
        let Some(frame) = due.find(|frame| frame.bytes == body) else {
            let text = format!(
                "a frame of {} bytes, header {header:02x?}, that did not come for this driver",
                body.len()
            );
            return Err(text.into());
        };
        let expected = frame::rx_header(&frame.bytes, features & net::GUEST_CSUM != 0);
        if header != expected {
            return Err(format!("header {header:02x?}, expected {expected:02x?}").into());
        }
        got += u64::from(frame.begin >= runs + SLACK);
    }
    let wanted = sent.iter().filter(|frame| frame.begin >= runs + SLACK);
    let wanted = wanted.count() as u64;
    if got != wanted {
        return Err(format!("{got} of {wanted} frames that came once the driver ran").into());
    }
    // Each frame is in a buffer, joined to one, or dropped.
    let after = host.stats()?;
    let grown = |stat: Stat| after[stat as usize] - before[stat as usize];
    let ends = [
        grown(Stat::RxBuffers),
        grown(Stat::RxDisabled),
        grown(Stat::RxNoSpace),
        grown(Stat::RxTruncated),
        grown(Stat::RxCoalesced) - grown(Stat::RxLroFrames),
    ];
    if ends.iter().sum::<u64>() != grown(Stat::RxFrames) {
        return Err(format!(
            "{} good frames; used, disabled, no space, truncated, joined: {ends:?}",
            grown(Stat::RxFrames)
        )
        .into());
    }
    report.add("drivers replaced", 1);
    report.add("frames for the first driver", (sent.len() as u64) - wanted);
    report.add("dropped by its reset", grown(Stat::RxDisabled));
    report.add("frames for the second driver", wanted);
    host.reset(100_000_000)
}
