//! Testbench of the transmit DMA: chains of descriptors in, the bytes of their buffers out as packets.

use crate::{
    Error, Options, Report, Testbench,
    axis::{Beat, Collector},
    block::{tx_dma as port, tx_dma_64},
    dut::Dut,
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// `tx_dma` between a virtqueue, a memory and a stream that all take their time.
pub const TX_DMA: Testbench = Testbench {
    name: "tx_dma",
    about: "buffers of any place and length as packets, used chains, bursts, too long ones, disable; no cycle lost",
    run,
};

/// The ports but `r_data_i`, which is last, are at the same places for all widths.
const _: () = assert!(port::R_DATA_I == tx_dma_64::R_DATA_I);

/// A longer chain is no frame.
const MOST: u32 = 131_071;
/// Beats of a burst at the most; a burst ends where this many, aligned, do (AMBA AXI A3.4.1).
const BURST: u64 = 16;
/// Nothing happened for so many cycles: something is lost.
const STUCK: u64 = 5000;

/// `vq_desc_t`, as far as it is looked at.
#[derive(Debug, Clone, Copy)]
struct Desc {
    addr: u64,
    len: u32,
    id: u16,
    next: bool,
    inner: bool,
}

/// What must come of a chain.
#[derive(Debug)]
struct Chain {
    bytes: Vec<u8>,
    bad: bool,
    id: u16,
    ndesc: u16,
}

/// How busy everything is for a while.
#[derive(Debug, Clone, Copy)]
struct Mood {
    offer: f64,
    read: f64,
    latency: u64,
    take: f64,
    used: f64,
    share: u64,
}

struct Bench {
    dut: Dut,
    /// Bytes of a beat.
    width: u64,
    rng: ChaCha8Rng,
    mood: Mood,
    enable: bool,
    descs: VecDeque<Desc>,
    /// Packets and used chains that are due, in order.
    packets: VecDeque<Chain>,
    used: VecDeque<(u16, u16)>,
    /// Chains that are no frame, not yet reported.
    bad: u64,
    /// Beats that were asked for: address, and from which cycle on they may come.
    reads: VecDeque<(u64, u64)>,
    collector: Collector,
    stalled: Option<(Beat, bool)>,
    /// `enable_i` and outputs of a cycle without input and busy_o, after which the next one has the same.
    asleep: Option<(bool, [u64; 6])>,
    active: u64,
    /// When the last beats of packets came.
    ends: Vec<u64>,
    report: Report,
}

/// What memory holds.
fn byte(addr: u64) -> u8 {
    ((addr ^ addr >> 7 ^ addr >> 17).wrapping_mul(0x9e37_79b9) >> 13) as u8
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    for (name, width) in [(port::NAME, 16), (tx_dma_64::NAME, 8)] {
        let mut bench = Bench::open(name, width, options)?;
        for round in 0..60 * options.effort {
            bench.mood = Mood::random(&mut bench.rng);
            for _ in 0..bench.rng.random_range(1..60) {
                bench.chain();
            }
            if round % 4 == 3 {
                bench.disable()?;
            } else {
                bench.drain()?;
            }
        }
        bench.line_rate()?;
        bench.report.cycles = bench.dut.cycle();
        report.merge(&bench.report);
    }
    Ok(report)
}

impl Mood {
    /// Nobody waits.
    const EAGER: Self = Self {
        offer: 1.0,
        read: 1.0,
        latency: 20,
        take: 1.0,
        used: 1.0,
        share: 128,
    };

    fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut chance = || *[0.1, 0.5, 1.0, 1.0].choose(rng).unwrap_or(&1.0);
        let (offer, read, take, used) = (chance(), chance(), chance(), chance());
        Self {
            offer,
            read,
            latency: *[0, 5, 100].choose(rng).unwrap_or(&0),
            take,
            used,
            share: *[128, 48, 10].choose(rng).unwrap_or(&128),
        }
    }
}

