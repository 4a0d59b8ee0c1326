//! Flow control (IEEE 802.3 Annex 31B): what the receiver takes for PAUSE, and what the transmitter
//! does with it.

use super::{Dut, rng};
use crate::{
    Error, Options, Report,
    axis::{self, Beat, Collector},
    block::{mac_control_rx as rx, mac_pause_tx as tx},
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// 31B.1: the address of PAUSE.
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x01];
const STATION: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
/// Cycles of 64 bits in a quantum of 512.
const QUANTUM: u64 = 8;
/// Cycles from one XOFF to the next.
const REFRESH: u64 = 65_535 * QUANTUM / 2;

fn station() -> u64 {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&STATION);
    u64::from_le_bytes(bytes)
}

/// What a received frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Pause(u16),
    Other,
}

/// A frame as the MAC delivers it, and what a receiver that honours PAUSE makes of it when it is good.
fn frame(rng: &mut ChaCha8Rng) -> (Vec<u8>, Kind) {
    let mut bytes = vec![0; rng.random_range(60..200)];
    rng.fill_bytes(&mut bytes);
    let quanta: u16 = rng.random();
    let to = match rng.random_range(0..4) {
        0 => STATION,
        1 => rng.random(),
        _ => PAUSE_ADDRESS,
    };
    let ether_type: u16 = [0x8808, 0x8808, 0x8808, 0x0888, 0x8809][rng.random_range(0..5)];
    let opcode: u16 = [1, 1, 1, 0x0101, 0, 0x0100][rng.random_range(0..6)];
    bytes[..6].copy_from_slice(&to);
    bytes[12..14].copy_from_slice(&ether_type.to_be_bytes());
    bytes[14..16].copy_from_slice(&opcode.to_be_bytes());
    bytes[16..18].copy_from_slice(&quanta.to_be_bytes());
    let for_us = to == STATION || to == PAUSE_ADDRESS;
    let kind = match (ether_type, opcode) {
        (0x8808, 1) if for_us => Kind::Pause(quanta),
        (0x8808, _) => Kind::Other,
        _ => Kind::Data,
    };
    (bytes, kind)
}

pub(super) fn run_rx(options: &Options) -> Result<Report, Error> {
    let mut dut = Dut::open(rx::NAME, options)?;
    let mut rng = rng(options, "mac_control_rx");
    let mut report = Report::default();
    let (mut i, mut o) = (rx::inputs(), rx::outputs());
    i[rx::STATION_I] = station();
    for _ in 0..3000 * options.effort {
        let (mut bytes, kind) = frame(&mut rng);
        let enable = rng.random_ratio(4, 5);
        let bad = rng.random_ratio(1, 5);
        if bad && rng.random() {
            bytes.truncate(rng.random_range(1..60)); // a runt, or what was cut at an error
        }
        i[rx::ENABLE_I] = enable.into();
        let mut dropped = false;
        for beat in axis::beats(&bytes, &mut rng) {
            while rng.random_ratio(1, 10) {
                i[rx::S_AXIS_TVALID_I] = 0;
                dut.step(&i, &mut o)?;
            }
            i[rx::S_AXIS_TVALID_I] = 1;
            i[rx::S_AXIS_TDATA_I] = beat.data;
            i[rx::S_AXIS_TLAST_I] = beat.last.into();
            i[rx::S_AXIS_TUSER_I] = (beat.last && bad).into();
            dut.step(&i, &mut o)?;
            if o[rx::PAUSE_O] | o[rx::OTHER_O] != 0 {
                return Err(dut.mismatch("a pulse within a frame"));
            }
            dropped = beat.last && o[rx::DROP_O] == 1;
        }
        i[rx::S_AXIS_TVALID_I] = 0;
        dut.step(&i, &mut o)?;
        let seen = match (o[rx::PAUSE_O], o[rx::OTHER_O]) {
            (1, 0) => Kind::Pause(o[rx::QUANTA_O] as u16),
            (0, 1) => Kind::Other,
            _ => Kind::Data,
        };
        if o[rx::BUSY_O] != u64::from(seen != Kind::Data) {
            return Err(dut.mismatch("busy_o does not go with the pulses"));
        }
        let expected = if enable && !bad { kind } else { Kind::Data };
        // A bad frame is dropped anyway.
        if seen != expected || (!bad && dropped != (expected != Kind::Data)) {
            let text = format!("{seen:?}, dropped {dropped}, instead of {expected:?}");
            return Err(dut.mismatch(text));
        }
        dut.step(&i, &mut o)?;
        report.add(
            match expected {
                Kind::Pause(_) => "PAUSE",
                Kind::Other => "other control frames",
                Kind::Data if bad => "bad frames",
                Kind::Data => "data",
            },
            1,
        );
    }
    report.cycles = dut.block.cycle();
    Ok(report)
}

