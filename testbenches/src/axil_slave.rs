//! Testbench of `axil_slave`: AXI4-Lite accesses in any rhythm, and the register requests that they become.

use crate::{Error, Options, Report, Testbench, block::axil_slave as port, dut::Dut};
use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// `axil_slave` between a bus master and registers.
pub const AXIL_SLAVE: Testbench = Testbench {
    name: "axil_slave",
    about: "each access once, in PCI's order, answered with what its register said; sleep",
    run,
};

/// Pages of the MSI-X table and its pending bits.
const MESSAGES: [u16; 2] = [4, 5];
/// Cycles from a whole access, to which nothing is an obstacle, to its request.
const LATENCY: u64 = 1;

/// An access that was accepted and not carried out.
struct Pending<T> {
    since: u64,
    access: T,
}

/// A channel of the master: what it offers until it is taken.
struct Offer<T> {
    offer: Option<T>,
}

impl<T: Copy> Offer<T> {
    /// What is on the channel in this cycle; a new one sometimes.
    fn drive(&mut self, new: Option<T>) -> Option<T> {
        self.offer = self.offer.or(new);
        self.offer
    }
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    aw: Offer<u16>,
    w: Offer<(u32, u8)>,
    ar: Offer<u16>,
    addresses: VecDeque<Pending<u16>>,
    data: VecDeque<Pending<(u32, u8)>>,
    reads: VecDeque<Pending<u16>>,
    /// Writes that were carried out, without response.
    unanswered: u64,
    /// Values of the reads that were carried out, without response.
    values: VecDeque<u32>,
    /// Cycles since an obstacle last stood in the way of a write, and of a read.
    free: [u64; 2],
    /// What the responses were in the cycle before, when they were not taken.
    waiting: [Option<u32>; 2],
    messages_idle: bool,
    awake: bool,
    /// Chances of an access, of a ready, of messages that begin or end.
    rates: [f64; 3],
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut bench = Bench {
        dut: Dut::open(port::NAME, options)?,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        aw: Offer { offer: None },
        w: Offer { offer: None },
        ar: Offer { offer: None },
        addresses: VecDeque::new(),
        data: VecDeque::new(),
        reads: VecDeque::new(),
        unanswered: 0,
        values: VecDeque::new(),
        free: [0; 2],
        waiting: [None; 2],
        messages_idle: true,
        awake: true,
        rates: [0.; 3],
        report: Report::default(),
    };
    for _ in 0..100 * options.effort {
        for rate in &mut bench.rates {
            *rate = *[0.02, 0.3, 0.8, 1.0].choose(&mut bench.rng).unwrap_or(&0.3);
        }
        for _ in 0..400 {
            bench.cycle(true)?;
        }
        bench.end()?;
    }
    bench.report.cycles = bench.dut.cycle();
    Ok(bench.report)
}

impl Bench {
    /// Nothing new; all that was begun is answered.
    fn end(&mut self) -> Result<(), Error> {
        self.rates[1] = 1.;
        self.messages_idle = true;
        for _ in 0..40 {
            // Both halves of a write.
            let [addresses, data] = [
                self.addresses.len() + usize::from(self.aw.offer.is_some()),
                self.data.len() + usize::from(self.w.offer.is_some()),
            ];
            if addresses < data {
                self.aw.offer = self.aw.offer.or(Some(self.rng.random()));
            }
            if data < addresses {
                self.w.offer = self.w.offer.or(Some((self.rng.random(), 0xf)));
            }
            self.cycle(false)?;
        }
        let none = self.aw.offer.is_none() && self.w.offer.is_none() && self.ar.offer.is_none();
        self.dut
            .check(none && self.is_idle(), || "an access has no end".into())
    }

    fn is_idle(&self) -> bool {
        let waiting = self.addresses.len() + self.data.len() + self.reads.len();
        waiting + self.values.len() == 0 && self.unanswered == 0
    }

    fn cycle(&mut self, more: bool) -> Result<(), Error> {
        let now = self.dut.cycle();
        let idle = self.is_idle();
        let [access, ready, change] = self.rates;
        let rng = &mut self.rng;
        let mut chance = |rate: f64| rng.random_bool(rate);
        if more && chance(change / 10.) {
            self.messages_idle = !self.messages_idle;
        }
        let new = [(); 3].map(|()| more && chance(access));
        let address = |rng: &mut ChaCha8Rng| match rng.random_range(0..3) {
            // MSI-X table and pending bits.
            0 => 0x4000 | rng.random_range(0..0x2000),
            _ => rng.random(),
        };
        let aw = self.aw.drive(new[0].then(|| address(rng)));
        let w = self
            .w
            .drive(new[1].then(|| (rng.next_u32(), rng.random_range(0..16))));
        let ar = self.ar.drive(new[2].then(|| address(rng)));
        // Who asleep is offered an access wakes in one of the next cycles.
        self.awake = !idle || rng.random_bool(0.5);

        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::AWAKE_I] = self.awake.into();
        i[port::AWVALID_I] = aw.is_some().into();
        i[port::AWADDR_I] = aw.unwrap_or_default().into();
        i[port::WVALID_I] = w.is_some().into();
        i[port::WDATA_I] = w.unwrap_or_default().0.into();
        i[port::WSTRB_I] = w.unwrap_or_default().1.into();
        i[port::ARVALID_I] = ar.is_some().into();
        i[port::ARADDR_I] = ar.unwrap_or_default().into();
        i[port::BREADY_I] = rng.random_bool(ready).into();
        i[port::RREADY_I] = rng.random_bool(ready).into();
        i[port::MESSAGES_IDLE_I] = self.messages_idle.into();
        let value = rng.next_u32();
        i[port::RDATA_I] = value.into();
        self.dut.step(&i, &mut o)?;

