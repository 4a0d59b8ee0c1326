//! Testbench of the control queue: commands in chains of any shape, answers, and what they set.

mod command;

use crate::{
    Error, Options, Report, Testbench, block::ctrl_vq as port, bundle::WordWrite, dut::Dut,
};
use command::{Command, Config, FEATURES, Mac};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// The control queue against commands whose effect is known from how they were made.
pub const CTRL_VQ: Testbench = Testbench {
    name: "ctrl_vq",
    about: "good and spoilt commands, split anywhere, refused DMA, resets: answers and configuration",
    run,
};

const MEMORY: usize = 1 << 16;
/// Cycles in which a command must be answered: 8192 bytes in beats of 16 with the longest latency.
const DEADLINE: u64 = 200_000;

/// Cycles of `idle_o` behind which a disabled queue may be reset or enabled again, as in `common_cfg`.
const QUIET: u64 = 4;

#[derive(Debug, Clone, Copy)]
struct Desc {
    write: bool,
    addr: u64,
    len: u32,
}

/// A chain on its way through the block.
struct Chain {
    command: Command,
    id: u16,
    descs: Vec<Desc>,
    /// Where the answer belongs.
    answer: Option<u64>,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    features: u64,
    queue_pairs: u16,
    mac: Mac,
    base: u64,
    memory: Vec<u8>,
    config: Config,
    seen: Config,
    pending: Vec<Option<Mac>>,
    /// Inputs and outputs of the cycle before.
    before: Option<Cycle>,
    report: Report,
}

type Cycle = ([u64; port::IN_WORDS], [u64; port::OUT_WORDS]);

/// Whether the clock stands behind this cycle.
fn asleep((i, o): &Cycle) -> bool {
    let woken = i[port::CLEAR_I] | i[port::R_VALID_I] | i[port::WRITE_DONE_I];
    o[port::BUSY_O] | i[port::DESC_VALID_I] | woken == 0
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut dut = Dut::open(port::NAME, options)?;
    let mut report = Report::default();
    for _ in 0..60 * options.effort {
        let features = match rng.random_range(0..3) {
            0 => FEATURES.iter().filter(|_| rng.random()).sum(),
            _ => u64::MAX,
        };
        let mut mac: Mac = rng.random();
        mac[0] &= !1;
        let config = Config::new(mac, features);
        let mut bench = Bench {
            dut,
            features,
            queue_pairs: *[1, 2, 3, 8].choose(&mut rng).unwrap_or(&8),
            mac,
            base: rng.random::<u64>() & !(MEMORY as u64 - 1),
            memory: vec![0; MEMORY],
            seen: config.clone(),
            config,
            pending: vec![None; 64],
            before: None,
            report: Report::default(),
            rng: ChaCha8Rng::seed_from_u64(rng.random()),
        };
        bench.reset()?;
        for _ in 0..40 {
            bench.command()?;
        }
        report.merge(&bench.report);
        dut = bench.dut;
    }
    report.cycles = dut.cycle();
    Ok(report)
}

impl Bench {
    /// A device reset: everything is as before the first command.
    fn reset(&mut self) -> Result<(), Error> {
        let mut inputs = self.inputs(false);
        inputs[port::CLEAR_I] = 1;
        self.step(&inputs)?;
        self.config = Config::new(self.mac, self.features);
        self.seen = self.config.clone();
        let outputs = self.step(&self.inputs(false))?;
        self.compare(&outputs)
    }

    fn inputs(&self, enable: bool) -> [u64; port::IN_WORDS] {
        let mut inputs = [0; port::IN_WORDS];
        inputs[port::ENABLE_I] = enable.into();
        inputs[port::FEATURES_I] = self.features;
        inputs[port::MAC_I] = mac_word(self.mac);
        inputs[port::QUEUE_PAIRS_I] = self.queue_pairs.into();
        inputs
    }

