//! `dma_write`: everything arrives, byte by byte, in the order in which it was taken.

use super::{
    QUEUES, STUCK,
    host::{Address, Write, Writes},
    id,
    source::{Bursts, Bytes, word},
};
use crate::{
    Error, Options, Report,
    arbiter::Turns,
    block::{dma_write as port, dma_write_64},
    bundle::WordWrite,
    dut::Dut,
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Data and strobes are last: all else is at the same places for any width.
const _: () = assert!(
    port::W_STRB_I == dma_write_64::W_STRB_I && port::M_AXI_WSTRB_O == dma_write_64::M_AXI_WSTRB_O
);

/// Word clients: MSI-X, each queue, answers of the control queue.
const WORDS: usize = QUEUES + 2;

#[derive(Debug, Clone, Copy)]
struct Mood {
    words: f64,
    bursts: f64,
    aw: f64,
    w: f64,
}

impl Mood {
    /// All that waits goes, and nothing comes.
    const DRAIN: Self = Self {
        words: 0.0,
        bursts: 0.0,
        aw: 1.0,
        w: 1.0,
    };
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    bus: u64,
    mood: Mood,
    words: [Option<(WordWrite, Bytes)>; WORDS],
    turns: Turns<WORDS>,
    bursts: Bursts,
    /// Of each burst that was not taken yet.
    meant: VecDeque<Bytes>,
    /// Taken and not arrived.
    due: VecDeque<Write>,
    /// Beats of the burst that was taken last, still to come.
    open: u64,
    host: Writes,
    /// What the bus shows and the host did not take.
    stalled: [Option<Vec<u64>>; 2],
    /// When beats came.
    beats: Vec<u64>,
    active: u64,
    report: Report,
}

pub fn run(options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    for (name, bus) in [(port::NAME, 32), (dma_write_64::NAME, 8)] {
        let mut bench = Bench {
            dut: Dut::open_variant(name, options)?,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
            bus,
            mood: Mood::DRAIN,
            words: Default::default(),
            turns: Turns::new(),
            bursts: Bursts::default(),
            meant: VecDeque::new(),
            due: VecDeque::new(),
            open: 0,
            host: Writes::default(),
            stalled: [None, None],
            beats: vec![],
            active: 0,
            report: Report::default(),
        };
        for _ in 0..100 * options.effort {
            bench.some_traffic()?;
            bench.line_rate()?;
        }
        bench.report.cycles = bench.dut.cycle();
        report.merge(&bench.report);
    }
    Ok(report)
}

impl Bench {
    fn some_traffic(&mut self) -> Result<(), Error> {
        let mut one_of = |choices: &[f64]| *choices.choose(&mut self.rng).unwrap_or(&0.0);
        self.mood = Mood {
            words: one_of(&[0.0, 0.01, 0.5]),
            bursts: one_of(&[0.0, 0.05, 1.0]),
            aw: one_of(&[0.05, 0.5, 1.0]),
            w: one_of(&[0.05, 0.5, 1.0]),
        };
        for _ in 0..500 {
            self.cycle()?;
        }
        if self.rng.random_bool(0.2) {
            return self.reset();
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Error> {
        self.mood = Mood::DRAIN;
        self.active = self.dut.cycle();
        while !self.due.is_empty()
            || !self.meant.is_empty()
            || self.words.iter().any(Option::is_some)
        {
            self.cycle()?;
            let stuck = self.dut.cycle() > self.active + STUCK;
            self.dut
                .check(!stuck, || format!("{} do not come", self.due.len()))?;
        }
        for _ in 0..5 {
            self.cycle()?;
        }
        Ok(())
    }

    /// In the midst of it: nothing of what was under way is seen any more, and all goes on anew.
    fn reset(&mut self) -> Result<(), Error> {
        self.dut.reset()?;
        self.words = Default::default();
        self.turns = Turns::new();
        self.bursts = Bursts::default();
        self.meant.clear();
        self.due.clear();
        self.open = 0;
        self.host = Writes::default();
        self.stalled = [None, None];
        self.report.add("resets", 1);
        Ok(())
    }

    /// A host that takes everything gets a beat in every cycle.
    fn line_rate(&mut self) -> Result<(), Error> {
        self.mood = Mood::DRAIN;
        for _ in 0..8 {
            self.burst();
        }
        self.beats.clear();
        self.drain()?;
        let cycles = self
            .beats
            .last()
            .zip(self.beats.first())
            .map_or(0, |(b, a)| b - a + 1);
        let beats = self.beats.len() as u64;
        self.dut.check(cycles == beats, || {
            format!("{beats} beats in {cycles} cycles")
        })?;
        self.report.add("beats without an idle cycle", beats);
        Ok(())
    }

    fn burst(&mut self) {
        let page = self.rng.random::<u64>() & !0xfff;
        let pair = self.rng.random_range(0..8);
        let bytes = self.bursts.push(pair, page, self.bus, &mut self.rng);
        self.meant.push_back(bytes);
    }

    fn cycle(&mut self) -> Result<(), Error> {
        for word in &mut self.words {
            // One that waits may give up, as a message does that is masked.
            let (there, rng) = (word.is_some(), &mut self.rng);
            if there && self.mood.words > 0.0 && rng.random_bool(0.02) {
                *word = None;
            } else if !there && rng.random_bool(self.mood.words) {
                let page = rng.random::<u64>() & !0xfff;
                *word = Some(self::word(page, rng));
            }
        }
        if self.rng.random_bool(self.mood.bursts) && self.meant.len() < 4 {
            self.burst();
        }
        let (mut i, mut o) = ([0; port::IN_WORDS], [0; port::OUT_WORDS]);
        for (client, word) in self.words.iter().enumerate() {
            if let Some((word, _)) = word {
                i[port::WORD_VALID_I] |= 1 << client;
                let at = port::WORD_I + WordWrite::WORDS * client;
                i[at..][..WordWrite::WORDS].copy_from_slice(&word.words());
            }
        }
        let address = self.bursts.addresses.front().copied();
        if let Some(address) = address {
            i[port::AW_VALID_I] = 1;
            i[port::AW_PAIR_I] = address.pair;
            i[port::AW_ADDR_I] = address.addr;
            i[port::AW_LEN_I] = address.len;
        }
        let lanes = (self.bus / 8) as usize;
        if let Some(beat) = self.bursts.beats.front() {
            i[port::W_VALID_I] = 1;
            i[port::W_STRB_I] = beat.strb;
            i[port::W_DATA_I..][..lanes].copy_from_slice(&beat.data);
        }
        let (aw, w) = (
            self.rng.random_bool(self.mood.aw),
            self.rng.random_bool(self.mood.w),
        );
        i[port::M_AXI_AWREADY_I] = aw.into();
        i[port::M_AXI_WREADY_I] = w.into();
        let (ins, outs) = (port::W_DATA_I + lanes, port::M_AXI_WDATA_O + lanes);
        self.dut.step(&i[..ins], &mut o[..outs])?;

        self.arrived(&o[..outs], aw, w)?;
        self.taken(&o)?;
        let waits = i[port::WORD_VALID_I] != 0 || address.is_some() || !self.due.is_empty();
        self.dut.check(o[port::BUSY_O] == 1 || !waits, || {
            "busy_o while something waits".into()
        })?;
        self.report.add("idle cycles", 1 - o[port::BUSY_O]);
        Ok(())
    }

    /// What the block takes of its clients in this cycle.
    fn taken(&mut self, o: &[u64]) -> Result<(), Error> {
        let ready = o[port::WORD_READY_O];
        self.turns
            .asking(std::array::from_fn(|client| self.words[client].is_some()));
        let next = self.turns.next();
        self.dut.check(
            ready == 0 || Some(ready) == next.map(|client| 1 << client),
            || format!("word_ready_o {ready:#b}, next is {next:?}"),
        )?;
        let beat = o[port::W_READY_O] == 1 && !self.bursts.beats.is_empty();
        let begins = o[port::AW_READY_O] == 1;
        // Words go first, and between bursts only; the first beat goes with its address.
        let good =
            (ready == 0 || self.open == 0) && (!begins || (next.is_none() && self.open == 0));
        self.dut
            .check(good && beat == (begins || (beat && self.open > 0)), || {
                format!(
                    "ready: words {ready:#b}, address {begins}, beat {beat}, inside {}",
                    self.open
                )
            })?;
        let client = next.filter(|_| ready != 0);
        if let Some((client, (_, bytes))) = client.zip(client.and_then(|at| self.words[at].take()))
        {
            self.turns
                .served(client)
                .map_err(|text| self.dut.mismatch(text))?;
            let id = match client {
                0 => id::MSIX,
                client if client == WORDS - 1 => id::DATA | id::CTRL,
                client => id::RING | id::queue(client - 1, QUEUES),
            };
            self.due.push_back(Write { id, bytes });
            self.report.add("words", 1);
        }
        if begins {
            let (Some(address), Some(bytes)) =
                (self.bursts.addresses.pop_front(), self.meant.pop_front())
            else {
                return Err(self.dut.mismatch("a burst of nobody"));
            };
            self.open = address.len + 1;
            let id = id::DATA | (2 * address.pair);
            let last = bytes.last().map_or(0, |(at, _)| at + 1);
            self.report
                .add("bursts up to 4 KiB", u64::from(last % 4096 == 0));
            self.due.push_back(Write { id, bytes });
            self.report.add("bursts", 1);
        }
        if beat {
            self.bursts.beats.pop_front();
            self.open -= 1;
        }
        Ok(())
    }

    /// What the host sees in this cycle, and what it takes.
    fn arrived(&mut self, o: &[u64], aw: bool, w: bool) -> Result<(), Error> {
        let channels = [
            (
                port::M_AXI_AWVALID_O,
                o[port::M_AXI_AWID_O..=port::M_AXI_AWSIZE_O].to_vec(),
                aw,
            ),
            (port::M_AXI_WVALID_O, o[port::M_AXI_WLAST_O..].to_vec(), w),
        ];
        for (channel, (valid, payload, ready)) in channels.into_iter().enumerate() {
            let shown = (o[valid] == 1).then_some(payload);
            let stalled = &mut self.stalled[channel];
            self.dut.check(stalled.is_none() || *stalled == shown, || {
                format!("channel {channel}: {shown:x?} instead of {stalled:x?}, which waits")
            })?;
            *stalled = shown.filter(|_| !ready);
        }
        let now = self.dut.cycle();
        if aw && o[port::M_AXI_AWVALID_O] == 1 {
            self.host.address(Address {
                id: o[port::M_AXI_AWID_O],
                addr: o[port::M_AXI_AWADDR_O],
                len: o[port::M_AXI_AWLEN_O],
                size: o[port::M_AXI_AWSIZE_O],
            });
        }
        if w && o[port::M_AXI_WVALID_O] == 1 {
            let last = o[port::M_AXI_WLAST_O] == 1;
            self.host
                .beat(&o[port::M_AXI_WDATA_O..], o[port::M_AXI_WSTRB_O], last);
            self.beats.push(now);
        }
        while let Some(write) = self
            .host
            .next(self.bus)
            .map_err(|text| self.dut.mismatch(text))?
        {
            self.active = now;
            let due = self.due.pop_front();
            self.dut.check(due.as_ref() == Some(&write), || {
                format!("{write:x?} instead of {due:x?}")
            })?;
            self.report.add("writes", 1);
        }
        Ok(())
    }
}