impl Bench {
    fn open(name: &str, width: u64, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            dut: Dut::open_variant(name, options)?,
            width,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            mood: Mood::EAGER,
            enable: true,
            descs: VecDeque::new(),
            packets: VecDeque::new(),
            used: VecDeque::new(),
            bad: 0,
            reads: VecDeque::new(),
            collector: Collector::default(),
            stalled: None,
            asleep: None,
            active: 0,
            ends: vec![],
            report: Report::default(),
        })
    }

    /// A chain of some descriptors, empty ones and now and then one that is too long among them.
    fn chain(&mut self) {
        let rng = &mut self.rng;
        let count = *[1, 1, 2, 3, 7].choose(rng).unwrap_or(&1);
        let mut longest = *[20, 200, 3000].choose(rng).unwrap_or(&200);
        if rng.random_bool(0.003) {
            longest = MOST;
        }
        let inner = rng.random_bool(0.2);
        let mut chain = Chain {
            bytes: vec![],
            bad: false,
            id: rng.random(),
            ndesc: 0,
        };
        let mut length = 0u32;
        for index in 0..count {
            let desc = Desc {
                addr: rng.random::<u64>() >> 8,
                len: match rng.random_range(0..12) {
                    0 => 0,
                    1 if rng.random_bool(0.1) => rng.random_range(MOST + 1..=u32::MAX),
                    _ => rng.random_range(1..longest),
                },
                id: chain.id,
                next: index + 1 < count,
                inner: inner && index > 0,
            };
            length = length.saturating_add(desc.len);
            chain.bad |= length > MOST;
            chain.ndesc += u16::from(!desc.inner);
            if !chain.bad {
                let bytes = (0..u64::from(desc.len)).map(|at| byte(desc.addr + at));
                chain.bytes.extend(bytes);
            }
            self.descs.push_back(desc);
        }
        self.due(chain);
    }

    fn due(&mut self, chain: Chain) {
        self.used.push_back((chain.id, chain.ndesc));
        self.bad += u64::from(chain.bad || chain.bytes.is_empty());
        if !chain.bytes.is_empty() {
            self.packets.push_back(chain);
        }
    }

    /// Until all has come.
    fn drain(&mut self) -> Result<(), Error> {
        self.active = self.dut.cycle();
        while !self.packets.is_empty() || !self.used.is_empty() || self.bad != 0 {
            self.cycle()?;
            if self.dut.cycle() > self.active + STUCK {
                let text = format!("{} packets are missing", self.packets.len());
                return Err(self.dut.mismatch(text));
            }
        }
        for _ in 0..20 {
            self.cycle()?;
        }
        Ok(())
    }

    /// The queue is stopped in the midst of it: quiet as soon as what was asked for has come, and well again.
    fn disable(&mut self) -> Result<(), Error> {
        for _ in 0..self.rng.random_range(0..300) {
            self.cycle()?;
        }
        self.enable = false;
        self.descs.clear();
        self.active = self.dut.cycle();
        let mut quiet = 0;
        while quiet < 20 {
            let busy = self.cycle()?;
            quiet = if busy || !self.reads.is_empty() {
                0
            } else {
                quiet + 1
            };
            if self.dut.cycle() > self.active + STUCK {
                return Err(self.dut.mismatch("never quiet"));
            }
        }
        if self.collector.inside() {
            return Err(self.dut.mismatch("a packet has no end"));
        }
        self.packets.clear();
        self.used.clear();
        self.bad = 0;
        self.enable = true;
        self.report.add("stops", 1);
        Ok(())
    }

    /// With all there in time, packets of any length follow each other without an idle cycle.
    fn line_rate(&mut self) -> Result<(), Error> {
        /// Packets of each length, and those of the beginning.
        const COUNT: usize = 40;
        const BEGIN: usize = 20;
        self.mood = Mood::EAGER;
        for len in 72..=96 {
            for number in 0..COUNT as u64 {
                let addr = 0x1000 * number;
                let desc = Desc {
                    addr,
                    len,
                    id: 0,
                    next: false,
                    inner: false,
                };
                self.descs.push_back(desc);
                self.due(Chain {
                    bytes: (0..u64::from(len)).map(|at| byte(addr + at)).collect(),
                    bad: false,
                    id: 0,
                    ndesc: 1,
                });
            }
            self.ends.clear();
            self.drain()?;
            let cycles = self.ends[COUNT - 1] - self.ends[BEGIN - 1];
            let least = (COUNT - BEGIN) as u64 * u64::from(len.div_ceil(8));
            if cycles > least {
                let text = format!("{cycles} cycles instead of {least} for packets of {len} bytes");
                return Err(self.dut.mismatch(text));
            }
            self.report.add("lengths without an idle cycle", 1);
        }
        Ok(())
    }

    /// Whether busy_o is set.
    fn cycle(&mut self) -> Result<bool, Error> {
        let (mut i, mut o) = ([0; tx_dma_64::IN_WORDS + 1], [0; port::OUT_WORDS]);
        let words = if self.width == 16 {
            port::IN_WORDS
        } else {
            tx_dma_64::IN_WORDS
        };
        let now = self.dut.cycle();
        i[port::ENABLE_I] = self.enable.into();
        i[port::SHARE_I] = self.mood.share;
        let offer = self.descs.front().copied();
        let offer = offer.filter(|_| self.rng.random_bool(self.mood.offer));
        if let Some(desc) = offer {
            i[port::DESC_VALID_I] = 1;
            i[port::DESC_I] = desc.addr << 49
                | u64::from(desc.len) << 17
                | u64::from(desc.id) << 1
                | u64::from(desc.next);
            i[port::DESC_I + 1] = u64::from(desc.inner) << 50 | desc.addr >> 15;
        }
        let read = self.reads.front().copied().filter(|(_, from)| *from <= now);
        let read = read.filter(|_| self.rng.random_bool(self.mood.read));
        if let Some((addr, _)) = read {
            i[port::R_VALID_I] = 1;
            for at in 0..self.width {
                let place = port::R_DATA_I + (at / 8) as usize;
                i[place] |= u64::from(byte(addr + at)) << (8 * (at % 8));
            }
            self.reads.pop_front();
            self.active = now;
        }
        let take = self.rng.random_bool(self.mood.take);
        let used = self.rng.random_bool(self.mood.used);
        let ask = self.rng.random_bool(self.mood.read);
        i[port::M_AXIS_TREADY_I] = take.into();
        i[port::USED_READY_I] = used.into();
        i[port::AR_READY_I] = ask.into();
        self.dut.step(&i[..words], &mut o)?;

        let shown = [
            port::READING_O,
            port::DESC_READY_O,
            port::USED_VALID_O,
            port::AR_VALID_O,
            port::M_AXIS_TVALID_O,
            port::IDLE_O,
        ]
        .map(|pin| o[pin]);
        let changed = |before| before != (self.enable, shown);
        if self
            .asleep
            .is_some_and(|before| before.0 == self.enable && changed(before))
        {
            return Err(self.dut.mismatch(format!("{shown:?} without busy_o")));
        }
        let input = offer.is_some() || read.is_some();
        self.asleep = (o[port::BUSY_O] == 0 && !input).then_some((self.enable, shown));
        if o[port::DESC_READY_O] == 1 && offer.is_some() {
            self.descs.pop_front();
            self.active = now;
        }
        if o[port::AR_VALID_O] == 1 && ask {
            self.asked(now, o[port::AR_ADDR_O], o[port::AR_LEN_O])?;
        }
        if o[port::STAT_BAD_O] == 1 {
            self.bad = self
                .bad
                .checked_sub(1)
                .ok_or_else(|| self.dut.mismatch("stat_bad_o"))?;
            self.report.add("chains that are no frame", 1);
        }
        if o[port::USED_VALID_O] == 1 && used {
            let word = o[port::USED_O];
            let seen = ((word >> 48) as u16, word as u16);
            if self.used.pop_front() != Some(seen) {
                return Err(self.dut.mismatch(format!("used chain {seen:?}")));
            }
            self.active = now;
        }
        if o[port::ERROR_O] == 1 || (o[port::IDLE_O] == 1 && !self.reads.is_empty()) {
            return Err(self.dut.mismatch("error_o, or idle_o with reads under way"));
        }
        self.stream(now, &o, take)?;
        Ok(o[port::BUSY_O] == 1)
    }

    /// A burst was asked for.
    fn asked(&mut self, now: u64, addr: u64, len: u64) -> Result<(), Error> {
        let first = addr & !(self.width - 1);
        let last = first + len * self.width;
        let span = self.width * BURST;
        if first / span != last / span {
            let text = format!("a burst of {} beats at {addr:#x}", len + 1);
            return Err(self.dut.mismatch(text));
        }
        let from = now + 1 + self.mood.latency;
        self.reads
            .extend((0..=len).map(|beat| (first + beat * self.width, from)));
        self.report.add("bursts", 1);
        Ok(())
    }

    fn stream(&mut self, now: u64, o: &[u64], take: bool) -> Result<(), Error> {
        let beat = Beat {
            data: o[port::M_AXIS_TDATA_O],
            keep: o[port::M_AXIS_TKEEP_O] as u8,
            last: o[port::M_AXIS_TLAST_O] == 1,
        };
        let user = o[port::M_AXIS_TUSER_O] == 1;
        let shown = (o[port::M_AXIS_TVALID_O] == 1).then_some((beat, user));
        if self.stalled.is_some() && shown != self.stalled {
            return Err(self.dut.mismatch("a beat that waits has changed"));
        }
        self.stalled = shown.filter(|_| !take);
        if shown.is_none() || !take {
            return Ok(());
        }
        self.active = now;
        // A stopped queue's abort may have no byte that counts.
        let abort = user && !self.enable;
        let keep = if abort { 0xff } else { beat.keep };
        let packet = self.collector.push(Beat { keep, ..beat });
        let Some(packet) = packet.map_err(|text| self.dut.mismatch(text))? else {
            return Ok(());
        };
        let Some(due) = self.packets.pop_front() else {
            return Err(self.dut.mismatch("a packet too many"));
        };
        if abort {
            self.report.add("packets cut by a stop", 1);
            return Ok(());
        }
        if packet != due.bytes || user != due.bad {
            let text = format!(
                "{} bytes, aborted: {user}, instead of {}, aborted: {}",
                packet.len(),
                due.bytes.len(),
                due.bad
            );
            return Err(self.dut.mismatch(text));
        }
        self.ends.push(now);
        self.report.add("packets", 1);
        Ok(())
    }
}