    fn step(&mut self, inputs: &[u64; port::IN_WORDS]) -> Result<[u64; port::OUT_WORDS], Error> {
        let mut outputs = [0; port::OUT_WORDS];
        self.dut.step(inputs, &mut outputs)?;
        let before = self.before.replace((*inputs, outputs));
        if let Some(before) = before.filter(asleep)
            && asleep(&(*inputs, outputs))
            && before.0[port::ENABLE_I] == inputs[port::ENABLE_I]
        {
            self.report.add("cycles asleep", 1);
            let text = || format!("changed from {:x?} to {outputs:x?} asleep", before.1);
            self.dut.check(before.1 == outputs, text)?;
        }
        self.collect(&outputs);
        Ok(outputs)
    }

    /// Puts a command into buffers of random sizes; sometimes there is no room for an answer.
    fn chain(&mut self, command: Command) -> Chain {
        let rng = &mut self.rng;
        let mut descs = Vec::new();
        let mut at = rng.random_range(0..64u64);
        let mut rest = &command.bytes[..];
        let longest = *[1, 7, 16, 64, 10_000].choose(rng).unwrap_or(&64);
        let longest = longest.max(command.bytes.len() / 200);
        while !rest.is_empty() {
            let len = if rng.random_bool(0.1) {
                0
            } else {
                rng.random_range(1..=longest).min(rest.len())
            };
            let (part, later) = rest.split_at(len);
            self.memory[at as usize..][..len].copy_from_slice(part);
            descs.push(Desc {
                write: false,
                addr: self.base + at,
                len: len as u32,
            });
            at += len as u64 + rng.random_range(0..20);
            rest = later;
        }
        let mut answer = None;
        for _ in 0..rng.random_range(0..3) {
            let len = rng.random_range(0..3);
            let addr = self.base + at;
            descs.push(Desc {
                write: true,
                addr,
                len,
            });
            if len > 0 {
                answer = answer.or(Some(addr));
            }
            at += 8;
        }
        if descs.is_empty() {
            descs.push(Desc {
                write: false,
                addr: self.base,
                len: 0,
            });
        }
        Chain {
            command,
            id: rng.random(),
            descs,
            answer,
        }
    }

