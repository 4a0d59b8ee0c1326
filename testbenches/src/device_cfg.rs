//! Testbench of `device_cfg`: the structure of virtio 5.1.4, the ISR status and what changes them.

use crate::{
    Error, Options, Report, Testbench, block::device_cfg as port, bundle::Access, dut::Dut,
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// `device_cfg` against `struct virtio_net_config`.
pub const DEVICE_CFG: Testbench = Testbench {
    name: "device_cfg",
    about: "every byte of the configuration, ISR bits that are read while they are set, link, address",
    run,
};

const ISR: u16 = 0x1000;
const DEVICE_CFG_BASE: u16 = 0x2000;
/// Bytes of the page that say something: `struct virtio_net_config` as of 1.2.
const CONFIG_BYTES: usize = 24;

/// 5.1.4: what the card says of itself.
const SPEED: u32 = 10_000; // Mbit/s
const DUPLEX_FULL: u8 = 1;
/// With RSS or HASH_REPORT: bytes of a key, entries of a table (RSS alone), and the types of 5.1.6.4.3.
const KEY_SIZE: u8 = 40;
const TABLE_LENGTH: u16 = 128;
const HASH_TYPES: u32 = 0x1ff;

/// What a card was made with, and what changes.
#[derive(Debug, Clone, Copy)]
struct Card {
    mac: [u8; 6],
    mtu: u16,
    pairs: u8,
    rss: bool,
    hash: bool,
    link: bool,
}

impl Card {
    /// `struct virtio_net_config`, little endian.
    fn config(&self) -> [u8; CONFIG_BYTES] {
        let table = if self.rss { TABLE_LENGTH } else { 0 };
        let (key, types) = if self.hash {
            (KEY_SIZE, HASH_TYPES)
        } else {
            (0, 0)
        };
        let fields: [&[u8]; 9] = [
            &self.mac,
            &u16::from(self.link).to_le_bytes(),
            &u16::from(self.pairs).to_le_bytes(),
            &self.mtu.to_le_bytes(),
            &SPEED.to_le_bytes(),
            &[DUPLEX_FULL],
            &[key],
            &table.to_le_bytes(),
            &types.to_le_bytes(),
        ];
        let mut bytes = [0; CONFIG_BYTES];
        for (byte, value) in bytes.iter_mut().zip(fields.concat()) {
            *byte = value;
        }
        bytes
    }
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    card: Card,
    /// As they were in the cycle before.
    link: bool,
    mac: [u8; 6],
    isr: u32,
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut dut = Dut::open(port::NAME, options)?;
    let mut report = Report::default();
    for _ in 0..50 * options.effort {
        dut.reset()?;
        let rss = rng.random();
        let card = Card {
            mac: rng.random(),
            mtu: rng.random(),
            pairs: rng.random_range(1..=8),
            rss,
            hash: rss || rng.random(),
            link: rng.random(),
        };
        let mut bench = Bench {
            dut,
            card,
            link: false,
            mac: [0; 6],
            isr: 0,
            report: Report::default(),
            rng: ChaCha8Rng::seed_from_u64(rng.random()),
        };
        for _ in 0..600 {
            bench.cycle()?;
        }
        report.merge(&bench.report);
        dut = bench.dut;
    }
    report.cycles = dut.cycle();
    Ok(report)
}

impl Bench {
    fn access(&mut self) -> Access {
        let addr = match self.rng.random_range(0..8) {
            0..3 => ISR,
            3..7 => DEVICE_CFG_BASE | self.rng.random_range(0..CONFIG_BYTES as u16 + 8) & !3,
            _ => self.rng.random::<u16>() & !3,
        };
        match self.rng.random_range(0..4) {
            0 => Access::Look(addr),
            1 => Access::Write {
                addr,
                data: self.rng.random(),
                strb: self.rng.random_range(0..16),
            },
            _ => Access::Read(addr),
        }
    }

    /// What reads at `addr`.
    fn expected(&self, addr: u16) -> u32 {
        // As it was when this cycle began.
        let card = Card {
            link: self.link,
            ..self.card
        };
        let config = card.config();
        let place = usize::from(addr.wrapping_sub(DEVICE_CFG_BASE));
        match config.get(place..).and_then(|rest| rest.first_chunk()) {
            Some(word) => u32::from_le_bytes(*word),
            None if addr == ISR => self.isr,
            None => 0,
        }
    }

    fn cycle(&mut self) -> Result<(), Error> {
        if self.rng.random_ratio(1, 12) {
            self.card.link = !self.card.link;
        }
        if self.rng.random_ratio(1, 20) {
            let octet = self.rng.random_range(0..6);
            self.card.mac[octet] = self.rng.random();
        }
        let access = self.access();
        let rate = *[0., 0.1, 0.5].choose(&mut self.rng).unwrap_or(&0.1);
        let events = [(); 2].map(|()| self.rng.random_bool(rate));
        let clear = self.rng.random_ratio(1, 40);

        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::REQ_I] = access.word();
        i[port::MAC_I] = (0..6).fold(0, |word, n| word | u64::from(self.card.mac[n]) << (8 * n));
        i[port::MTU_I] = self.card.mtu.into();
        i[port::QUEUE_PAIRS_I] = self.card.pairs.into();
        i[port::RSS_I] = self.card.rss.into();
        i[port::HASH_I] = self.card.hash.into();
        i[port::LINK_I] = self.card.link.into();
        i[port::ISR_CLEAR_I] = clear.into();
        i[port::QUEUE_IRQ_I] = events[0].into();
        i[port::CONFIG_IRQ_I] = events[1].into();
        self.dut.step(&i, &mut o)?;

        let (Access::Look(addr) | Access::Read(addr) | Access::Write { addr, .. }) = access;
        let (read, due) = (o[port::RDATA_O], self.expected(addr));
        self.dut.check(read == u64::from(due), || {
            format!("{addr:#x} reads {read:#x}, not {due:#x}: {:?}", self.card)
        })?;
        self.report.add("words", 1);

        // 4.1.4.3.1: the generation counts every change; the driver is told of those that are not its own.
        let link = self.card.link != self.link;
        let changed = link || self.card.mac != self.mac;
        let told = [o[port::CHANGE_O], o[port::NOTIFY_O], o[port::BUSY_O]];
        let due = [changed.into(), link.into(), changed.into()];
        self.dut.check(told == due, || {
            format!("change, notify, busy: {told:?} instead of {due:?}")
        })?;
        self.report.add("link changes", link.into());
        self.report.add("other changes", (changed && !link).into());

        // 4.1.4.5: a read clears, a write does not; what comes meanwhile is not lost.
        let cleared = access == Access::Read(ISR) || clear;
        let new = u32::from(events[0]) | u32::from(events[1]) << 1;
        self.report.add(
            "bits set while others are read",
            (cleared && new != 0).into(),
        );
        self.isr = if cleared { 0 } else { self.isr } | new;
        (self.link, self.mac) = (self.card.link, self.card.mac);
        Ok(())
    }
}
