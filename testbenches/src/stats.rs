//! Testbench of `stats`: the vendor region of BAR0, read as a driver does while everything counts.

use crate::{Error, Options, Report, Testbench, block::stats as port, bundle::Access, dut::Dut};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// `stats` against plain counters.
pub const STATS: Testbench = Testbench {
    name: "stats",
    about: "counters beyond 32 bits, halves that fit, snapshots of one instant, MAC choices, reset",
    run,
};

/// Counters, as `nic_pkg::stat_e` lists them.
const COUNTERS: usize = 29;
const RX_BYTES: usize = 1;
const TX_BYTES: usize = 11;
/// The counters to which an amount is added, and its port and the most that it says.
const AMOUNTS: [(usize, usize, u64); 5] = [
    (RX_BYTES, port::RX_BYTES_I, 0x3fff),
    (TX_BYTES, port::TX_BYTES_I, 0x3fff),
    (15, port::RX_BUFFERS_I, 0xf),
    (16, port::TX_BUFFERS_I, 0xf),
    (12, port::TX_MALFORMED_I, 0xf),
];

/// The vendor region (`BAR_VENDOR`) and its registers.
const BASE: u16 = 0x6000;
const MAC_CTRL: u16 = BASE + 0x10;
const SNAPSHOT: u16 = BASE + 0x14;
const LIVE: u16 = BASE + 0x100;
const FROZEN: u16 = BASE + 0x500;
/// rx_pause, see `mac_ctrl_t`.
const MAC_CTRL_RESET: u64 = 0b010;
const PAIRS: u64 = 3;
/// Bytes of the host's bus.
const BUS: u64 = 128 / 8;

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    live: [u64; COUNTERS],
    frozen: [u64; COUNTERS],
    snapshots: u64,
    mac_ctrl: u64,
    /// Upper half of the counter whose lower half was read last.
    high: Option<u64>,
    /// How many events there are, and how large they are.
    rate: f64,
    large: bool,
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        live: [0; COUNTERS],
        frozen: [0; COUNTERS],
        snapshots: 0,
        mac_ctrl: MAC_CTRL_RESET,
        high: None,
        rate: 0.5,
        large: false,
        report: Report::default(),
    };
    for _ in 0..40 * options.effort {
        bench.rate = *[0.0, 0.02, 0.5, 1.0].choose(&mut bench.rng).unwrap_or(&0.5);
        bench.large = false;
        for _ in 0..500 {
            bench.visit()?;
        }
        if bench.rng.random_bool(0.2) {
            bench.reset()?;
        }
    }
    // Frames of the largest size until the bytes need a 33rd bit: halves are read all the while.
    bench.reset()?;
    (bench.rate, bench.large) = (1.0, true);
    while bench.live[RX_BYTES] >> 32 == 0 || bench.live[TX_BYTES] >> 32 == 0 {
        bench.read_counter(true)?;
    }
    for _ in 0..100 {
        bench.visit()?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    /// What a driver may do.
    fn visit(&mut self) -> Result<(), Error> {
        match self.rng.random_range(0..10) {
            which @ 0..2 => {
                let addr = [SNAPSHOT, MAC_CTRL][which];
                let data = self.rng.random();
                let strb = self.rng.random_range(1..16);
                self.cycle(Access::Write { addr, data, strb })?;
            }
            2 => {
                // Any word of the region, and of others, which are not for this block; read-only ones
                // may be written.
                let base = if self.rng.random_bool(0.8) {
                    BASE
                } else {
                    self.rng.random()
                } & 0xf000;
                let addr = base | self.rng.random_range(0..0x1000) & !3;
                if addr != SNAPSHOT && addr != MAC_CTRL && self.rng.random() {
                    let data = self.rng.random();
                    self.cycle(Access::Write {
                        addr,
                        data,
                        strb: 15,
                    })?;
                } else {
                    self.cycle(Access::Look(addr))?;
                }
            }
            3 => {
                let addr = BASE + 4 * self.rng.random_range(0..8);
                self.cycle(Access::Read(addr))?;
            }
            4..7 => self.read_counter(true)?,
            _ => self.read_counter(false)?,
        }
        Ok(())
    }

    /// Two halves, the lower first; what was counted between them does not matter.
    fn read_counter(&mut self, live: bool) -> Result<(), Error> {
        let index = if self.large {
            *[RX_BYTES, TX_BYTES]
                .choose(&mut self.rng)
                .unwrap_or(&RX_BYTES)
        } else {
            self.rng.random_range(0..COUNTERS)
        };
        let addr = if live { LIVE } else { FROZEN } + 8 * index as u16;
        let value = if live {
            self.live[index]
        } else {
            self.frozen[index]
        };
        let low = self.cycle(Access::Read(addr))?;
        for _ in 0..self.rng.random_range(0..20) {
            self.cycle(Access::Look(MAC_CTRL))?;
        }
        let high = self.cycle(Access::Read(addr + 4))?;
        let seen = high << 32 | low;
        self.dut.check(seen == value, || {
            format!("counter {index} (live: {live}) is {seen:#x} instead of {value:#x}")
        })?;
        self.report.add("counters", 1);
        let between = live && value >> 32 != self.live[index] >> 32;
        self.report
            .add("carries between two halves", between.into());
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.dut.reset()?;
        self.live = [0; COUNTERS];
        self.frozen = [0; COUNTERS];
        self.snapshots = 0;
        self.mac_ctrl = MAC_CTRL_RESET;
        self.high = None;
        self.report.add("resets", 1);
        Ok(())
    }

    /// What reads at `addr`; `None` when that is not known.
    fn expected(&self, addr: u16) -> Option<u64> {
        let counter = |base: u16, values: &[u64; COUNTERS]| {
            let place = usize::from(addr.checked_sub(base)?);
            let value = values.get(place / 8)?;
            Some((value & 0xffff_ffff, place % 8 == 4))
        };
        if let Some((low, upper)) = counter(FROZEN, &self.frozen).or(counter(LIVE, &self.live)) {
            return if upper { self.high } else { Some(low) };
        }
        Some(match addr {
            BASE => u64::from(u32::from_le_bytes(*b"WPTH")),
            0x6004 => 1, // version 0.1
            0x6008 => BUS << 16 | PAIRS,
            MAC_CTRL => self.mac_ctrl,
            SNAPSHOT => self.snapshots,
            _ => 0,
        })
    }

    /// One cycle with an access and some events; what the access reads.
    fn cycle(&mut self, access: Access) -> Result<u64, Error> {
        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::REQ_I] = access.word();
        i[port::QUEUE_PAIRS_I] = PAIRS;
        let mut add = [0; COUNTERS];
        for (index, add) in add.iter_mut().enumerate() {
            let bytes = index == RX_BYTES || index == TX_BYTES;
            if self.rng.random_bool(self.rate) && (bytes || !self.large) {
                i[port::COUNT_I] |= 1 << index;
                *add = 1;
            }
        }
        for (index, amount, most) in AMOUNTS {
            let least = if self.large { most } else { 0 };
            i[amount] = self.rng.random_range(least..=most);
            add[index] *= i[amount];
        }
        self.dut.step(&i, &mut o)?;

        let addr = match access {
            Access::Look(addr) | Access::Read(addr) | Access::Write { addr, .. } => addr,
        };
        let read = o[port::RDATA_O];
        let due = self.expected(addr);
        self.dut.check(due.is_none_or(|due| read == due), || {
            format!("{addr:#x} reads {read:#x} instead of {due:x?}")
        })?;
        let mac_ctrl = o[port::MAC_CTRL_O];
        self.dut.check(mac_ctrl == self.mac_ctrl, || {
            format!("mac_ctrl_o {mac_ctrl} instead of {}", self.mac_ctrl)
        })?;
        match access {
            Access::Write { addr: SNAPSHOT, .. } => {
                // What is counted in this very cycle is of none of the copies.
                self.frozen = self.live;
                self.snapshots += 1;
                let concurrent = i[port::COUNT_I].count_ones() > 1;
                self.report.add("snapshots", 1);
                self.report.add("snapshots amid events", concurrent.into());
            }
            Access::Write {
                addr: MAC_CTRL,
                data,
                strb,
            } if strb & 1 == 1 => {
                self.mac_ctrl = u64::from(data & 7);
            }
            Access::Read(addr) if addr % 8 == 0 => {
                for (base, values) in [(LIVE, &self.live), (FROZEN, &self.frozen)] {
                    let index = addr.checked_sub(base).map(|place| usize::from(place / 8));
                    if let Some(value) = index.and_then(|index| values.get(index)) {
                        self.high = Some(value >> 32);
                    }
                }
            }
            _ => {}
        }
        for (live, add) in self.live.iter_mut().zip(add) {
            *live += add;
        }
        Ok(read)
    }
}