/// `mac_pause_tx` between a source of frames and a MAC that takes beats now and then.
struct Sender {
    dut: Dut,
    rng: ChaCha8Rng,
    report: Report,
    /// What cycle_i says.
    cycle: u64,
    source: VecDeque<Beat>,
    offered: bool,
    sent: VecDeque<Vec<u8>>,
    collector: Collector,
    /// A beat was on the output and not taken.
    stalled: Option<Beat>,
    /// No frame may begin before.
    until: u64,
    xoff: bool,
    /// `xoff` a cycle ago, which is what the block acts on.
    seen: bool,
    /// What the last PAUSE said, and when it began.
    told: Option<(bool, u64)>,
    /// Cycles for which a frame could have begun, or xoff was not told.
    late: u64,
    stall: f64,
    /// The last beat of a PAUSE was taken in the cycle before.
    counts: bool,
}

pub(super) fn run_tx(options: &Options) -> Result<Report, Error> {
    let mut bench = Sender {
        dut: Dut::open(tx::NAME, options)?,
        rng: rng(options, "mac_pause_tx"),
        report: Report::default(),
        cycle: 1000,
        source: VecDeque::new(),
        offered: false,
        sent: VecDeque::new(),
        collector: Collector::default(),
        stalled: None,
        until: 0,
        xoff: false,
        seen: false,
        told: None,
        late: 0,
        stall: 0.0,
        counts: false,
    };
    for round in 0..40 * options.effort {
        bench.stall = [0.0, 0.3, 0.7][round as usize % 3];
        for _ in 0..1500 {
            let pause = bench.rng.random_ratio(1, 150);
            let quanta = match bench.rng.random_range(0..4) {
                0 => 0,
                1 => bench.rng.random_range(1..200),
                _ => bench.rng.random_range(1..20),
            };
            if bench.rng.random_ratio(1, 300) {
                bench.xoff = !bench.xoff;
            }
            bench.cycle(pause.then_some(quanta))?;
        }
        bench.xoff = false;
        bench.settle()?;
    }
    bench.refresh()?;
    bench.longest()?;
    bench.report.cycles = bench.dut.block.cycle();
    Ok(bench.report)
}

impl Sender {
    /// XOFF comes again in time, also when nothing else happens.
    fn refresh(&mut self) -> Result<(), Error> {
        self.stall = 0.0;
        self.xoff = true;
        let from = self.cycle;
        let before = self.report.count("XOFF again");
        while self.cycle < from + 5 * REFRESH {
            // The block is busy; steps of cycle_i only save time.
            self.cycle += self.rng.random_range(0..1000);
            self.cycle(None)?;
        }
        let again = self.report.count("XOFF again") - before;
        if !(4..=5).contains(&again) {
            return Err(self.dut.mismatch(format!("{again} times XOFF again")));
        }
        self.xoff = false;
        self.settle()
    }

    /// The longest pause, over which the clock may stand.
    fn longest(&mut self) -> Result<(), Error> {
        self.settle()?;
        let from = self.cycle;
        self.cycle(Some(0xffff))?;
        for step in [1, 100_000, 400_000, 24_000] {
            self.cycle += step;
            self.cycle(None)?;
        }
        while self.sent.is_empty() {
            self.cycle(None)?;
        }
        while !self.sent.is_empty() {
            self.cycle(None)?;
        }
        if self.cycle < from + 65_535 * QUANTUM {
            return Err(self.dut.mismatch("a frame in the longest pause"));
        }
        Ok(())
    }

    /// Until all is sent.
    fn settle(&mut self) -> Result<(), Error> {
        let limit = self.dut.block.cycle() + 20_000;
        while self.told.is_some_and(|(xoff, _)| xoff) || !self.sent.is_empty() {
            self.cycle(None)?;
            if self.dut.block.cycle() > limit {
                return Err(self.dut.mismatch("stuck"));
            }
        }
        Ok(())
    }

