//! Testbench of `common_cfg`: a driver that sets queues up, resets them and does many things that it
//! should not, against the registers of the specification.

mod driver;
pub(crate) mod registers;

use crate::{
    Error, Options, Report, Testbench, block::common_cfg as port, bundle::Access, dut::Dut,
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use registers::{QUEUES, Queue, Registers, feature, field, status};

/// `common_cfg` between a driver, queues and MSI-X.
pub const COMMON_CFG: Testbench = Testbench {
    name: "common_cfg",
    about: "every register in any size, negotiation, queue numbers, resets of queues and device, errors",
    run,
};

/// Queues and messages must have been still for so many cycles before a reset ends.
const QUIET: u32 = 4;
/// A reset ends so many cycles after all is still.
const PATIENCE: u32 = 60;
/// Errors come of what was not idle so many cycles ago.
const ECHO: u32 = 4;

/// A queue, or the messages, as the block sees them.
#[derive(Debug, Clone, Copy)]
struct Worker {
    idle: bool,
    /// Its completions do not come.
    lost: bool,
    /// Whether it was still (idle, or lost), the last cycle in bit 0.
    still: u32,
    /// Likewise, whether it was idle.
    idled: u32,
}

struct Bench {
    dut: Dut,
    rng: ChaCha8Rng,
    registers: Registers,
    /// Queues, and behind them the messages.
    workers: [Worker; QUEUES + 1],
    lost_messages: bool,
    /// The selected queue was in reset, as it read in the cycle before.
    polled: bool,
    /// queue_reset_done_o of the cycle before.
    ended: u64,
    /// Cycles since all was still in a reset.
    waits: u32,
    events: f64,
    /// Whoever is at work comes to an end.
    calm: bool,
    /// Inputs and outputs of a cycle without busy_o, after which the next one with the same has the same.
    asleep: Option<([u64; port::IN_WORDS], [u64; port::OUT_WORDS])>,
    report: Report,
}

fn run(options: &Options) -> Result<Report, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut dut = Dut::open(port::NAME, options)?;
    let mut report = Report::default();
    for _ in 0..150 * options.effort {
        dut.reset()?;
        let base = feature::VERSION_1 | feature::RING_PACKED | feature::RING_RESET;
        let offered = match rng.random_range(0..3) {
            0 => feature::completed(base | rng.random::<u64>()),
            _ => u64::MAX,
        };
        let pairs = rng.random_range(1..=2);
        let still = Worker {
            idle: true,
            lost: false,
            still: u32::MAX,
            idled: u32::MAX,
        };
        let mut bench = Bench {
            dut,
            registers: Registers::new(offered, pairs, 2 * pairs + 2),
            workers: [still; QUEUES + 1],
            lost_messages: false,
            polled: false,
            ended: 0,
            waits: 0,
            events: *[0.0, 0.01, 0.1].choose(&mut rng).unwrap_or(&0.0),
            calm: false,
            asleep: None,
            report: Report::default(),
            rng: ChaCha8Rng::seed_from_u64(rng.random()),
        };
        for _ in 0..3 {
            bench.session()?;
        }
        report.merge(&bench.report);
        dut = bench.dut;
    }
    report.cycles = dut.cycle();
    Ok(report)
}

impl Bench {
    /// Whether the registers of the selected queue may change by themselves.
    fn selected_in_reset(&self) -> bool {
        let selected = self.registers.selected();
        selected.is_some_and(|place| self.registers.queues[place].reset)
    }

    /// One cycle in which the driver does `access`; with a reset of the selected queue under way it
    /// looks at nothing else.
    fn cycle(&mut self, access: Access) -> Result<(), Error> {
        let access = match access {
            Access::Write { .. } => access,
            _ if self.selected_in_reset() => Access::Look(field::QUEUE_NOTIFY_DATA),
            _ => access,
        };
        let (mut i, mut o) = (port::inputs(), port::outputs());
        i[port::REQ_I] = access.word();
        i[port::FEATURES_I] = self.registers.offered;
        i[port::QUEUE_PAIRS_I] = self.registers.pairs.into();
        i[port::VECTORS_I] = self.registers.vectors.into();
        let mut error = self.world(&mut i);
        self.dut.step(&i, &mut o)?;

        self.check_sleep(&i, &o)?;
        self.check_read(access, &o)?;
        self.check_outputs(&o)?;
        let before = self.registers.clone();
        if let Access::Write { addr, data, strb } = access
            && addr < 0x1000
        {
            error |= self.write(addr, data, strb);
        }
        self.end_of_cycle(&before, &i, &o, error)
    }

