use super::{FCS, Fate, LONGEST, RxPort, random_bytes, rng, run_parts};
use crate::{Error, Options, Report};
use hwmodel::{
    CYCLE_PS,
    xgmii::{COLUMN_OCTETS, IDLE_COLUMN, OCTET_PS, START, WireFrame, XgmiiSource},
};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// An ordinary limit, FCS included.
const MAX_FRAME: usize = 1518;

/// All parts.
pub fn run(options: &Options) -> Result<Report, Error> {
    run_parts(
        options,
        &[
            every_length,
            limits,
            shortest_gaps,
            faults,
            no_terminate_before_start,
            flipped_bits,
            noise,
            idle_cycles_do_not_matter,
        ],
    )
}

fn report(port: &RxPort) -> Report {
    let mut report = Report {
        cycles: port.cycles(),
        ..Report::default()
    };
    let names = ["good", "bad FCS", "runts", "oversize", "errors"];
    for (name, count) in names.into_iter().zip(port.stat().frames) {
        report.add(name, count);
    }
    report
}

/// Every length once in each start lane, in random order at line rate: 0 to 14 bytes beyond the limit.
fn every_length(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "every length");
    let mut port = RxPort::open(options, LONGEST + 4 + FCS)?;
    let mut starts = [[0; 8]; 2];
    for lane in [0, 1] {
        let mut lengths: Vec<usize> = (0..=LONGEST + 14).collect();
        lengths.shuffle(&mut rng);
        for len in lengths {
            // As early as the gap allows, then on to the lane.
            let free = port.source.next_at().unwrap_or(0).max(port.now());
            let column = free.div_ceil(CYCLE_PS) + 2;
            let at = column * CYCLE_PS + lane * COLUMN_OCTETS / 2 * OCTET_PS;
            port.send(WireFrame::new(at, random_bytes(&mut rng, len)));
            starts[lane as usize][len % 8] += 1;
            while !port.source.is_idle() {
                port.step()?;
            }
        }
    }
    port.finish()?;
    let mut report = report(&port);
    let covered = starts.iter().flatten().filter(|count| **count > 0).count();
    if covered != 16 {
        return Err(port.mismatch(format!("start lane x length mod 8: {starts:?}")));
    }
    report.add("of 16 start lane and length mod 8", covered as u64);
    Ok(report)
}

/// Frames around the limit, with and without a VLAN tag, for limits of every length modulo 8.
fn limits(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "limits");
    let mut all = Report::default();
    for limit in MAX_FRAME..MAX_FRAME + 8 {
        let mut port = RxPort::open(options, limit)?;
        for len in limit - FCS - 10..limit - FCS + 10 {
            for _ in 0..4 {
                port.send(WireFrame::new(0, random_bytes(&mut rng, len)));
            }
        }
        while !port.source.is_idle() {
            port.step()?;
        }
        port.finish()?;
        all.merge(&report(&port));
    }
    Ok(all)
}

/// Gaps of 5 to 8 octets, the shortest that a receiver must stand, between short frames.
fn shortest_gaps(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "gaps");
    let mut port = RxPort::open(options, MAX_FRAME)?;
    port.source.set_gap(5, false);
    for _ in 0..5_000 * options.effort {
        let len = rng.random_range(50..=100);
        port.send(WireFrame::new(0, random_bytes(&mut rng, len)));
        while port.source.pending() > 2 {
            port.step()?;
        }
    }
    port.finish()?;
    Ok(report(&port))
}

/// A frame with at most one fault, of every kind.
fn random_frame(rng: &mut ChaCha8Rng) -> WireFrame {
    let len = match rng.random_range(0..8) {
        0 => rng.random_range(0..64),
        1 => rng.random_range(MAX_FRAME - 12..MAX_FRAME + 40),
        _ => rng.random_range(60..400),
    };
    let mut frame = WireFrame::new(0, random_bytes(rng, len));
    let faults = &mut frame.faults;
    match rng.random_range(0..10) {
        0 => frame.fcs_ok = false,
        1 => faults.short_preamble = rng.random_range(1..=6),
        2 => faults.no_sfd = true,
        3 => faults.error_at = Some(rng.random_range(0..len + FCS)),
        4 => faults.no_terminate = true,
        _ => {}
    }
    if rng.random_bool(0.2) {
        faults.extra_gap = rng.random_range(0..40);
    }
    frame
}

