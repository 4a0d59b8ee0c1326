//! One host: CPU, NIC, driver, kernel path and applications, in one deterministic event loop.
//!
//! ```text
//! wire ─► NIC ─► memory ─► MSI-X ─► interrupt ─► NAPI poll ─► stack ─► application
//!                                                                               │
//! wire ◄─ NIC ◄─ memory ◄─ doorbell ◄──────────── driver ◄─ stack ◄───────┘
//! ```
//!
//! Time is the CPU's or the NIC's, whoever is behind: each piece of work takes the CPU as long as it
//! costs, and before the driver is entered the NIC runs on up to then; while the CPU has nothing to do both
//! jump to the next event. An interrupt is taken between two pieces of work, as if the softirq ran with
//! interrupts off.

mod accounts;
mod counters;
mod driver_entry;
mod machine;
mod platform;
mod stage_cost;
mod udp;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use driver::{Feature, Options, VirtioNet};
use hwmodel::{
    Device, ModelConfig, ModelNic, MsixMessage, Nic, NicConfig, PinsIn, Stop, WireFrame,
};
use stack::{IfIndex, IpCidr, Stack, StackConfig};

use self::driver_entry::DriverEntry;
use self::machine::{CpuTracer, Machine, Shared};
use self::platform::{SimDma, SimIrq, SimPci};
use self::udp::UdpServer;
use crate::addr::{IfAddr, Mac};
use crate::cpu::Costs;
use crate::error::Error;
use crate::link::Link;
use crate::trace::{Ps, Recorder};

/// Shortest frame on a wire in bytes, FCS not included (IEEE 802.3 4.4.2 minFrameSize).
const MIN_FRAME: usize = 60;
/// A machine in which nothing happened for this long has nothing in flight.
const QUIET: Ps = 50_000_000;
/// Fragments wait for 60 s at most, neighbours for less.
const LONGEST_TIMER: Ps = 61_000_000_000_000;

/// What a host is made of.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Ethernet address of the NIC.
    pub mac: Mac,
    /// Addresses of the interface.
    pub addrs: Vec<IfAddr>,
    /// UDP ports that echo what they get.
    pub udp_echo: Vec<u16>,
    /// UDP ports whose datagrams are read and not answered.
    pub udp_discard: Vec<u16>,
    /// Longest IP packet, bytes.
    pub mtu: u16,
    /// Features that the NIC offers besides [`Feature::BASIC`]. Without any, and with one queue pair, it is
    /// simulated fastest.
    pub features_on: Feature,
    /// Features that the NIC does not offer.
    pub features_off: Feature,
    /// Queue pairs of the NIC, 1..=8.
    pub queue_pairs: u16,
    /// Seed of what the kernel path draws at random; the card and its bus draw nothing.
    pub seed: u64,
    /// Whether quiescent cycles are skipped; results are the same.
    pub idle_skip: bool,
    /// Where the NIC's signals are written to.
    pub waves: Option<PathBuf>,
    /// Whether every packet's journey is recorded.
    pub record: bool,
    /// Whether the stimulus of the NIC's pins is recorded, for [`Host::pins`].
    pub record_pins: bool,
    /// Prices of the CPU's work.
    pub costs: Costs,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            mac: Mac([0x02, 0, 0, 0, 0, 0x0b]),
            addrs: Vec::new(),
            udp_echo: vec![7],
            udp_discard: Vec::new(),
            mtu: 1500,
            features_on: Feature::NONE,
            features_off: Feature::NONE,
            queue_pairs: 1,
            seed: 1,
            idle_skip: true,
            waves: None,
            record: false,
            record_pins: false,
            costs: Costs::default(),
        }
    }
}

type Net<D> = VirtioNet<SimPci<D>, SimDma<D>, SimIrq>;

/// A running host. `D` is its card: the RTL, or whatever else is a [`Device`].
pub struct Host<D: Device = Nic> {
    machine: Shared<D>,
    net: Rc<RefCell<Net<D>>>,
    stack: Stack,
    ifindex: IfIndex,
    server: UdpServer,
    link: Link,
    seed: u64,
    /// The receive softirq is to run.
    softirq: bool,
    interrupts: u64,
    recoveries: u64,
}