    /// One command from its first descriptor to its return, or to where it is cut off.
    fn command(&mut self) -> Result<(), Error> {
        let before = self.config.clone();
        let command = command::random(
            &mut self.rng,
            self.features,
            self.queue_pairs,
            &mut self.config,
        );
        self.report.add(
            if command.ok {
                "good commands"
            } else {
                "refused commands"
            },
            1,
        );
        if command.ok {
            self.report.add(command.name, 1);
        }
        let chain = self.chain(command);
        // How it may end otherwise: disabled so long after its first cycle, or after its last beat was read,
        // when it is carried out.
        let disable_at = self
            .rng
            .random_bool(0.05)
            .then(|| self.rng.random_range(1..300));
        let disable_behind = self
            .rng
            .random_bool(0.1)
            .then(|| self.rng.random_range(1..400));
        let refuse = self.rng.random_bool(0.05);
        let (mut desc_rate, latency) = (
            self.rng.random_range(0.05..1.0),
            self.rng.random_range(1..100),
        );
        if self.rng.random() {
            desc_rate = 1.0;
        }
        let ready = self.rng.random_range(0.1..1.0);

        let mut descs: VecDeque<Desc> = chain.descs.iter().copied().collect();
        let mut reads: VecDeque<(u64, u64)> = VecDeque::new();
        let mut write: Option<(u64, u8, u64)> = None;
        let mut acked = false;
        let mut answered = None;
        let mut stats = [0u64; 2];
        let begin = self.dut.cycle();
        let mut last_beat = begin;
        let mut enable = true;
        let mut failed = false;
        let mut idle = 0;
        loop {
            let now = self.dut.cycle();
            let age = now - begin;
            if age > DEADLINE {
                return Err(self.mismatch(&chain, "no end"));
            }
            let read = descs.is_empty() && reads.is_empty();
            enable &= disable_at.is_none_or(|at| age < at) && !failed;
            enable &= !read || disable_behind.is_none_or(|at| now - last_beat < at);
            let mut i = self.inputs(enable);
            let offer = self
                .rng
                .random_bool(desc_rate)
                .then(|| descs.front().copied())
                .flatten();
            if let Some(desc) = offer {
                let next = descs.len() > 1;
                i[port::DESC_VALID_I] = 1;
                // vq_desc_t: next, id, len, addr, write from bit 0.
                i[port::DESC_I] = u64::from(next)
                    | u64::from(chain.id) << 1
                    | u64::from(desc.len) << 17
                    | desc.addr << 49;
                i[port::DESC_I + 1] = desc.addr >> 15 | u64::from(desc.write) << 49;
            }
            i[port::AR_READY_I] = self.rng.random_bool(ready).into();
            i[port::WRITE_READY_I] = self.rng.random_bool(ready).into();
            i[port::USED_READY_I] = self.rng.random_bool(ready).into();
            if let Some((addr, due)) = reads.front().copied()
                && due <= now
            {
                reads.pop_front();
                last_beat = now;
                i[port::R_VALID_I] = 1;
                i[port::R_ERROR_I] = u64::from(refuse && self.rng.random_bool(0.3));
                failed |= i[port::R_ERROR_I] == 1;
                let at = (addr - self.base) as usize & !15;
                for word in 0..2 {
                    let bytes = self.memory[at + 8 * word..][..8]
                        .try_into()
                        .unwrap_or_default();
                    i[port::R_DATA_I + word] = u64::from_le_bytes(bytes);
                }
            }
            if let Some((addr, value, due)) = write
                && due <= now
            {
                write = None;
                acked = true;
                i[port::WRITE_DONE_I] = 1;
                i[port::WRITE_ERROR_I] = refuse.into();
                failed |= refuse;
                answered = Some((addr, value));
            }
            let error = i[port::R_ERROR_I] | i[port::WRITE_ERROR_I];
            let o = self.step(&i)?;
            if o[port::ERROR_O] != error * u64::from(enable) {
                return Err(self.mismatch(&chain, "error_o"));
            }
            if offer.is_some() && o[port::DESC_READY_O] == 1 {
                descs.pop_front();
            }
            if o[port::AR_VALID_O] == 1 && i[port::AR_READY_I] == 1 {
                reads.push_back((o[port::AR_ADDR_O], now + latency));
            }
            if o[port::WRITE_VALID_O] == 1 && i[port::WRITE_READY_I] == 1 {
                let WordWrite { addr, size, data } = WordWrite::of(&o[port::WRITE_O..]);
                if size != 0 || Some(addr) != chain.answer {
                    return Err(self.mismatch(&chain, "the answer's place"));
                }
                write = Some((addr, (data >> (8 * (addr & 7))) as u8, now + latency));
            }
            stats[0] += o[port::STAT_OK_O];
            stats[1] += o[port::STAT_ERR_O];
            let outstanding = !reads.is_empty() || write.is_some();
            if outstanding && o[port::IDLE_O] == 1 {
                return Err(self.mismatch(&chain, "idle with something outstanding"));
            }
            if o[port::USED_VALID_O] == 1 && enable {
                let expected = u64::from(chain.id) << 48
                    | u64::from(chain.answer.is_some()) << 16
                    | chain.descs.len() as u64;
                if o[port::USED_O] != expected || acked != chain.answer.is_some() {
                    return Err(self.mismatch(&chain, "the used chain"));
                }
                if i[port::USED_READY_I] == 1 {
                    break;
                }
            }
            idle = if !enable && o[port::IDLE_O] == 1 {
                idle + 1
            } else {
                0
            };
            if idle == QUIET {
                // Cut off: whether it was carried out shows in the counters.
                self.report.add("cut off", 1);
                if self.rng.random() {
                    return self.reset();
                }
                if stats == [0, 0] || !chain.command.ok {
                    self.config = before;
                }
                return self.compare(&o);
            }
        }
        let ok = chain.command.ok;
        if stats != [u64::from(ok), u64::from(!ok)] {
            return Err(self.mismatch(&chain, "counters"));
        }
        if let Some((_, value)) = answered
            && value != u8::from(!ok)
        {
            return Err(self.mismatch(&chain, "the answer"));
        }
        let o = self.step(&self.inputs(true))?;
        if o[port::BUSY_O] == 1 {
            return Err(self.mismatch(&chain, "busy after the end"));
        }
        self.compare(&o)
    }