    /// What queues and messages do; whether one of them tells of an error.
    fn world(&mut self, i: &mut [u64]) -> bool {
        let change = self.rng.random_bool(self.events);
        i[port::CONFIG_CHANGE_I] = change.into();
        i[port::CONFIG_NOTIFY_I] = u64::from(change && self.rng.random());
        let mut error = false;
        for place in 0..=QUEUES {
            let live = place == QUEUES || self.registers.live(place);
            let worker = &mut self.workers[place];
            if worker.idle {
                worker.idle = self.calm || !(live && self.rng.random_bool(0.2));
            } else if worker.lost {
                // Late, but there.
                worker.idle = self.rng.random_bool(0.005);
            } else {
                worker.idle = self.calm || self.rng.random_bool(0.1);
                worker.lost = !worker.idle && self.rng.random_bool(0.2 * self.events);
            }
            worker.lost &= !worker.idle;
            let idled = worker.idled & ((1 << ECHO) - 1) != 0;
            let working = !(worker.idle || worker.lost || idled);
            let wrong = working && self.rng.random_bool(self.events / 4.0);
            error |= wrong;
            if place == QUEUES {
                i[port::DEVICE_IDLE_I] = worker.idle.into();
                i[port::DEVICE_ERROR_I] = wrong.into();
            } else {
                i[port::QUEUE_IDLE_I] |= u64::from(worker.idle) << place;
                i[port::QUEUE_ERROR_I] |= u64::from(wrong) << place;
            }
            i[port::LOST_I] |= u64::from(worker.lost) << place;
        }
        error
    }

    /// Without busy_o nothing changes that no input changes.
    fn check_sleep(
        &mut self,
        i: &[u64; port::IN_WORDS],
        o: &[u64; port::OUT_WORDS],
    ) -> Result<(), Error> {
        let same = self.asleep.filter(|(inputs, _)| inputs == i);
        if let Some((_, before)) = same {
            self.dut.check(before == *o, || {
                format!("{before:x?} changed to {o:x?} without busy_o")
            })?;
            self.report.add("cycles asleep", 1);
        }
        let pulses = [
            port::CONFIG_CHANGE_I,
            port::QUEUE_ERROR_I,
            port::DEVICE_ERROR_I,
            port::LOST_I,
        ];
        let quiet = pulses.iter().all(|at| i[*at] == 0) && i[port::REQ_I] >> 53 == 0;
        self.asleep = (quiet && o[port::BUSY_O] == 0).then_some((*i, *o));
        Ok(())
    }

    fn check_read(&mut self, access: Access, o: &[u64]) -> Result<(), Error> {
        let (Access::Look(addr) | Access::Read(addr) | Access::Write { addr, .. }) = access;
        let read = o[port::RDATA_O] as u32;
        let polling = addr == field::QUEUE_NOTIFY_DATA && self.selected_in_reset();
        if let Some(place) = self.registers.selected().filter(|_| polling) {
            if read >> 16 == 0 {
                self.queue_reset_ended(place)?;
            } else {
                self.wait(place)?;
            }
            self.polled = read >> 16 != 0;
            self.dut
                .check(!self.polled || self.ended >> place & 1 == 0, || {
                    format!("queue_reset of {place} is told to have ended")
                })?;
        } else {
            self.polled = false;
        }
        let expected = self.registers.word(addr);
        let held = matches!(access, Access::Write { .. }) && self.selected_in_reset();
        self.dut.check(read == expected || held, || {
            format!("{addr:#x} reads {read:#x} instead of {expected:#x}")
        })?;
        self.report.add("registers read", 1);
        Ok(())
    }

    /// queue_reset of a queue reads 0: when nothing of the queue was under way any more.
    fn queue_reset_ended(&mut self, place: usize) -> Result<(), Error> {
        // The end was in the cycle before this one, which saw what the one before it had sampled.
        let still = (self.workers[place].still & self.workers[QUEUES].still) >> 1;
        let quiet = still & ((1 << QUIET) - 1) == (1 << QUIET) - 1;
        let told = self.ended >> place & 1 == 1;
        self.dut.check(!self.polled || (quiet && told), || {
            format!(
                "queue_reset of {place} ended (told: {told}) amid {:?}",
                self.workers
            )
        })?;
        self.registers.queues[place] = Queue::NEW;
        self.waits = 0;
        self.report.add("queue resets", 1);
        Ok(())
    }

    /// It reads 1, or the device is in reset: not for ever.
    fn wait(&mut self, place: usize) -> Result<(), Error> {
        let still = self.workers.iter().all(|worker| worker.still & 1 == 1);
        self.waits = if still { self.waits + 1 } else { 0 };
        self.dut.check(self.waits < PATIENCE, || {
            format!("the reset of {place} does not end")
        })
    }