impl Host<Nic> {
    /// A host whose card is the RTL: [`Host::with_device`].
    ///
    /// # Errors
    /// As there, and [`Error::Machine`] when the RTL does not start.
    pub fn new(config: &HostConfig) -> Result<Self, Error> {
        let nic = Nic::new(nic_config(config))
            .map_err(|e| Error::machine("the NIC does not start", e))?;
        Self::with_device(nic, config)
    }

    /// The NIC's options and what was applied to its pins since power-on, when that was recorded.
    pub fn pins(&self) -> Option<(NicConfig, Vec<PinsIn>)> {
        let machine = self.machine.borrow();
        let recording = machine.device.recording()?;
        Some((machine.device.config().clone(), recording.pins.clone()))
    }
}

impl Host<ModelNic> {
    /// A host whose card is the behavioural model: [`Host::with_device`].
    ///
    /// # Errors
    /// As there, and [`Error::Machine`] when there is no memory for it.
    pub fn with_model(config: &HostConfig) -> Result<Self, Error> {
        let nic = ModelNic::new(model_config(config))
            .map_err(|e| Error::machine("the NIC does not start", e))?;
        Self::with_device(nic, config)
    }
}

impl<D: Device + 'static> Host<D> {
    /// Builds the machine around `nic`, lets the driver find and start it, and configures the
    /// interface. Of `config` the options of the card are for whoever made it.
    ///
    /// # Errors
    /// [`Error::Machine`] when the driver does not come up, [`Error::Option`] when an address cannot be
    /// used.
    pub fn with_device(nic: D, config: &HostConfig) -> Result<Self, Error> {
        let recorder = config.record.then(Recorder::default);
        let machine = Rc::new(RefCell::new(Machine::new(
            nic,
            config.costs.clone(),
            recorder,
        )));
        let options = Options {
            mtu: config.mtu,
            fallback_mac: config.mac.0,
            ..Options::default()
        };
        let net = Net::<D>::probe(
            SimPci(machine.clone()),
            SimDma::new(machine.clone()),
            SimIrq,
            options,
        )
        .map_err(|e| Error::machine("the driver cannot use the NIC", e))?;
        machine.borrow_mut().check()?;

        let net = Rc::new(RefCell::new(net));
        let mut stack = Stack::new(StackConfig {
            seed: config.seed,
            ..StackConfig::default()
        });
        let entry = DriverEntry {
            machine: machine.clone(),
            net: net.clone(),
        };
        let ifindex = stack.add_device("eth0", Box::new(entry));
        for addr in &config.addrs {
            let refused = |reason: String| Error::Option {
                option: "--addr",
                value: addr.to_string(),
                reason,
            };
            let cidr =
                IpCidr::new(addr.addr, addr.prefix_len).map_err(|e| refused(e.to_string()))?;
            stack
                .add_addr(ifindex, cidr)
                .map_err(|e| refused(e.to_string()))?;
        }
        let server = UdpServer::bind(&mut stack, &config.udp_echo, &config.udp_discard)?;
        stack.set_tracer(Box::new(CpuTracer(machine.clone())));
        let mut host = Self {
            machine,
            net,
            stack,
            ifindex,
            server,
            link: Link::default(),
            seed: config.seed,
            softirq: false,
            interrupts: 0,
            recoveries: 0,
        };
        // Register writes are posted: the NIC must have seen the last one before it can receive.
        host.run_until_quiet()?;
        Ok(host)
    }

    /// Simulated time: everything before it has happened.
    pub fn now(&self) -> Ps {
        self.machine.borrow().cpu.now()
    }

    /// Puts a frame on the wire, `at` the earliest, behind those that were put there before, and pads
    /// it to the shortest length that a wire carries. `number` names it in the trace. Returns the time
    /// of its first byte.
    pub fn wire_in(&mut self, number: u64, at: Ps, mut bytes: Vec<u8>) -> Ps {
        if bytes.len() < MIN_FRAME {
            bytes.resize(MIN_FRAME, 0);
        }
        let mut machine = self.machine.borrow_mut();
        let earliest = at.max(machine.device.now());
        let slot = self.link.slot(earliest, bytes.len());
        machine.wire_in(number, slot.at, slot.end, bytes);
        slot.at
    }

    /// The oldest frame that left the NIC and was not taken.
    pub fn take_wire(&mut self) -> Option<WireFrame> {
        self.machine.borrow_mut().wire_out.pop_front()
    }

    /// Runs the host up to `until`.
    ///
    /// # Errors
    /// [`Error::Machine`]: a fault of the hardware model, e.g. a failed RTL assertion. The host cannot be
    /// used any more.
    pub fn run_until(&mut self, until: Ps) -> Result<(), Error> {
        loop {
            self.machine.borrow_mut().check()?;
            if self.work()? {
                continue;
            }
            let now = self.now();
            let timer = self.stack.next_timer();
            if timer.is_some_and(|at| at <= now) {
                self.stack.run_timers(now);
                self.after_kernel()?;
                continue;
            }
            if now >= until {
                return Ok(());
            }
            let wake = timer.map_or(until, |at| at.min(until));
            let mut machine = self.machine.borrow_mut();
            if machine.step(wake) == Stop::Time {
                machine.cpu.idle_until(wake);
            }
        }
    }

    /// Runs until nothing is in flight: nothing on the wire, in the NIC or in the rings.
    ///
    /// # Errors
    /// As [`Host::run_until`].
    pub fn run_until_quiet(&mut self) -> Result<(), Error> {
        loop {
            let before = self.activity();
            self.run_until(self.now() + QUIET)?;
            if self.activity() == before && self.machine.borrow().device.wire_pending() == 0 {
                return Ok(());
            }
        }
    }

    /// Runs until every packet has met its end, if need be until the timers give up on fragments that
    /// are missing and on neighbours that do not answer.
    ///
    /// # Errors
    /// As [`Host::run_until`].
    pub fn finish(&mut self) -> Result<(), Error> {
        self.run_until_quiet()?;
        let limit = self.now() + LONGEST_TIMER;
        while self.machine.borrow().accounts.waiting() {
            let Some(timer) = self.stack.next_timer().filter(|at| *at <= limit) else {
                break;
            };
            self.run_until(timer)?;
            self.run_until_quiet()?;
        }
        if let Some(recorder) = &mut self.machine.borrow_mut().recorder {
            recorder.close();
        }
        Ok(())
    }

    /// Clock cycles of the NIC that were evaluated so far.
    pub fn cycles(&self) -> u64 {
        self.machine.borrow().device.counters().cycles
    }

    /// The kernel path, to configure it (`ip`, `sysctl`, `nft`, `tc`, `ethtool -K`).
    pub fn stack(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// Its interface to the NIC.
    pub fn ifindex(&self) -> IfIndex {
        self.ifindex
    }

    /// The driver's counters, as `ethtool -S` shows them.
    pub fn driver_stats(&self) -> driver::Stats {
        *self.net.borrow().stats()
    }

    /// Those of one queue pair.
    pub fn queue_stats(&self, pair: u16) -> driver::QueueStats {
        self.net.borrow().queue_stats(pair)
    }

    /// What the driver negotiated.
    pub fn negotiated(&self) -> Feature {
        self.net.borrow().negotiated()
    }

    /// Time of the next thing that the kernel does on its own.
    pub fn next_timer(&self) -> Option<Ps> {
        self.stack.next_timer()
    }

    /// The journeys of all packets as text; empty when they were not recorded.
    pub fn trace(&self) -> String {
        self.machine
            .borrow()
            .recorder
            .as_ref()
            .map_or(String::new(), Recorder::text)
    }

    /// The journey of frame `number` and of what it caused.
    pub fn trace_of(&self, number: u64) -> String {
        let machine = self.machine.borrow();
        machine
            .recorder
            .as_ref()
            .map_or(String::new(), |r| r.text_of(number))
    }

    /// A number that changes whenever anything happens.
    fn activity(&self) -> [u64; 4] {
        let accounts = &self.machine.borrow().accounts;
        [
            accounts.frames_out,
            accounts.received(),
            self.interrupts,
            self.stack.stats().polls,
        ]
    }

    /// Does one thing that is due now. False when there is nothing.
    fn work(&mut self) -> Result<bool, Error> {
        let message = {
            let mut machine = self.machine.borrow_mut();
            machine.catch_up();
            machine.messages.pop_front()
        };
        if let Some(message) = message {
            self.interrupt(message)?;
        } else if self.softirq {
            let now = {
                let mut machine = self.machine.borrow_mut();
                let cost = machine.costs.softirq + machine.costs.napi_poll;
                machine.work(cost);
                machine.cpu.now()
            };
            self.softirq = self.stack.net_rx_action(now);
            self.after_kernel()?;
        } else if std::mem::take(&mut self.machine.borrow_mut().woken) {
            self.server.run(&mut self.stack, &self.machine);
            self.after_kernel()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The CPU takes an interrupt message.
    fn interrupt(&mut self, message: MsixMessage) -> Result<(), Error> {
        let vector = SimIrq::vector_of(message.address, message.data).ok_or_else(|| {
            Error::machine(
                "an interrupt message for nobody",
                format!("{:#x} to {:#x}", message.data, message.address),
            )
        })?;
        self.interrupts += 1;
        {
            let mut machine = self.machine.borrow_mut();
            let taken = machine
                .cpu
                .now()
                .max(message.at + machine.costs.irq_latency);
            machine.cpu.idle_until(taken);
            if let Some(recorder) = &mut machine.recorder {
                recorder.interrupt(message.at, taken, vector);
            }
            let cost = machine.costs.irq;
            machine.access(cost);
        }
        let action = self.net.borrow_mut().handle_irq(vector);
        self.schedule(action.schedule_napi);
        if action.needs_reset {
            self.recoveries += 1;
            self.net.borrow_mut().reset_and_recover().map_err(|e| {
                Error::machine("the NIC asked for a reset and did not come back", e)
            })?;
            // What the kernel path holds back for want of ring space goes on after a poll.
            self.schedule(u32::MAX);
        }
        Ok(())
    }

    /// Puts the NAPI instances of these queue pairs on the poll list; bit n is pair n.
    fn schedule(&mut self, pairs: u32) {
        for queue in (0..32).filter(|queue| pairs & 1 << queue != 0) {
            self.stack.napi_schedule_queue(self.ifindex, queue);
            self.softirq = true;
        }
    }

    /// What the kernel path left to be done: polls that it scheduled itself (loopback, a queue that
    /// waits for pages), and what Linux leaves to delayed work: receive buffers that became free while
    /// the ring was empty.
    fn after_kernel(&mut self) -> Result<(), Error> {
        self.softirq |= self.stack.softirq_pending();
        let mut net = self.net.borrow_mut();
        if net.rx_starved() {
            self.machine.borrow_mut().catch_up();
            net.refill();
        }
        if net.needs_reset() {
            let stats = net.stats();
            return Err(Error::machine(
                "the driver found that the NIC breaks the rules of the rings",
                format!(
                    "{} bad buffer ids, {} bad lengths",
                    stats.bad_used_id, stats.bad_used_len
                ),
            ));
        }
        Ok(())
    }
}

/// What the card may offer: a NIC with less is simulated faster.
fn offered(config: &HostConfig) -> u64 {
    let on = Feature::BASIC | config.features_on;
    on.without(config.features_off).bits()
}

fn nic_config(config: &HostConfig) -> NicConfig {
    let default = NicConfig::default();
    NicConfig {
        mac: config.mac.0,
        mtu: config.mtu,
        features: offered(config),
        queue_pairs: config.queue_pairs,
        seed: config.seed,
        idle_skip: config.idle_skip,
        waves: config.waves.clone(),
        record: config.record_pins,
        ..default
    }
}

fn model_config(config: &HostConfig) -> ModelConfig {
    let default = ModelConfig::default();
    ModelConfig {
        mac: config.mac.0,
        mtu: config.mtu,
        features: offered(config),
        queue_pairs: config.queue_pairs,
        ..default
    }
}