    /// What the block puts into the tables of others.
    fn collect(&mut self, o: &[u64; port::OUT_WORDS]) {
        let (low, high) = (o[port::TABLES_O], o[port::TABLES_O + 1]);
        let field = |bit: u32, bits: u32| {
            let value = u128::from(high) << 64 | u128::from(low);
            (value >> bit) as u64 & ((1 << bits) - 1)
        };
        if field(10, 1) == 1 {
            self.seen.table[field(3, 7) as usize] = field(0, 3) as u16;
        }
        if field(24, 1) == 1 {
            self.seen.vlans[field(11, 12) as usize] = field(23, 1) == 1;
        }
        if field(94, 1) == 1 {
            let mac = field(40, 48).to_le_bytes();
            let mac = [mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]];
            self.pending[field(88, 6) as usize] = Some(mac);
        }
        if field(39, 1) == 1 {
            for part in 0..2 {
                let count = field(27 + 6 * part, 6) as usize;
                let all = field(25 + part, 1) == 1;
                let list = &self.pending[32 * part as usize..][..count];
                self.seen.addresses[part as usize] =
                    (!all).then(|| list.iter().flatten().copied().collect());
            }
            self.pending.fill(None);
        }
    }

    fn compare(&mut self, o: &[u64; port::OUT_WORDS]) -> Result<(), Error> {
        let field = |bit: usize, bits: usize| {
            let word = port::CFG_O + bit / 64;
            let value =
                u128::from(o[word]) | u128::from(o.get(word + 1).copied().unwrap_or(0)) << 64;
            (value >> (bit % 64)) as u64 & (u64::MAX >> (64 - bits))
        };
        let seen = &mut self.seen;
        seen.tx_coal = (field(32, 32) as u32, field(0, 32) as u32);
        seen.rx_coal = (field(96, 32) as u32, field(64, 32) as u32);
        seen.default_pair = field(128, 3) as u16;
        seen.mask = field(131, 7) as u16;
        seen.hash_types = field(138, 16) as u16;
        seen.report = field(154, 1) == 1;
        seen.steer = field(155, 1) == 1;
        seen.pairs = field(156, 4) as u16;
        let mac = field(160, 48).to_le_bytes();
        seen.mac.copy_from_slice(&mac[..6]);
        seen.allmulti = field(208, 1) == 1;
        seen.promisc = field(209, 1) == 1;
        for (place, byte) in seen.key.iter_mut().enumerate() {
            *byte = (o[port::RSS_KEY_O + place / 8] >> (8 * (place % 8))) as u8;
        }
        if self.seen != self.config {
            let message = format!(
                "configuration {:?}\ninstead of {:?}",
                self.seen, self.config
            );
            return Err(self.dut.mismatch(message));
        }
        Ok(())
    }

    fn mismatch(&self, chain: &Chain, what: &str) -> Error {
        let bytes = &chain.command.bytes[..chain.command.bytes.len().min(64)];
        let message = format!(
            "{what}: {}, good: {}, {} bytes {bytes:02x?}, {:?}",
            chain.command.name,
            chain.command.ok,
            chain.command.bytes.len(),
            chain.descs
        );
        self.dut.mismatch(message)
    }
}

fn mac_word(mac: Mac) -> u64 {
    mac.iter()
        .rev()
        .fold(0, |word, octet| word << 8 | u64::from(*octet))
}