    fn check_outputs(&mut self, o: &[u64]) -> Result<(), Error> {
        let registers = &self.registers;
        let named = [
            (
                "config_vector_o",
                port::CONFIG_VECTOR_O,
                registers.config_vector.into(),
            ),
            (
                "driver_features_o",
                port::DRIVER_FEATURES_O,
                registers.driver_features,
            ),
            ("pairs_o", port::PAIRS_O, registers.numbered_pairs().into()),
        ];
        for (name, at, expected) in named {
            self.dut.check(o[at] == expected, || {
                format!("{name} {:#x} instead of {expected:#x}", o[at])
            })?;
        }
        let mut in_reset = registers.resetting;
        for (place, queue) in registers.queues.iter().enumerate() {
            let shown = &o[port::QUEUE_O + 4 * place..][..4];
            let vector = o[port::QUEUE_VECTOR_O + place];
            let is = |queue: &Queue| {
                let [desc, driver, device] = queue.areas;
                let rest = u64::from(queue.size) | u64::from(registers.live(place)) << 16;
                shown == [device, driver, desc, rest] && vector == u64::from(queue.vector)
            };
            // When nobody looks, its reset may be over.
            let good = is(queue) || (queue.reset && is(&Queue::NEW));
            self.dut.check(good, || {
                format!("queue {place}: {shown:x?}, vector {vector:#x} instead of {queue:x?}")
            })?;
            in_reset |= queue.reset && self.polled;
        }
        // Without a clock a reset would not end.
        let maybe = in_reset || registers.queues.iter().any(|queue| queue.reset);
        let busy = o[port::BUSY_O] == 1;
        self.dut
            .check(busy == in_reset || (busy == maybe && maybe), || {
                format!("busy_o {busy}")
            })
    }

    /// The bytes that the strobes choose, which are 1, 2 or 4 in their own place.
    fn write(&mut self, addr: u16, data: u32, strb: u8) -> bool {
        let first = strb.trailing_zeros() as usize;
        let count = strb.count_ones() as usize;
        let bytes = data.to_le_bytes();
        let at = addr + first as u16;
        self.registers.write(at, &bytes[first..first + count])
    }

    /// What changes by itself; `before` are the registers before the driver's write.
    fn end_of_cycle(
        &mut self,
        before: &Registers,
        i: &[u64],
        o: &[u64],
        mut error: bool,
    ) -> Result<(), Error> {
        for place in 0..QUEUES {
            let failed = before.live(place) && self.workers[place].lost;
            error |= failed;
            let wrong = failed || i[port::QUEUE_ERROR_I] >> place & 1 == 1;
            self.registers.queues[place].stopped |= wrong;
        }
        let lost_messages = self.workers[QUEUES].lost;
        error |= lost_messages && !self.lost_messages;
        self.lost_messages = lost_messages;

        // 2.1.2: what makes the device need a reset is told, once, as is a changed configuration.
        let change = i[port::CONFIG_CHANGE_I] == 1;
        let first = error && !before.has(status::NEEDS_RESET);
        let notify = change && i[port::CONFIG_NOTIFY_I] == 1;
        let told = before.ready() && (first || notify);
        let irq = o[port::CONFIG_IRQ_O] == 1;
        self.dut
            .check(irq == told, || format!("config_irq_o {irq}"))?;
        self.report.add("notifications", irq.into());
        if error {
            self.registers.status |= status::NEEDS_RESET;
            self.report.add("errors", 1);
        }
        self.registers.generation = self.registers.generation.wrapping_add(change.into());

        if o[port::RESET_DONE_O] == 1 {
            let mask = (1 << QUIET) - 1;
            let still = self
                .workers
                .iter()
                .all(|worker| worker.still & mask == mask);
            self.dut.check(before.resetting && still, || {
                format!("a device reset ends amid {:?}", self.workers)
            })?;
            let within = before.queues.iter().any(|queue| queue.reset);
            self.report
                .add("device resets amid those of queues", within.into());
            self.registers.reset();
            self.waits = 0;
            self.report.add("device resets", 1);
            self.report.add("changes at a reset", change.into());
        } else if self.registers.resetting {
            self.wait(QUEUES)?;
        }
        self.ended = o[port::QUEUE_RESET_DONE_O];
        for worker in &mut self.workers {
            worker.still = worker.still << 1 | u32::from(worker.idle || worker.lost);
            worker.idled = worker.idled << 1 | u32::from(worker.idle);
        }
        Ok(())
    }
}