/// Every kind of fault between good frames: each frame ends in exactly the counter that it must.
fn faults(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "faults");
    let mut port = RxPort::open(options, MAX_FRAME)?;
    for n in 0..10_000 * options.effort {
        if n % 100 == 0 {
            let gap = rng.random_range(5..=16);
            port.source.set_gap(gap, rng.random());
        }
        port.send(random_frame(&mut rng));
        while port.source.pending() > 2 {
            port.step()?;
        }
    }
    port.finish()?;
    Ok(report(&port))
}

/// The columns of one frame, /S/ in the lane 0 or 4.
fn columns(lane: u64, frame: WireFrame) -> Vec<(u64, u8)> {
    let mut source = XgmiiSource::new();
    source.send(WireFrame {
        at: lane * OCTET_PS,
        ..frame
    });
    let mut columns = vec![];
    while !source.is_idle() {
        columns.push(source.next(columns.len() as u64 * CYCLE_PS));
    }
    columns
}

/// A frame that stops without terminate where the next one starts: the first is an error, the
/// second is good.
fn no_terminate_before_start(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "restart");
    let mut port = RxPort::open(options, MAX_FRAME)?;
    for cut in 1..40 {
        for lanes in [(0, 0), (0, 4), (4, 0), (4, 4)] {
            if cut == 1 && lanes == (4, 0) {
                continue; // a start character inside a preamble is no start
            }
            let first = WireFrame::new(0, random_bytes(&mut rng, 400));
            let second = WireFrame::new(0, random_bytes(&mut rng, 60 + cut));
            port.expect(Fate::Error, vec![]);
            port.expect(Fate::Good, second.bytes.clone());
            let mut stream = columns(lanes.0, first);
            let tail = stream[cut];
            stream.truncate(cut);
            stream.extend(columns(lanes.1, second));
            if lanes.1 == 4 {
                // The first frame goes on up to the start character.
                let low = 0xffff_ffff;
                stream[cut].0 = (stream[cut].0 & !low) | (tail.0 & low);
                stream[cut].1 = (stream[cut].1 & 0xf0) | (tail.1 & 0x0f);
            }
            for column in stream {
                port.push(column)?;
            }
            // Now and then without a pause.
            for _ in 0..rng.random_range(1..4) {
                port.push(IDLE_COLUMN)?;
            }
        }
    }
    port.finish()?;
    Ok(report(&port))
}

/// Start characters in the lanes where a frame can start.
fn count_starts((data, ctrl): (u64, u8)) -> u64 {
    [0, 4]
        .into_iter()
        .filter(|lane| ctrl >> lane & 1 == 1 && (data >> (8 * lane)) as u8 == START)
        .count() as u64
}

/// One flipped bit anywhere in a frame, control bits included: the frame is never delivered, every
/// start is counted once, and the neighbours do not suffer.
fn flipped_bits(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "flips");
    let mut port = RxPort::open(options, MAX_FRAME)?;
    let mut flipped = 0;
    let mut starts = 0;
    for _ in 0..3_000 * options.effort {
        let (lane, len) = (4 * rng.random_range(0..2), rng.random_range(60..130));
        let mut stream = columns(lane, WireFrame::new(0, random_bytes(&mut rng, len)));
        let terminate = lane as usize + 8 + len + FCS;
        let place = rng.random_range(lane as usize..=terminate);
        let (column, shift) = (place / 8, place % 8);
        let bit = rng.random_range(0..9);
        if bit == 8 {
            stream[column].1 ^= 1 << shift;
        } else {
            stream[column].0 ^= 1 << (8 * shift + bit);
        }
        flipped += 1;
        // The flip may hit a start character, or make one of an octet 0xfb.
        starts += 1 + stream
            .iter()
            .map(|column| count_starts(*column))
            .sum::<u64>();

        let next = WireFrame::new(0, random_bytes(&mut rng, 60));
        port.expect(Fate::Good, next.bytes.clone());
        // A wrong start leaves no trace, so these two frames are told apart by silence.
        for column in stream
            .into_iter()
            .chain([IDLE_COLUMN])
            .chain(columns(0, next))
        {
            port.push(column)?;
        }
        port.push(IDLE_COLUMN)?;
    }
    port.run_idle()?;
    let stat = port.stat();
    let (good, all) = (stat.frames[Fate::Good as usize], stat.total());
    if good != flipped || all != starts {
        return Err(port.mismatch(format!(
            "{flipped} frames with a flipped bit between as many good ones, {starts} starts: {stat:?}"
        )));
    }
    let mut report = report(&port);
    report.add("flipped bits", flipped);
    Ok(report)
}

