//! `dma_port`: each answer reaches the client that asked, whatever the host does with the order.

use super::{
    STUCK, axi,
    host::{Address, Writes},
    source::{Bursts, Bytes, word},
};
use crate::{
    Error, Options, Report,
    block::{axi4_checker as rules, dma_port as port},
    bundle::WordWrite,
    dut::Dut,
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

/// Queues: two pairs and the control queue, as in build/dma.rs.
const PAIRS: usize = 2;
const QUEUES: usize = 2 * PAIRS + 1;
const READERS: usize = 3 * QUEUES;
const WORDS: usize = QUEUES + 2;
/// Those that wait for answers: readers, word clients, the receive DMA of each pair.
const CLIENTS: usize = READERS + WORDS + PAIRS;
/// Bytes of a beat.
const BUS: u64 = 16;
/// `WatchPeriod`, and cycles from its end, or an event, to lost_o.
const PERIOD: u64 = 256;
const LATE: u64 = 6;
/// Reads or writes that a client has under way at the most.
const MOST: u64 = 6;
/// Refused (AMBA AXI A3.4.4): SLVERR, DECERR.
const REFUSED: [u64; 2] = [2, 3];

/// The queue to which a client belongs; MSI-X is behind them.
fn owner(client: usize) -> usize {
    match client {
        client if client < READERS => client % QUEUES,
        READERS => QUEUES,
        client if client == READERS + WORDS - 1 => QUEUES - 1,
        client if client < READERS + WORDS => client - READERS - 1,
        client => 2 * (client - READERS - WORDS),
    }
}

/// Each client has addresses of its own, by which the host knows it.
fn page(client: usize, rng: &mut ChaCha8Rng) -> u64 {
    (client as u64) << 48 | rng.random_range(0..1 << 30) << 12
}

fn client_of(addr: u64) -> usize {
    (addr >> 48) as usize
}

/// What the host is to answer.
#[derive(Debug, Clone)]
struct Job {
    client: usize,
    id: u64,
    /// Of a read.
    beats: u64,
    /// Not before.
    from: u64,
}

/// An answer on the bus: what the client must see in the cycle behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    client: usize,
    data: Option<[u64; 2]>,
    last: bool,
    error: bool,
}

/// What a queue, or MSI-X, waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Waits {
    outstanding: u64,
    /// Since the first of them, or the last answer.
    since: u64,
    was_lost: bool,
}

struct Bench {
    dut: Dut,
    checker: Dut,
    rng: ChaCha8Rng,
    latency: u64,
    ask: f64,
    refuse: f64,
    /// Nobody answers this one.
    deaf: Option<usize>,
    reads: [Option<(u64, u64)>; READERS],
    words: [Option<WordWrite>; WORDS],
    bursts: Bursts,
    under_way: [u64; CLIENTS],
    /// AXI IDs that were seen, of reads and of writes, and whose they are.
    ids: [HashMap<u64, usize>; 2],
    host: Writes,
    read_jobs: Vec<Job>,
    write_jobs: Vec<Job>,
    /// In the cycle before.
    shown: [Option<Answer>; 2],
    waits: [Waits; QUEUES + 1],
    report: Report,
}