        self.dut.check(o[port::BUSY_O] == u64::from(!idle), || {
            format!("busy_o {} with nothing to do: {idle}", o[port::BUSY_O])
        })?;
        self.report.add("cycles asleep", (!self.awake).into());
        self.request(now, o[port::REQ_O], value)?;
        self.respond(&i, &o)?;
        self.accept(now, &o)
    }

    /// The register request of this cycle.
    fn request(&mut self, now: u64, request: u64, value: u32) -> Result<(), Error> {
        let [write, read] = [request >> 53 & 1, request >> 52 & 1].map(|bit| bit == 1);
        let (addr, data, strb) = (
            (request >> 36) as u16,
            (request >> 4) as u32,
            (request & 0xf) as u8,
        );
        let whole = |bench: &Self| {
            let (address, data) = (bench.addresses.front()?, bench.data.front()?);
            Some(address.since.max(data.since))
        };
        let due = whole(self);
        // Until its response is taken, the next one waits.
        self.free[0] = if self.unanswered == 0 {
            self.free[0]
        } else {
            now + 1
        };
        let late = due.is_some_and(|since| now > since.max(self.free[0]) + LATENCY);
        self.dut.check(write || !late, || "a write waits".into())?;
        if write {
            let front = self.addresses.pop_front().zip(self.data.pop_front());
            let expected = front.map(|(address, data)| (address.access & !3, data.access));
            self.dut
                .check(!read && expected == Some((addr, (data, strb))), || {
                    format!("{addr:#x} = {data:#x}/{strb:04b}, not {expected:x?} (read: {read})")
                })?;
            self.unanswered += 1;
            self.report.add("writes", 1);
        }

        let behind = self.reads.front().is_some_and(|read| {
            let page = read.access >> 12;
            MESSAGES.contains(&page) && !self.messages_idle
        });
        let half = !self.addresses.is_empty() || !self.data.is_empty();
        let obstacle = behind || half || write || !self.values.is_empty();
        let late = self
            .reads
            .front()
            .is_some_and(|read| now > read.since.max(self.free[1]) + LATENCY);
        self.dut
            .check(read || obstacle || !late, || "a read waits".into())?;
        if obstacle {
            self.free[1] = now + 1;
        }
        if read {
            let expected = self.reads.pop_front();
            let since = expected.as_ref().map_or(0, |read| read.since);
            let expected = expected.map(|read| read.access & !3);
            self.dut.check(expected == Some(addr), || {
                format!("{addr:#x} is read, not {expected:x?}")
            })?;
            self.dut
                .check(!behind, || "a read overtakes a message".into())?;
            let overtaken = due.is_some_and(|whole| !write && whole <= since);
            self.dut
                .check(!overtaken, || "a read overtakes a write".into())?;
            self.values.push_back(value);
            self.report.add("reads", 1);
        }
        self.report.add("reads behind messages", behind.into());
        let behind_write = write && !self.reads.is_empty();
        self.report.add("reads behind writes", behind_write.into());
        Ok(())
    }

    /// The responses of this cycle.
    fn respond(
        &mut self,
        i: &[u64; port::IN_WORDS],
        o: &[u64; port::OUT_WORDS],
    ) -> Result<(), Error> {
        let b = (o[port::BVALID_O] == 1).then_some(o[port::BRESP_O] as u32);
        let r = (o[port::RVALID_O] == 1).then_some(o[port::RDATA_O] as u32);
        for (what, before, now) in [("B", self.waiting[0], b), ("R", self.waiting[1], r)] {
            self.dut.check(before.is_none() || before == now, || {
                format!("{what} was {before:x?} and is {now:x?}")
            })?;
        }
        // What was asked for in this cycle is answered in the next one.
        let asked = [o[port::REQ_O] >> 53 & 1, o[port::REQ_O] >> 52 & 1];
        let owed = [
            self.unanswered > asked[0],
            self.values.len() as u64 > asked[1],
        ];
        let good = b.is_some() == owed[0] && r.is_some() == owed[1];
        self.dut
            .check(good, || format!("B {b:x?}, R {r:x?}, owed: {owed:?}"))?;
        self.dut.check(
            b.is_none_or(|resp| resp == 0) && o[port::RRESP_O] == 0,
            || "a response is not OKAY".into(),
        )?;
        self.dut
            .check(r.is_none() || r == self.values.front().copied(), || {
                format!("read {r:x?}, not {:x?}", self.values.front())
            })?;
        self.waiting = [b, r];
        if b.is_some() && i[port::BREADY_I] == 1 {
            self.unanswered -= 1;
            self.waiting[0] = None;
        }
        if r.is_some() && i[port::RREADY_I] == 1 {
            self.values.pop_front();
            self.waiting[1] = None;
        }
        Ok(())
    }

    /// What the block takes in this cycle.
    fn accept(&mut self, since: u64, o: &[u64; port::OUT_WORDS]) -> Result<(), Error> {
        let ready = [
            o[port::AWREADY_O] == 1,
            o[port::WREADY_O] == 1,
            o[port::ARREADY_O] == 1,
        ];
        let asleep = !self.awake && ready != [false; 3];
        self.dut
            .check(!asleep, || "accepts with a clock that stands".into())?;
        if ready[0]
            && let Some(access) = self.aw.offer.take()
        {
            self.addresses.push_back(Pending { since, access });
        }
        if ready[1]
            && let Some(access) = self.w.offer.take()
        {
            self.data.push_back(Pending { since, access });
        }
        if ready[2]
            && let Some(access) = self.ar.offer.take()
        {
            self.reads.push_back(Pending { since, access });
        }
        Ok(())
    }
}
