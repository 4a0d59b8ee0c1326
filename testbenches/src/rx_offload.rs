//! `rx_offload`: hash, queue and filter of each frame against references written from the
//! specification; the published Toeplitz vectors; tables that change while frames come.

mod pins;
mod stimulus;

pub(crate) use stimulus::noise;

use crate::{
    Error, Options, Report, Testbench,
    axis::{self, Beat},
    block::rx_offload as port,
    dut::Dut,
    flow,
    frames::{self, Shape},
    inet,
};
use hwmodel::rss_vectors;
use pins::{Config, Meta, Write};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeSet, VecDeque};

/// Receive parser, Toeplitz hash, steering and filter.
pub const RX_OFFLOAD: Testbench = Testbench {
    name: "rx_offload",
    about: "RSS hash, indirection, receive modes, address and VLAN table against the specification",
    run,
};

/// Cycles from a beat in to the same beat out, as the block's contract says.
const LATENCY: u64 = 8;
/// Addresses of each kind in the table.
const ADDRESSES: usize = 32;
const BROADCAST: u64 = 0xffff_ffff_ffff;

/// What a frame is expected to become.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    user: bool,
    filtered: bool,
    meta: Meta,
}

struct Expected {
    cycle: u64,
    beat: Beat,
    verdict: Verdict,
}

