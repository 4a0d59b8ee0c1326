use super::{LONGEST, SHORTEST, TxPort, random_bytes, rng, run_parts};
use crate::{Error, Options, Report};
use hwmodel::xgmii::{GAP, MAX_DEFICIT, OCTET_PS, WireError};
use rand::{RngExt, seq::SliceRandom};

/// All parts.
pub fn run(options: &Options) -> Result<Report, Error> {
    run_parts(
        options,
        &[
            every_length,
            random_pauses,
            line_rate,
            underrun,
            seeded_bugs_are_found,
            idle_cycles_do_not_matter,
        ],
    )
}

fn report(port: &TxPort) -> Report {
    let mut report = Report {
        cycles: port.cycles(),
        ..Report::default()
    };
    let stat = port.stat();
    report.add("frames sent", stat.sent);
    report.add("underruns", stat.underrun);
    report
}

/// The frame's time on the wire with preamble, FCS and gap, octets.
fn slot(len: usize) -> u64 {
    8 + len.max(SHORTEST) as u64 + 4 + GAP
}

/// Every length, in random order, back to back.
fn every_length(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "every length");
    let mut port = TxPort::open(options)?;
    let mut lengths: Vec<usize> = (1..=LONGEST).collect();
    lengths.shuffle(&mut rng);
    for len in lengths {
        port.send(random_bytes(&mut rng, len));
        while port.pending() > 1 {
            port.step(true)?;
        }
        port.sent.clear();
    }
    port.finish()?;
    Ok(report(&port))
}

/// Frames that come when they like, so that starts fall into every state of gap and deficit.
fn random_pauses(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "pauses");
    let mut port = TxPort::open(options)?;
    for _ in 0..5_000 * options.effort {
        let len = rng.random_range(1..=140);
        port.send(random_bytes(&mut rng, len));
        let begin = [1.0, 0.9, 0.5, 0.1][rng.random_range(0..4)];
        while port.pending() > 0 {
            port.step(rng.random_bool(begin))?;
        }
    }
    port.finish()?;
    Ok(report(&port))
}

/// Frames that wait for each other: every start is where the sum of lengths and gaps of 12 says, at
/// most the deficit early, so that the rate is the theoretical one for every length.
fn line_rate(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "rate");
    let mut total = Report::default();
    let mut mixed: Vec<usize> = (0..2_000).map(|_| rng.random_range(1..=200)).collect();
    mixed.extend([LONGEST; 3]);
    for lengths in (60..=68).map(|len| vec![len; 1_000]).chain([mixed]) {
        let mut port = TxPort::open(options)?;
        for &len in &lengths {
            port.send(random_bytes(&mut rng, len));
        }
        port.finish()?;
        let first = port.sent[0].at;
        let mut theory = 0_u64;
        for (frame, &len) in port.sent.iter().zip(&lengths) {
            let real = (frame.at - first) / OCTET_PS;
            if !(theory.saturating_sub(MAX_DEFICIT)..=theory).contains(&real) {
                return Err(port.mismatch(format!(
                    "frame of {len} bytes started {real} octets after the first, not {theory}"
                )));
            }
            theory += slot(len);
        }
        // Gaps of 9 to 15 are what the sink lets pass; a constant length shows its pattern.
        let mut gaps: Vec<u64> = port
            .sent
            .windows(2)
            .map(|pair| (pair[1].at - pair[0].end) / OCTET_PS)
            .collect();
        gaps.sort_unstable();
        gaps.dedup();
        if gaps.iter().any(|gap| !(9..=15).contains(gap)) {
            return Err(port.mismatch(format!("gaps {gaps:?} after frames of {lengths:?} bytes")));
        }
        if lengths[0] == 60 && lengths[1] == 60 {
            let last = port.sent.len() - 1;
            let time = port.sent[last].at - first;
            let rate = (last as u64) * 1_000_000_000_000 / time;
            total.add("frames/s of 64 bytes at line rate", rate);
        }
        total.merge(&report(&port));
    }
    Ok(total)
}

/// A stream that pauses inside a frame: error characters on the wire, counted, and the frames
/// around it are whole.
fn underrun(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "underrun");
    let mut port = TxPort::open(options)?;
    port.tolerant = true;
    let cut = 500 * options.effort;
    for _ in 0..cut {
        let len: usize = rng.random_range(9..=200);
        let beat = rng.random_range(1..len.div_ceil(8));
        let hole = rng.random_range(1..20);
        port.send_with_hole(random_bytes(&mut rng, len), beat, hole);
        let len = rng.random_range(1..=200);
        port.send(random_bytes(&mut rng, len));
    }
    port.finish()?;
    let expected = port
        .objections
        .iter()
        .filter(|error| matches!(error, WireError::Control { octet: 0xfe, .. }))
        .count();
    if expected != cut as usize || port.objections.len() != expected {
        return Err(port.mismatch(format!(
            "{cut} frames cut, objections of the wire: {:?}",
            port.objections
        )));
    }
    Ok(report(&port))
}

/// The checker checks: a single flipped bit in any column, idle or not, is found.
fn seeded_bugs_are_found(options: &Options) -> Result<Report, Error> {
    let mut rng = rng(options, "bugs");
    let mut port = TxPort::open(options)?;
    let bugs = 300 * options.effort;
    for _ in 0..bugs {
        for _ in 0..2 {
            let len = rng.random_range(1..=140);
            port.send(random_bytes(&mut rng, len));
        }
        let bit = rng.random_range(0..72);
        let flip_at = rng.random_range(1..30);
        let mut found = false;
        for cycle in 0..60 {
            if cycle == flip_at {
                port.flip = if bit < 64 {
                    (1 << bit, 0)
                } else {
                    (0, 1 << (bit - 64))
                };
            }
            found |= port.step(true).is_err();
        }
        let lost = port.forget();
        if !found && lost == 0 {
            return Err(port.mismatch(format!("bit {bit} flipped in cycle {flip_at}: not found")));
        }
    }
    let mut report = report(&port);
    report.add("seeded bugs found", bugs.into());
    Ok(report)
}

/// Cycles that are left out while the transmitter says that it is not busy change nothing.
fn idle_cycles_do_not_matter(options: &Options) -> Result<Report, Error> {
    let mut outcomes = vec![];
    let mut total = Report::default();
    for skip in [false, true] {
        let mut rng = rng(options, "idle");
        let mut port = TxPort::open(options)?;
        for _ in 0..500 {
            for _ in 0..rng.random_range(1..4) {
                let len = rng.random_range(1..=140);
                port.send(random_bytes(&mut rng, len));
            }
            port.run_idle()?;
            let pause = rng.random_range(0..100);
            if !(skip && port.skip(pause)) {
                for _ in 0..pause {
                    port.step(true)?;
                }
            }
        }
        port.finish()?;
        outcomes.push(std::mem::take(&mut port.sent));
        total.merge(&report(&port));
        if outcomes[0] != outcomes[outcomes.len() - 1] {
            return Err(port.mismatch("leaving idle cycles out makes a difference".into()));
        }
    }
    Ok(total)
}