pub fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open_variant(port::NAME, options)?,
        checker: Dut::open_variant(rules::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        latency: 0,
        ask: 0.0,
        refuse: 0.0,
        deaf: None,
        reads: [None; READERS],
        words: [None; WORDS],
        bursts: Bursts::default(),
        under_way: [0; CLIENTS],
        ids: Default::default(),
        host: Writes::default(),
        read_jobs: vec![],
        write_jobs: vec![],
        shown: [None, None],
        waits: Default::default(),
        report: Report::default(),
    };
    for _ in 0..120 * options.effort {
        bench.round()?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    fn round(&mut self) -> Result<(), Error> {
        self.ask = *[0.01, 0.1, 1.0].choose(&mut self.rng).unwrap_or(&0.1);
        self.latency = *[0, 20, 150].choose(&mut self.rng).unwrap_or(&0);
        self.refuse = *[0.0, 0.1].choose(&mut self.rng).unwrap_or(&0.0);
        let deaf = self.rng.random_bool(0.3);
        self.deaf = deaf.then(|| self.rng.random_range(0..=QUEUES));
        for _ in 0..self.rng.random_range(200..1500) {
            self.cycle()?;
        }
        if self.rng.random_bool(0.3) {
            self.reset()
        } else {
            self.drain()
        }
    }

    /// Everything is answered in the end, what was lost too.
    fn drain(&mut self) -> Result<(), Error> {
        self.ask = 0.0;
        self.deaf = None;
        let from = self.dut.cycle();
        while self.under_way != [0; CLIENTS] {
            self.cycle()?;
            let stuck = self.dut.cycle() > from + STUCK;
            self.dut
                .check(!stuck, || format!("waits for ever: {:?}", self.under_way))?;
        }
        for _ in 0..10 {
            self.cycle()?;
        }
        Ok(())
    }

    /// The whole card and its bus, in the midst of it.
    fn reset(&mut self) -> Result<(), Error> {
        self.dut.reset()?;
        self.checker.reset()?;
        self.reads = [None; READERS];
        self.words = [None; WORDS];
        self.bursts = Bursts::default();
        self.under_way = [0; CLIENTS];
        self.host = Writes::default();
        self.read_jobs.clear();
        self.write_jobs.clear();
        self.shown = [None, None];
        self.waits = Default::default();
        self.report.add("resets in flight", 1);
        Ok(())
    }

    /// New wishes of the clients.
    fn wish(&mut self) {
        let rng = &mut self.rng;
        for client in 0..CLIENTS {
            if self.under_way[client] >= MOST || !rng.random_bool(self.ask) {
                continue;
            }
            let page = page(client, rng);
            let word_client = client.checked_sub(READERS).filter(|word| *word < WORDS);
            if client < READERS && self.reads[client].is_none() {
                let len = rng.random_range(0..16);
                self.reads[client] = Some((page + 16 * rng.random_range(0..240), len));
            } else if let Some(word) = word_client.filter(|word| self.words[*word].is_none()) {
                let (write, _): (_, Bytes) = self::word(page, rng);
                self.words[word] = Some(write);
            } else if client >= READERS + WORDS && self.bursts.addresses.len() < 3 {
                let pair = (client - READERS - WORDS) as u64;
                self.bursts.push(pair, page, BUS, rng);
            } else {
                continue;
            }
            self.under_way[client] += 1;
        }
    }

    /// An answer that may come now: of any ID, but the oldest of it.
    fn choose(&mut self, jobs: &[Job]) -> Option<usize> {
        let now = self.dut.cycle();
        let mut first = HashMap::new();
        for (place, job) in jobs.iter().enumerate() {
            first.entry(job.id).or_insert(place);
        }
        let ready = |place: &usize| {
            let job = &jobs[*place];
            job.from <= now && Some(owner(job.client)) != self.deaf
        };
        let mut places: Vec<usize> = first.into_values().filter(ready).collect();
        places.sort_unstable();
        places
            .choose(&mut self.rng)
            .copied()
            .filter(|_| self.rng.random_bool(0.8))
    }

    fn cycle(&mut self) -> Result<(), Error> {
        self.wish();
        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::CYCLE_I] = self.dut.cycle();
        for (client, read) in self.reads.iter().enumerate() {
            if let Some((addr, len)) = read {
                i[port::AR_VALID_I] |= 1 << client;
                i[port::AR_ADDR_I + client] = *addr;
                i[port::AR_LEN_I + client] = *len;
            }
        }
        for (client, word) in self.words.iter().enumerate() {
            if let Some(word) = word {
                i[port::WORD_VALID_I] |= 1 << client;
                let at = port::WORD_I + WordWrite::WORDS * client;
                i[at..][..WordWrite::WORDS].copy_from_slice(&word.words());
            }
        }
        if let Some(address) = self.bursts.addresses.front() {
            i[port::AW_VALID_I] = 1;
            i[port::AW_PAIR_I] = address.pair;
            i[port::AW_ADDR_I] = address.addr;
            i[port::AW_LEN_I] = address.len;
        }
        if let Some(beat) = self.bursts.beats.front() {
            i[port::W_VALID_I] = 1;
            i[port::W_STRB_I] = beat.strb;
            i[port::W_DATA_I..][..2].copy_from_slice(&beat.data);
        }
        for ready in [
            port::M_AXI_ARREADY_I,
            port::M_AXI_AWREADY_I,
            port::M_AXI_WREADY_I,
        ] {
            i[ready] = self.rng.random_bool(0.7).into();
        }
        let answers = [self.answer_read(&mut i), self.answer_write(&mut i)];
        self.dut.step(&i, &mut o)?;
        self.check_rules(&i, &o)?;
        let shown = std::mem::replace(&mut self.shown, answers.clone());
        self.check_answers(&shown, &o)?;
        self.check_lost(&o)?;
        self.host_takes(&i, &o)?;
        for answer in answers.into_iter().flatten().filter(|answer| answer.last) {
            let waits = &mut self.waits[owner(answer.client)];
            // Told one cycle later.
            waits.outstanding -= 1;
            waits.since = self.dut.cycle();
        }
        self.clients_are_taken(&o);
        Ok(())
    }

    fn answer_read(&mut self, i: &mut [u64]) -> Option<Answer> {
        let jobs = std::mem::take(&mut self.read_jobs);
        let place = self.choose(&jobs);
        self.read_jobs = jobs;
        let place = place?;
        let job = &mut self.read_jobs[place];
        job.beats -= 1;
        let (client, id, last) = (job.client, job.id, job.beats == 0);
        if last {
            self.read_jobs.remove(place);
        }
        let data: [u64; 2] = self.rng.random();
        let error = self.rng.random_bool(self.refuse);
        i[port::M_AXI_RVALID_I] = 1;
        i[port::M_AXI_RID_I] = id;
        i[port::M_AXI_RLAST_I] = last.into();
        i[port::M_AXI_RRESP_I] = self.response(error);
        i[port::M_AXI_RDATA_I..][..2].copy_from_slice(&data);
        self.report.add("beats read", 1);
        let data = Some(data);
        Some(Answer {
            client,
            data,
            last,
            error,
        })
    }

    fn answer_write(&mut self, i: &mut [u64]) -> Option<Answer> {
        let jobs = std::mem::take(&mut self.write_jobs);
        let place = self.choose(&jobs);
        self.write_jobs = jobs;
        let job = self.write_jobs.remove(place?);
        let error = self.rng.random_bool(self.refuse);
        i[port::M_AXI_BVALID_I] = 1;
        i[port::M_AXI_BID_I] = job.id;
        i[port::M_AXI_BRESP_I] = self.response(error);
        self.report.add("writes answered", 1);
        Some(Answer {
            client: job.client,
            data: None,
            last: true,
            error,
        })
    }

    fn response(&mut self, error: bool) -> u64 {
        self.report.add("errors", error.into());
        let refused = *REFUSED.choose(&mut self.rng).unwrap_or(&2);
        if error { refused } else { 0 }
    }

    /// The protocol, as `axi4_checker` sees it.
    fn check_rules(&mut self, i: &[u64], o: &[u64]) -> Result<(), Error> {
        self.checker.step(&axi::pins(i, o), &mut [])?;
        // Whoever asked has room.
        let ready = o[port::M_AXI_RREADY_O] & o[port::M_AXI_BREADY_O];
        self.dut
            .check(ready == 1, || "an answer is not taken".into())
    }

    /// What came in the cycle before is shown to its client and to nobody else.
    fn check_answers(&mut self, due: &[Option<Answer>; 2], o: &[u64]) -> Result<(), Error> {
        let [read, write] = due;
        let told = |answer: &Option<Answer>, first: usize, count: usize| {
            let client = answer
                .as_ref()
                .and_then(|answer| answer.client.checked_sub(first));
            client
                .filter(|client| *client < count)
                .map_or(0, |client| 1 << client)
        };
        let expected = [
            told(read, 0, READERS),
            told(write, READERS, WORDS),
            told(write, READERS + WORDS, PAIRS),
        ];
        let seen = [port::R_VALID_O, port::WORD_DONE_O, port::BURST_DONE_O].map(|at| o[at]);
        self.dut.check(seen == expected, || {
            format!("told {seen:x?} instead of {expected:x?}: {due:?}")
        })?;
        if let Some(read) = read {
            let data = o[port::R_DATA_O..][..2] == read.data.unwrap_or_default();
            let marks = [port::R_LAST_O, port::R_ERROR_O].map(|at| o[at] == 1);
            self.dut
                .check(data && marks == [read.last, read.error], || {
                    format!("data good: {data}, last and error {marks:?}: {read:x?}")
                })?;
        }
        if let Some(write) = write {
            let error = o[port::B_ERROR_O] == 1;
            self.dut
                .check(error == write.error, || format!("b_error_o {error}"))?;
        }
        for answer in due.iter().flatten().filter(|answer| answer.last) {
            self.under_way[answer.client] -= 1;
        }
        Ok(())
    }

    /// Who waits for one period may be given up, who waits for two must be.
    fn check_lost(&mut self, o: &[u64]) -> Result<(), Error> {
        let now = self.dut.cycle();
        for (queue, waits) in self.waits.iter_mut().enumerate() {
            let lost = o[port::LOST_O] >> queue & 1 == 1;
            let waited = now - waits.since;
            let some = waits.outstanding > 0;
            let wrong = match (lost, waits.was_lost) {
                (true, false) => !some || waited < PERIOD,
                (true, true) => !some && waited > LATE,
                (false, false) => some && waited > 2 * PERIOD + LATE,
                (false, true) => some && waited > LATE,
            };
            self.dut.check(!wrong, || {
                format!("queue {queue} lost: {lost}, {waits:?} at {now}")
            })?;
            self.report
                .add("completions lost", (lost && !waits.was_lost).into());
            waits.was_lost = lost;
        }
        Ok(())
    }

    fn host_takes(&mut self, i: &[u64], o: &[u64]) -> Result<(), Error> {
        let now = self.dut.cycle();
        if o[port::M_AXI_ARVALID_O] & i[port::M_AXI_ARREADY_I] == 1 {
            let client = client_of(o[port::M_AXI_ARADDR_O]);
            let id = o[port::M_AXI_ARID_O];
            self.begins(0, id, client)?;
            self.read_jobs.push(Job {
                client,
                id,
                beats: o[port::M_AXI_ARLEN_O] + 1,
                from: now + self.latency,
            });
        }
        if o[port::M_AXI_AWVALID_O] & i[port::M_AXI_AWREADY_I] == 1 {
            let addr = o[port::M_AXI_AWADDR_O];
            let id = o[port::M_AXI_AWID_O];
            self.begins(1, id, client_of(addr))?;
            self.host.address(Address {
                id,
                addr,
                len: o[port::M_AXI_AWLEN_O],
                size: o[port::M_AXI_AWSIZE_O],
            });
        }
        if o[port::M_AXI_WVALID_O] & i[port::M_AXI_WREADY_I] == 1 {
            let last = o[port::M_AXI_WLAST_O] == 1;
            let data = &o[port::M_AXI_WDATA_O..][..2];
            self.host.beat(data, o[port::M_AXI_WSTRB_O], last);
        }
        // `dma_write`'s bench looks at the bytes.
        while let Some(write) = self
            .host
            .next(BUS)
            .map_err(|text| self.dut.mismatch(text))?
        {
            self.write_jobs.push(Job {
                client: client_of(write.bytes.first().map_or(0, |(at, _)| *at)),
                id: write.id,
                beats: 0,
                from: now + self.latency,
            });
        }
        Ok(())
    }

    /// A client's request is on the bus, with an ID that no other has.
    fn begins(&mut self, way: usize, id: u64, client: usize) -> Result<(), Error> {
        let whose = *self.ids[way].entry(id).or_insert(client);
        self.dut.check(whose == client, || {
            format!("ID {id:#x} of {whose} is {client}'s too")
        })?;
        let waits = &mut self.waits[owner(client)];
        if waits.outstanding == 0 {
            waits.since = self.dut.cycle();
        }
        waits.outstanding += 1;
        Ok(())
    }

    fn clients_are_taken(&mut self, o: &[u64]) {
        for (client, read) in self.reads.iter_mut().enumerate() {
            if o[port::AR_READY_O] >> client & 1 == 1 {
                *read = None;
            }
        }
        for (client, word) in self.words.iter_mut().enumerate() {
            if o[port::WORD_READY_O] >> client & 1 == 1 {
                *word = None;
            }
        }
        if o[port::AW_READY_O] == 1 {
            self.bursts.addresses.pop_front();
        }
        if o[port::W_READY_O] == 1 {
            self.bursts.beats.pop_front();
        }
    }
}