/// What the control queue has set, as the specification has it.
#[derive(Debug, Clone)]
struct State {
    config: Config,
    filter_rx: bool,
    filter_vlan: bool,
    flow: bool,
    key: [u8; 40],
    table: [u64; 128],
    /// Unicast and multicast; the first octet in bits 7:0.
    listed: [Vec<u64>; 2],
    all: [bool; 2],
    vlans: BTreeSet<u64>,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    state: State,
    expected: VecDeque<Expected>,
    /// To be written while frames come.
    writes: VecDeque<Write>,
    /// Cycle of the next one.
    next_write: u64,
    gap: f64,
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        state: State {
            config: Config::default(),
            filter_rx: false,
            filter_vlan: false,
            flow: false,
            key: [0; 40],
            table: [0; 128],
            listed: [vec![], vec![]],
            all: [false; 2],
            vlans: BTreeSet::new(),
        },
        expected: VecDeque::new(),
        writes: VecDeque::new(),
        next_write: 0,
        gap: 0.0,
        report: Report::default(),
    };
    bench.published_vectors()?;
    for round in 0..60 * options.effort {
        bench.gap = [0.0, 0.3, 0.8][round as usize % 3];
        bench.configure(round % 8 == 0)?;
        for _ in 0..150 {
            bench.any_frame()?;
        }
        bench.drain()?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    fn published_vectors(&mut self) -> Result<(), Error> {
        self.state.flow = true;
        self.state.key = rss_vectors::KEY;
        for (destination, source, addresses, ports) in rss_vectors::VECTORS {
            let (destination, source) = (parse(destination), parse(source));
            let frame = stimulus::tcp(source, destination, &mut self.rng);
            let base = if source.is_ipv6() { 4 } else { 1 };
            for (types, hash, report) in [
                (0x1ff, ports, base + 1),
                (0b1001, addresses, base),
                (0b100_100, 0, 0), // UDP only
            ] {
                self.state.config.hash_types = types;
                let mut verdict = self.verdict(&frame, false);
                if (verdict.meta.hash, verdict.meta.report) != (hash, report) {
                    return Err(self.mismatch("the reference misses a published vector".into()));
                }
                verdict.meta.hash = hash;
                let mut padded = frame.clone();
                padded.resize(60, 0);
                self.send(&padded, verdict, false)?;
                self.drain()?;
                self.report.add("published vectors", 1);
            }
        }
        Ok(())
    }

    /// Another configuration; with `clear` after a device reset.
    fn configure(&mut self, clear: bool) -> Result<(), Error> {
        let rng = &mut self.rng;
        let state = &mut self.state;
        state.filter_rx = rng.random_ratio(2, 3);
        state.filter_vlan = rng.random();
        state.flow = rng.random_ratio(3, 4);
        rng.fill_bytes(&mut state.key);
        state.config = Config {
            promisc: rng.random_ratio(1, 6),
            allmulti: rng.random_ratio(1, 6),
            mac: unicast(rng.next_u64()),
            pairs: rng.random_range(1..=8),
            steer: rng.random(),
            hash_types: if rng.random() {
                0x1ff
            } else {
                rng.random_range(0..0x200)
            },
            mask: (1 << rng.random_range(0..8)) - 1,
            default_pair: rng.random_range(0..8),
        };
        if clear {
            state.listed = [vec![], vec![]];
            state.all = [false; 2];
            state.vlans.clear();
        } else {
            for (entry, pair) in state.table.iter_mut().enumerate() {
                *pair = rng.random_range(0..8);
                self.writes.push_back(Write::Rss(entry, *pair));
            }
            for kind in 0..2 {
                let count = [0, 1, 5, ADDRESSES][rng.random_range(0..4)];
                let address = |_| match kind {
                    0 => unicast(rng.next_u64()),
                    _ => multicast(rng.next_u64()),
                };
                state.listed[kind] = (0..count).map(address).collect();
                state.all[kind] = rng.random_ratio(1, 8);
                for (index, address) in state.listed[kind].iter().enumerate() {
                    let entry = ADDRESSES * kind + index;
                    self.writes.push_back(Write::Mac(entry, *address));
                }
            }
            let counts = [state.listed[0].len(), state.listed[1].len()];
            self.writes.push_back(Write::MacSet(counts, state.all));
            for _ in 0..rng.random_range(0..200) {
                let (id, on) = (rng.random_range(0..4096), rng.random_ratio(2, 3));
                self.writes.push_back(Write::Vlan(id, on));
                if on {
                    state.vlans.insert(id);
                } else {
                    state.vlans.remove(&id);
                }
            }
        }
        self.cycle(None, clear)?;
        while !self.writes.is_empty() {
            self.cycle(None, false)?;
        }
        self.idle(10)
    }

    fn any_frame(&mut self) -> Result<(), Error> {
        let (what, mut bytes) = match self.rng.random_range(0..10) {
            0..=3 => {
                let mut shape = Shape::random(&mut self.rng, 200);
                shape.fragment = self.rng.random_ratio(1, 5);
                ("frames", frames::build(&shape, &mut self.rng).bytes)
            }
            4..=7 => ("extension chains", stimulus::chain(&mut self.rng)),
            _ => ("noise", stimulus::noise(&mut self.rng)),
        };
        self.report.add(what, 1);
        let to = self.destination();
        bytes[..6].copy_from_slice(&to.to_le_bytes()[..6]);
        self.retag(&mut bytes);
        if self.rng.random_ratio(1, 6) {
            // Cut anywhere behind what a receiver lets in; beyond that garbage is on the bus.
            let least = bytes.len().min(60);
            bytes.truncate(self.rng.random_range(least..=bytes.len()));
            self.report.add("truncated", 1);
        }
        while bytes.len() < 60 {
            bytes.push(self.rng.random());
        }
        // A frame below the minimum is the MAC's to drop.
        let runt = self.rng.random_ratio(1, 12);
        if runt {
            bytes.truncate(self.rng.random_range(1..60));
        }
        let user = runt || self.rng.random_ratio(1, 10);
        let verdict = self.verdict(&bytes, user);
        if self.rng.random_ratio(1, 3) && self.writes.is_empty() {
            // Even VLAN IDs change while frames have odd ones.
            let id = 2 * self.rng.random_range(0..2048);
            let on = self.rng.random();
            self.writes.push_back(Write::Vlan(id, on));
            if on {
                self.state.vlans.insert(id);
            } else {
                self.state.vlans.remove(&id);
            }
            self.report.add("VLAN changes under traffic", 1);
        }
        self.send(&bytes, verdict, runt)
    }

    fn destination(&mut self) -> u64 {
        let listed = self.state.listed.concat();
        match self.rng.random_range(0..8) {
            0 | 1 => self.state.config.mac,
            2 => BROADCAST,
            3 => unicast(self.rng.next_u64()),
            4 => multicast(self.rng.next_u64()),
            case if !listed.is_empty() => {
                let address = listed[self.rng.random_range(0..listed.len())];
                // Not quite one.
                let off = 1 << self.rng.random_range(0..48);
                address ^ if case == 5 { off } else { 0 }
            }
            _ => self.state.config.mac ^ 1 << self.rng.random_range(0..48),
        }
    }

    /// Odd VLAN IDs, half of them listed.
    fn retag(&mut self, bytes: &mut [u8]) {
        if flow::vlan(bytes).is_none() {
            return;
        }
        let listed: Vec<u64> = self
            .state
            .vlans
            .iter()
            .filter(|id| *id % 2 == 1)
            .copied()
            .collect();
        let id = if listed.is_empty() || self.rng.random() {
            self.rng.random_range(0..2048) * 2 + 1
        } else {
            listed[self.rng.random_range(0..listed.len())]
        };
        let tci = self.rng.random_range(0..16u16) << 12 | id as u16;
        bytes[14..16].copy_from_slice(&tci.to_be_bytes());
    }

    /// By the specification.
    fn verdict(&self, bytes: &[u8], user: bool) -> Verdict {
        let state = &self.state;
        let hash = flow::hash(bytes, &state.key, state.config.hash_types).filter(|_| state.flow);
        let pair = match hash {
            _ if !state.flow => 0,
            _ if !state.config.steer => flow::spread(bytes, state.config.pairs),
            Some((hash, _)) => state.table[(hash & state.config.mask) as usize] as u32,
            None => state.config.default_pair,
        };
        let unwanted = bytes.len() >= 60 && !self.wanted(bytes);
        Verdict {
            user: user || unwanted,
            filtered: !user && unwanted,
            meta: Meta {
                csum_valid: inet::transport_verified(bytes),
                pair,
                report: hash.map_or(0, |(_, report)| report),
                hash: hash.map_or(0, |(hash, _)| hash),
            },
        }
    }

    /// 5.1.6.5.1 to 5.1.6.5.3.
    fn wanted(&self, bytes: &[u8]) -> bool {
        let state = &self.state;
        let foreign = flow::vlan(bytes).is_some_and(|id| !state.vlans.contains(&(id as u64)));
        if state.config.promisc {
            return true;
        }
        if state.filter_vlan && foreign {
            return false;
        }
        if !state.filter_rx {
            return true;
        }
        let mut lanes = [0; 8];
        lanes[..6].copy_from_slice(&bytes[..6]);
        let to = u64::from_le_bytes(lanes);
        let group = usize::from(bytes[0] & 1);
        let listed = state.all[group] || state.listed[group].contains(&to);
        listed || to == state.config.mac || to == BROADCAST || group == 1 && state.config.allmulti
    }

    fn send(&mut self, frame: &[u8], verdict: Verdict, runt: bool) -> Result<(), Error> {
        let beats = axis::beats(frame, &mut self.rng);
        for beat in beats {
            self.cycle(Some((beat, verdict)), false)?;
            while self.gap > 0.0 && self.rng.random_bool(self.gap) {
                self.idle(1)?;
            }
        }
        self.report.add("hashed", (verdict.meta.report != 0).into());
        if verdict.meta.report >= 7 {
            self.report.add("hashed with extension headers", 1);
            let mobile = flow::flow(frame).is_some_and(|f| f.mobile.iter().any(Option::is_some));
            self.report.add("mobile addresses", mobile.into());
        }
        self.report.add("filtered", verdict.filtered.into());
        self.report.add(
            "let in by a filter",
            (!runt && !verdict.user && self.state.filter_rx).into(),
        );
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Error> {
        self.idle(LATENCY + 10)
    }

    fn idle(&mut self, cycles: u64) -> Result<(), Error> {
        (0..cycles).try_for_each(|_| self.cycle(None, false))
    }

    fn cycle(&mut self, beat: Option<(Beat, Verdict)>, clear: bool) -> Result<(), Error> {
        let cycle = self.dut.cycle();
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        let state = &self.state;
        i[port::FILTER_RX_I] = state.filter_rx.into();
        i[port::FILTER_VLAN_I] = state.filter_vlan.into();
        i[port::FLOW_I] = state.flow.into();
        i[port::CLEAR_I] = clear.into();
        state.config.pack(&mut i[port::CFG_I..port::CFG_I + 4]);
        for (index, bytes) in state.key.as_chunks::<8>().0.iter().enumerate() {
            i[port::RSS_KEY_I + index] = u64::from_le_bytes(*bytes);
        }
        if cycle >= self.next_write
            && let Some(write) = self.writes.pop_front()
        {
            write.pack(&mut i[port::WRITE_I..port::WRITE_I + 2]);
            let gap = if matches!(write, Write::Vlan(..)) {
                8
            } else {
                1
            };
            self.next_write = cycle + gap;
        }
        // Without tvalid the other signals are anything.
        i[port::S_AXIS_TDATA_I] = self.rng.next_u64();
        i[port::S_AXIS_TLAST_I] = 1;
        if let Some((beat, verdict)) = beat {
            i[port::S_AXIS_TVALID_I] = 1;
            i[port::S_AXIS_TDATA_I] = beat.data;
            i[port::S_AXIS_TKEEP_I] = beat.keep.into();
            i[port::S_AXIS_TLAST_I] = beat.last.into();
            // What the MAC says, without the filter.
            i[port::S_AXIS_TUSER_I] = (beat.last && verdict.user && !verdict.filtered).into();
        }
        let written = i[port::WRITE_I..port::WRITE_I + 2] != [0; 2];
        self.dut.step(&i, &mut o)?;

        let busy = !self.expected.is_empty() || clear || written;
        if busy && o[port::BUSY_O] == 0 {
            return Err(self.mismatch("busy_o is 0 with something to do".into()));
        }
        let due = self
            .expected
            .front()
            .is_some_and(|e| e.cycle + LATENCY == cycle);
        if (o[port::M_AXIS_TVALID_O] == 1) != due {
            return Err(self.mismatch(format!("tvalid {}", o[port::M_AXIS_TVALID_O])));
        }
        if let Some(expected) = due.then(|| self.expected.pop_front()).flatten() {
            self.compare(&o, &expected)?;
        } else if o[port::FILTERED_O] == 1 {
            return Err(self.mismatch("filtered_o without a frame".into()));
        }
        if let Some((beat, verdict)) = beat {
            self.expected.push_back(Expected {
                cycle,
                beat,
                verdict,
            });
        }
        Ok(())
    }

    fn compare(&self, o: &[u64], expected: &Expected) -> Result<(), Error> {
        let Expected { beat, verdict, .. } = expected;
        let mask = u64::MAX >> (64 - 8 * beat.keep.count_ones());
        let last = o[port::M_AXIS_TLAST_O] == 1;
        if o[port::M_AXIS_TDATA_O] & mask != beat.data & mask || last != beat.last {
            return Err(self.mismatch(format!("{o:x?} instead of {beat:x?}")));
        }
        if !last {
            return Ok(());
        }
        let meta = Meta::unpack(o[port::META_O]);
        let got = (o[port::M_AXIS_TUSER_O] == 1, o[port::FILTERED_O] == 1, meta);
        if got != (verdict.user, verdict.filtered, verdict.meta) {
            return Err(self.mismatch(format!(
                "user, filtered, meta {got:x?} instead of {verdict:x?}; {:x?}",
                self.state.config
            )));
        }
        Ok(())
    }

    fn mismatch(&self, message: String) -> Error {
        self.dut.mismatch(message)
    }
}

fn unicast(random: u64) -> u64 {
    random & 0xffff_ffff_fffe
}

fn multicast(random: u64) -> u64 {
    random & 0xffff_ffff_ffff | 1
}

fn parse(address: &str) -> std::net::SocketAddr {
    address.parse().expect("an address and a port")
}