    fn cycle(&mut self, pause: Option<u16>) -> Result<(), Error> {
        if self.source.is_empty() && self.rng.random_ratio(1, 10) {
            let mut bytes = vec![0; self.rng.random_range(17..120)];
            self.rng.fill_bytes(&mut bytes);
            bytes[12] = 0x08;
            self.source.extend(axis::beats(&bytes, &mut self.rng));
            self.sent.push_back(bytes);
        }
        let inside = self.collector.inside();
        self.offered = !self.source.is_empty();
        let ready = !self.rng.random_bool(self.stall);
        let (mut i, mut o) = (tx::inputs(), tx::outputs());
        i[tx::CYCLE_I] = self.cycle;
        i[tx::STATION_I] = station();
        i[tx::PAUSE_I] = pause.is_some().into();
        i[tx::QUANTA_I] = pause.unwrap_or_default().into();
        i[tx::XOFF_I] = self.xoff.into();
        i[tx::M_AXIS_TREADY_I] = ready.into();
        if let Some(beat) = self.source.front() {
            i[tx::S_AXIS_TVALID_I] = 1;
            i[tx::S_AXIS_TDATA_I] = beat.data;
            i[tx::S_AXIS_TKEEP_I] = beat.keep.into();
            i[tx::S_AXIS_TLAST_I] = beat.last.into();
        }
        self.dut.step(&i, &mut o)?;
        let counts = std::mem::take(&mut self.counts);
        if (o[tx::SENT_O] == 1) != counts {
            let text = format!("sent_o is {}, expected {counts}", o[tx::SENT_O]);
            return Err(self.dut.mismatch(text));
        }
        let beat = (o[tx::M_AXIS_TVALID_O] == 1).then(|| Beat {
            data: o[tx::M_AXIS_TDATA_O],
            keep: o[tx::M_AXIS_TKEEP_O] as u8,
            last: o[tx::M_AXIS_TLAST_O] == 1,
        });
        if self.stalled.is_some() && beat != self.stalled {
            return Err(self.dut.mismatch("a beat was taken back"));
        }
        if inside && beat.is_none() {
            return Err(self.dut.mismatch("a gap inside a frame"));
        }
        // A frame begins when its first beat is on the output for the first time.
        let begins = !inside && self.stalled.is_none();
        let own = beat.is_some_and(|b| b.data as u32 == u32::from_le_bytes([1, 0x80, 0xc2, 0]));
        let may = self.offered && self.cycle >= self.until;
        if begins && beat.is_some() && !own && !may {
            let text = format!("a frame begins at {} of {}", self.cycle, self.until);
            return Err(self.dut.mismatch(text));
        }
        let due = self.told.is_some_and(|(told, _)| told) != self.seen;
        if begins && beat.is_none() && (may || due) {
            self.late += 1;
            if self.late > 1 {
                return Err(self.dut.mismatch("nothing begins"));
            }
        } else {
            self.late = 0;
        }
        if begins && own {
            self.told(&o, self.seen)?;
        }
        if o[tx::S_AXIS_TREADY_O] == 1 && self.offered {
            self.source.pop_front();
        }
        self.stalled = beat.filter(|_| !ready);
        if let Some(beat) = beat.filter(|_| ready) {
            let frame = self.collector.push(beat);
            let frame = frame.map_err(|message| self.dut.mismatch(message))?;
            if let Some(frame) = frame {
                self.ended(&frame)?;
            }
        }
        if let Some(quanta) = pause {
            self.until = self.cycle + QUANTUM * u64::from(quanta);
            self.report.add("pauses", 1);
        }
        self.seen = self.xoff;
        self.cycle += 1;
        Ok(())
    }

    /// A PAUSE begins.
    fn told(&mut self, o: &[u64], xoff: bool) -> Result<(), Error> {
        if o[tx::BUSY_O] == 0 {
            return Err(self.dut.mismatch("a PAUSE without busy_o"));
        }
        match self.told {
            Some((true, at)) if xoff => {
                let after = self.cycle - at;
                // The longest frame of ours, 15 beats, may be in between; cycle_i makes steps of 1000.
                if !(REFRESH..REFRESH + 18_000).contains(&after) {
                    let text = format!("XOFF again after {after} cycles");
                    return Err(self.dut.mismatch(text));
                }
                self.report.add("XOFF again", 1);
            }
            Some((true, _)) => self.report.add("XON", 1),
            _ if xoff => self.report.add("XOFF", 1),
            _ => return Err(self.dut.mismatch("XON that nobody needs")),
        }
        self.told = Some((xoff, self.cycle));
        Ok(())
    }

    fn ended(&mut self, frame: &[u8]) -> Result<(), Error> {
        if frame[..6] == PAUSE_ADDRESS {
            let xoff = self.told.is_some_and(|(xoff, _)| xoff);
            let time = if xoff { [0xff; 2] } else { [0; 2] };
            let expected = [&PAUSE_ADDRESS[..], &STATION, &[0x88, 0x08, 0, 1], &time].concat();
            if frame != expected {
                return Err(self.dut.mismatch(format!("PAUSE {frame:x?}")));
            }
            self.counts = true;
            return Ok(());
        }
        self.report.add("frames", 1);
        match self.sent.pop_front() {
            Some(sent) if sent == frame => Ok(()),
            _ => Err(self.dut.mismatch("a frame that was not sent")),
        }
    }
}