/// Any columns at all: no assertion fails, the beats keep the rules, and good frames go through
/// afterwards.
fn noise(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "noise");
    let mut port = RxPort::open(options, MAX_FRAME)?;
    port.keep = true;
    let mut marked = 0;
    for round in 0..300 * options.effort {
        for _ in 0..rng.random_range(1..200) {
            let octet = |rng: &mut ChaCha8Rng| match rng.random_range(0..6) {
                0 => 0xfb,
                1 => 0xfd,
                2 => 0x07,
                _ => rng.random(),
            };
            let data = u64::from_le_bytes(std::array::from_fn(|_| octet(&mut rng)));
            let column = match rng.random_range(0..8) {
                0 => (0xd555_5555_5555_55fb, 0x01),
                1 => (0x5555_55fb_0707_0707, 0x1f),
                2 => (data, rng.random()),
                _ => (data, 0),
            };
            port.push(column)?;
        }
        let bytes = random_bytes(&mut rng, 60 + round as usize % 9);
        for column in [IDLE_COLUMN; 3].into_iter().chain(columns(
            4 * u64::from(round % 2),
            WireFrame::new(0, bytes.clone()),
        )) {
            port.push(column)?;
        }
        port.run_idle()?;
        let last = port.received.pop();
        if last
            .as_ref()
            .is_none_or(|frame| frame.drop || frame.bytes != bytes)
        {
            return Err(port.mismatch(format!("good frame after noise: {last:?}")));
        }
        if let Some(frame) = port.received.iter().find(|frame| !frame.drop) {
            return Err(port.mismatch(format!("noise was delivered: {frame:?}")));
        }
        marked += port.received.len() as u64;
        port.received.clear();
    }
    let mut report = report(&port);
    report.add("frames of noise marked", marked);
    Ok(report)
}

/// Cycles that are left out while the receiver says that it is not busy change nothing.
fn idle_cycles_do_not_matter(options: &Options) -> Result<Report, Error> {
    let mut reports = vec![];
    let mut outcomes = vec![];
    for skip in [false, true] {
        let mut rng = rng(options, "idle");
        let mut port = RxPort::open(options, MAX_FRAME)?;
        port.keep = true;
        let mut at = 0;
        for _ in 0..500 {
            at += rng.random_range(0..1_000) * CYCLE_PS;
            port.send(WireFrame {
                at,
                ..random_frame(&mut rng)
            });
        }
        while !port.source.is_idle() {
            if skip && let Some(next) = port.source.next_at() {
                port.skip_to(next);
            }
            port.step()?;
        }
        port.run_idle()?;
        outcomes.push((port.stat(), std::mem::take(&mut port.received)));
        reports.push(report(&port));
        if outcomes[0] != outcomes[outcomes.len() - 1] {
            return Err(port.mismatch("leaving idle cycles out makes a difference".into()));
        }
    }
    let mut total = reports.swap_remove(0);
    let left_out = total.cycles - reports[0].cycles;
    total.cycles += reports[0].cycles;
    total.add("idle cycles left out", left_out);
    Ok(total)
}
