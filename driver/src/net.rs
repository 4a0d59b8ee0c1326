//! Life of the device: probe, recovery, removal.

use stack::page_pool::PagePool;

use std::rc::Rc;

use crate::config::NetConfig;
use crate::control::Settings;
use crate::ctrl::{self, ControlQueue};
use crate::dma::{DmaMemory, DmaRegion};
use crate::error::Error;
use crate::features::Feature;
use crate::interrupts::Interrupts;
use crate::msix::{self, Vectors};
use crate::options::{MAX_QUEUE_PAIRS, Options, TxCompletion};
use crate::pci::{self, MsixCapability};
use crate::queue_pair::{QueuePair, QueueStats};
use crate::registers::PciRegisters;
use crate::ring::MAX_SIZE;
use crate::rx::{self, ETH_OVERHEAD, RxQueue};
use crate::stats::Stats;
use crate::transport::{Transport, status};
use crate::tx::{self, TxQueue};
use crate::virtqueue::Virtqueue;

/// A queue of the device that carries frames; pairs are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// receiveq of this pair.
    Receive(u16),
    /// transmitq of this pair.
    Transmit(u16),
}

impl Queue {
    fn pair(self) -> usize {
        let (Self::Receive(pair) | Self::Transmit(pair)) = self;
        pair.into()
    }

    /// Its index (virtio 5.1.2).
    fn index(self) -> u16 {
        match self {
            Self::Receive(_) => QueuePair::rx_index(self.pair()),
            Self::Transmit(_) => QueuePair::tx_index(self.pair()),
        }
    }
}

/// One virtio network device with its queues.
///
/// It lives in one thread with the stack. The platform calls [`handle_irq`](Self::handle_irq); the
/// stack calls the methods of [`NetDeviceOps`](stack::netdev::NetDeviceOps). Share it between both
/// as [`NetDevHandle`]. Dropping it resets the device and frees everything.
pub struct VirtioNet<P: PciRegisters, D: DmaMemory, I: Interrupts> {
    pub(crate) transport: Transport<P>,
    pub(crate) irq: I,
    /// Where queues and pools come from; it outlives them.
    _dma: D,
    pub(crate) options: Options,
    pub(crate) features: Feature,
    pub(crate) config: NetConfig,
    /// Largest IP packet, bytes.
    pub(crate) mtu: u16,
    /// Largest MTU that the receive buffers were made for, bytes.
    pub(crate) buffer_mtu: u16,
    msix: MsixCapability,
    pub(crate) vectors: Vectors,
    /// Those in use, one at least.
    pub(crate) pairs: Box<[QueuePair]>,
    /// With VIRTIO_NET_F_CTRL_VQ.
    pub(crate) ctrl: Option<ControlQueue>,
    pub(crate) settings: Settings,
    pub(crate) stats: Stats,
    /// The device, or what it wrote, is broken: only a reset helps.
    pub(crate) needs_reset: bool,
    removed: bool,
}

/// The device shared between the stack, which boxes it, and the host, which delivers interrupts
/// to it and reads its counters.
pub type NetDevHandle<P, D, I> = std::rc::Rc<std::cell::RefCell<VirtioNet<P, D, I>>>;

impl<P: PciRegisters, D: DmaMemory, I: Interrupts> VirtioNet<P, D, I> {
    /// Takes possession of the function and brings it up (virtio 3.1.1, 4.1.5.1, 5.1.5).
    ///
    /// # Errors
    /// The function is not a usable virtio network device, or the platform lacks memory or
    /// vectors. The device is left reset, with FAILED set, as far as it can be reached.
    pub fn probe(mut pci: P, dma: D, irq: I, options: Options) -> Result<Self, Error> {
        check_options(&options)?;
        pci::match_device(&mut pci)?;
        let caps = pci::find_capabilities(&mut pci)?;
        let msix = caps.msix.ok_or(Error::MissingCapability("MSI-X"))?;
        let count = msix.table_size.min(irq.vectors());
        Vectors::assign(count, 1).ok_or(Error::NoVectors)?;

        pci::enable_memory(&mut pci)?;
        let mut transport = Transport::new(pci, &caps, options.poll_limit)?;
        match Self::bring_up(&mut transport, dma, irq, options) {
            Ok(parts) => {
                let pairs = parts.pairs.len() as u16;
                let vectors = Vectors::assign(count, pairs).ok_or(Error::NoVectors)?;
                let mut net = parts.into_net(transport, msix, vectors);
                if let Err(error) = net.start() {
                    net.fail();
                    net.removed = true; // keeps FAILED for whoever looks
                    return Err(error);
                }
                Ok(net)
            }
            Err(error) => {
                give_up(&mut transport);
                Err(error)
            }
        }
    }

    /// From reset to all memory in place; nothing is told to the device but its features.
    fn bring_up(
        transport: &mut Transport<P>,
        mut dma: D,
        irq: I,
        options: Options,
    ) -> Result<Parts<D, I>, Error> {
        transport.reset()?;
        // Only now: whatever had the device before cannot make it write to memory any more.
        pci::enable_bus_master(transport.pci())?;
        transport.add_status(status::ACKNOWLEDGE)?;
        transport.add_status(status::DRIVER)?;
        let offered = transport.offered_features()?;
        let features = Feature::negotiate(offered, options.features)?;
        transport.accept_features(features)?;

        let config = NetConfig::read(transport, features)?;
        let mtu = config
            .mtu
            .map_or(options.mtu, |mtu| mtu.min(options.max_mtu));

        let most = config.max_queue_pairs.unwrap_or(1).max(1);
        let count = most.min(options.queue_pairs);
        let num_queues = transport.num_queues()?;
        if num_queues < 2 * count {
            return Err(Error::NoQueue { queue: num_queues });
        }
        let event_idx = features.contains(Feature::EVENT_IDX);
        let in_order = features.contains(Feature::IN_ORDER);
        let ctrl = if features.contains(Feature::CTRL_VQ) {
            // 5.1.2: behind all pairs that the device has.
            let index = 2 * most.min(u16::MAX / 2);
            let size = queue_size(transport, index, ctrl::SIZE, ctrl::MIN_SIZE)?;
            let queue = ControlQueue::new(&mut dma, index, size, event_idx, in_order)?;
            Some(queue)
        } else {
            None
        };

        let buffer = rx::buffer_size(mtu);
        let tx_buffer = if features & Feature::HOST_GSO == Feature::NONE {
            buffer
        } else {
            buffer.max(tx::GSO_BUFFER)
        };
        let mut sizes = Vec::new();
        for pair in 0..usize::from(count) {
            let (rx, tx) = (QueuePair::rx_index(pair), QueuePair::tx_index(pair));
            let rx = queue_size(transport, rx, options.rx_queue_size, 1)?;
            let tx = queue_size(transport, tx, options.tx_queue_size, tx::MAX_CHAIN)?;
            sizes.push((rx, tx));
        }
        let tx_total: usize = sizes.iter().map(|(_, tx)| usize::from(*tx)).sum();
        let tx_buffers = or_default(options.tx_buffers, 2 * tx_total);
        let mut pools = vec![page_pool(
            &mut dma,
            "transmit buffers",
            tx_buffer,
            tx_buffers,
        )?];
        for (rx, _) in &sizes {
            let rx_buffers = or_default(options.rx_buffers, 4 * usize::from(*rx));
            pools.push(page_pool(&mut dma, "receive buffers", buffer, rx_buffers)?);
        }
        let pools: Rc<[PagePool]> = pools.into();
        let mut pairs = Vec::new();
        for ((rx_size, tx_size), recorded) in sizes.into_iter().zip(1..) {
            let headers = alloc(
                &mut dma,
                "packet headers",
                usize::from(tx_size) * tx::HEADER_STRIDE,
                tx::HEADER_STRIDE,
            )?;
            let vq = Virtqueue::new(&mut dma, rx_size, event_idx, in_order)?;
            let rx_pool = pools[usize::from(recorded)].clone();
            let recorded = if count > 1 { recorded } else { 0 };
            let rx = RxQueue::new(vq, rx_pool, features, recorded);
            let vq = Virtqueue::new(&mut dma, tx_size, event_idx, in_order)?;
            let tx = TxQueue::new(vq, pools.clone(), headers, features);
            pairs.push(QueuePair::new(rx, tx));
        }
        Ok(Parts {
            dma,
            irq,
            options,
            features,
            config,
            mtu,
            pairs: pairs.into(),
            ctrl,
        })
    }

    /// From FEATURES_OK to a running device: vectors, queues, buffers, DRIVER_OK, commands.
    fn start(&mut self) -> Result<(), Error> {
        msix::enable(
            self.transport.pci(),
            &mut self.irq,
            &self.msix,
            self.vectors,
        )?;
        self.transport.set_config_vector(self.vectors.config)?;
        self.needs_reset = false;
        for pair in 0..self.pairs.len() {
            self.enable_queue(Queue::Receive(pair as u16))?;
            self.enable_queue(Queue::Transmit(pair as u16))?;
            let queues = &mut self.pairs[pair];
            queues.rx.refill(&mut self.stats);
            // Polling is what takes transmitted buffers back; see `flush` for when they interrupt.
            queues.tx.vq.disable_callbacks();
            queues.napi_scheduled = false;
            if !queues.rx.vq.enable_callbacks() {
                // Nothing can be used before DRIVER_OK: the device wrote into the ring on its own.
                self.needs_reset = true;
            }
        }
        self.enable_control_queue()?;
        self.transport.add_status(status::DRIVER_OK)?;
        // 3.1.1: doorbells only after DRIVER_OK.
        for pair in 0..self.pairs.len() {
            self.kick_rx(pair);
        }
        self.configure()
    }

    /// Tells the device where a queue is, and enables it.
    fn enable_queue(&mut self, queue: Queue) -> Result<(), Error> {
        let pair = &self.pairs[queue.pair()];
        let (vector, size, addresses) = match queue {
            Queue::Receive(n) => (
                self.vectors.rx(n),
                pair.rx.vq.size(),
                pair.rx.vq.addresses(),
            ),
            Queue::Transmit(n) => (
                self.vectors.tx(n),
                pair.tx.vq.size(),
                pair.tx.vq.addresses(),
            ),
        };
        self.transport.select_queue(queue.index())?;
        self.transport.set_queue_vector(vector)?;
        let doorbell = Some(self.transport.doorbell(queue.index())?);
        self.transport.enable_queue(size, addresses)?;
        let pair = &mut self.pairs[queue.pair()];
        match queue {
            Queue::Receive(_) => pair.rx.doorbell = doorbell,
            Queue::Transmit(_) => pair.tx.doorbell = doorbell,
        }
        Ok(())
    }

    /// The same for the control queue, which has no vector: its answers are waited for.
    fn enable_control_queue(&mut self) -> Result<(), Error> {
        if let Some(ctrl) = &mut self.ctrl {
            self.transport.select_queue(ctrl.index)?;
            ctrl.doorbell = Some(self.transport.doorbell(ctrl.index)?);
            self.transport
                .enable_queue(ctrl.vq.size(), ctrl.vq.addresses())?;
        }
        Ok(())
    }

    /// Takes all buffers back. The device must not be using the queues.
    fn reset_queues(&mut self) {
        for pair in &mut self.pairs {
            pair.rx.reset(&mut self.stats);
            pair.tx.reset(&mut self.stats);
        }
        if let Some(ctrl) = &mut self.ctrl {
            ctrl.reset();
        }
    }

    /// Resets the device, takes all buffers back and starts it again with the same features: the
    /// answer to DEVICE_NEEDS_RESET and to a ring with nonsense in it (virtio 2.1.2). Frames that
    /// were not sent are lost and counted. Put the device on the poll list afterwards: a stack that
    /// was told to wait goes on after a poll.
    ///
    /// # Errors
    /// The device did not come back; it is left with FAILED set and carries no traffic.
    pub fn reset_and_recover(&mut self) -> Result<(), Error> {
        self.stats.resets += 1;
        self.needs_reset = true;
        let recovered = self.try_recover();
        if recovered.is_err() {
            self.fail();
        }
        recovered
    }

    fn try_recover(&mut self) -> Result<(), Error> {
        self.transport.reset()?;
        self.reset_queues();
        pci::enable_bus_master(self.transport.pci())?;
        self.transport.add_status(status::ACKNOWLEDGE)?;
        self.transport.add_status(status::DRIVER)?;
        let offered = self.transport.offered_features()?;
        if !offered.contains(self.features) {
            return Err(Error::MissingFeature {
                missing: self.features.without(offered),
            });
        }
        self.transport.accept_features(self.features)?;
        self.config = NetConfig::read(&mut self.transport, self.features)?;
        self.update_mtu();
        // The rings are what they were, so the device must still take them.
        for (pair, queues) in self.pairs.iter().enumerate() {
            let (rx, tx) = (QueuePair::rx_index(pair), QueuePair::tx_index(pair));
            for (index, size) in [(rx, queues.rx.vq.size()), (tx, queues.tx.vq.size())] {
                queue_size(&mut self.transport, index, size, size)?;
            }
        }
        if let Some(ctrl) = &self.ctrl {
            let size = ctrl.vq.size();
            queue_size(&mut self.transport, ctrl.index, size, size)?;
        }
        self.start()
    }

    /// Resets one queue and starts it empty again (virtio 2.6.1); needs VIRTIO_F_RING_RESET.
    ///
    /// # Errors
    /// The feature was not negotiated, or the device did not finish.
    pub fn reset_queue(&mut self, queue: Queue) -> Result<(), Error> {
        if !self.features.contains(Feature::RING_RESET) {
            return Err(Error::NoQueueReset);
        }
        if queue.pair() >= self.pairs.len() {
            let queue = queue.index();
            return Err(Error::NoQueue { queue });
        }
        self.stats.queue_resets += 1;
        self.transport.select_queue(queue.index())?;
        self.transport.reset_queue(queue.index())?;
        let pair = &mut self.pairs[queue.pair()];
        match queue {
            Queue::Receive(_) => {
                pair.rx.reset(&mut self.stats);
                self.enable_queue(queue)?;
                let pair = &mut self.pairs[queue.pair()];
                pair.rx.refill(&mut self.stats);
                if pair.napi_scheduled {
                    pair.rx.vq.disable_callbacks();
                } else if !pair.rx.vq.enable_callbacks() {
                    self.needs_reset = true;
                }
                self.kick_rx(queue.pair());
            }
            Queue::Transmit(_) => {
                pair.tx.reset(&mut self.stats);
                pair.tx.vq.disable_callbacks();
                self.enable_queue(queue)?;
            }
        }
        Ok(())
    }

    /// Orderly end: the device is reset and loses interrupts and bus mastering, all buffers go
    /// back to their pools. Nothing happens when it is called again. The methods of
    /// [`NetDeviceOps`](stack::netdev::NetDeviceOps) stay callable and carry nothing.
    ///
    /// # Errors
    /// The device did not answer; it has lost bus mastering if configuration space still works.
    pub fn remove(&mut self) -> Result<(), Error> {
        if self.removed {
            return Ok(());
        }
        self.removed = true;
        self.needs_reset = true;
        let reset = self.transport.reset();
        let masked = msix::disable(self.transport.pci(), &self.msix);
        // After this the device cannot reach memory, even if it ignored the reset.
        let disabled = self.transport.disable();
        self.reset_queues();
        reset.and(masked).and(disabled)
    }

    /// Gives the device up: FAILED, no DMA, no traffic.
    fn fail(&mut self) {
        give_up(&mut self.transport);
        self.needs_reset = true;
        self.reset_queues();
    }

    /// Counters since probe.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What was negotiated.
    pub fn negotiated(&self) -> Feature {
        self.features
    }

    /// What the device said of itself when it was last asked.
    pub fn config(&self) -> &NetConfig {
        &self.config
    }

    /// Vectors of the events, for the platform's routing.
    pub fn vectors(&self) -> Vectors {
        self.vectors
    }

    /// Whether only [`reset_and_recover`](Self::reset_and_recover) brings traffic back: the device
    /// asked for it, or it wrote nonsense into a ring, or a register access failed.
    pub fn needs_reset(&self) -> bool {
        self.needs_reset && !self.removed
    }

    /// Queue pairs in use.
    pub fn queue_pairs(&self) -> u16 {
        self.pairs.len() as u16
    }

    /// Counters of a queue pair since probe; all 0 for one that is not in use.
    pub fn queue_stats(&self, pair: u16) -> QueueStats {
        self.pairs
            .get(usize::from(pair))
            .map_or(QueueStats::default(), |pair| pair.stats)
    }

    /// Sizes of the first receive and transmit queue in descriptors.
    pub fn queue_sizes(&self) -> (u16, u16) {
        let pair = &self.pairs[0];
        (pair.rx.vq.size(), pair.tx.vq.size())
    }

    /// The pool of the first receive queue; its free buffers say how many packets the stack holds.
    pub fn rx_pool(&self) -> PagePool {
        self.pairs[0].rx.pool()
    }

    /// The registers, e.g. for vendor specific statistics.
    pub fn registers(&mut self) -> &mut P {
        self.transport.pci()
    }

    /// The MTU after a configuration read: never above what the receive buffers were made for.
    pub(crate) fn update_mtu(&mut self) {
        if let Some(mtu) = self.config.mtu {
            self.mtu = mtu.min(self.buffer_mtu);
        }
    }

    /// Longest frame that may be sent, bytes with Ethernet header and two VLAN tags.
    pub(crate) fn max_frame(&self) -> usize {
        usize::from(self.mtu) + ETH_OVERHEAD
    }

    /// Transmitted frames interrupt also while their queue is not stopped.
    pub(crate) fn tx_interrupts(&self) -> bool {
        self.options.tx_completion == TxCompletion::Interrupt
    }
}

impl<P: PciRegisters, D: DmaMemory, I: Interrupts> Drop for VirtioNet<P, D, I> {
    fn drop(&mut self) {
        // Nobody is left who could be told of an error; bus mastering is gone in any case.
        let _ = self.remove();
    }
}

/// What bring-up collects before the device itself is moved in.
struct Parts<D, I> {
    dma: D,
    irq: I,
    options: Options,
    features: Feature,
    config: NetConfig,
    mtu: u16,
    pairs: Box<[QueuePair]>,
    ctrl: Option<ControlQueue>,
}

impl<D: DmaMemory, I: Interrupts> Parts<D, I> {
    fn into_net<P: PciRegisters>(
        self,
        transport: Transport<P>,
        msix: MsixCapability,
        vectors: Vectors,
    ) -> VirtioNet<P, D, I> {
        VirtioNet {
            transport,
            irq: self.irq,
            _dma: self.dma,
            options: self.options,
            features: self.features,
            config: self.config,
            mtu: self.mtu,
            buffer_mtu: self.mtu,
            msix,
            vectors,
            pairs: self.pairs,
            ctrl: self.ctrl,
            settings: Settings::default(),
            stats: Stats::default(),
            needs_reset: false,
            removed: false,
        }
    }
}

/// 3.1.1: a driver that cannot go on sets FAILED. Errors do not matter any more.
fn give_up<P: PciRegisters>(transport: &mut Transport<P>) {
    let _ = transport.add_status(status::FAILED);
    let _ = transport.disable();
}

fn check_options(options: &Options) -> Result<(), Error> {
    let bad = |option, reason| Err(Error::Options { option, reason });
    if !(1..=MAX_QUEUE_PAIRS).contains(&options.queue_pairs) {
        return bad("queue_pairs", "must be 1..=16");
    }
    if !(1..=MAX_SIZE).contains(&options.rx_queue_size) {
        return bad("rx_queue_size", "must be 1..=32768");
    }
    if !(tx::MAX_CHAIN..=MAX_SIZE).contains(&options.tx_queue_size) {
        return bad("tx_queue_size", "must be 2..=32768");
    }
    if options.mtu < 68 || options.max_mtu < 68 {
        return bad("mtu", "must be at least 68 bytes");
    }
    if options.fallback_mac[0] & 1 != 0 {
        return bad("fallback_mac", "must not be a group address");
    }
    Ok(())
}

fn or_default(value: usize, default: usize) -> usize {
    if value == 0 { default } else { value }
}

/// The size to use for a queue: what the device can do, at most `limit`, at least `least`.
fn queue_size<P: PciRegisters>(
    transport: &mut Transport<P>,
    queue: u16,
    limit: u16,
    least: u16,
) -> Result<u16, Error> {
    transport.select_queue(queue)?;
    match transport.queue_size()?.min(limit) {
        0 => Err(Error::NoQueue { queue }),
        size if size < least => Err(Error::QueueSize {
            size: u32::from(size),
        }),
        size => Ok(size),
    }
}

fn alloc<D: DmaMemory>(
    dma: &mut D,
    what: &'static str,
    len: usize,
    align: usize,
) -> Result<DmaRegion, Error> {
    let region = dma
        .alloc_coherent(len, align)
        .map_err(|source| Error::Dma { what, source })?;
    if region.len() < len {
        return Err(Error::Dma {
            what,
            source: "the platform's region is too short".into(),
        });
    }
    Ok(region)
}

fn page_pool<D: DmaMemory>(
    dma: &mut D,
    what: &'static str,
    buffer: usize,
    count: usize,
) -> Result<PagePool, Error> {
    let len = buffer.checked_mul(count).ok_or_else(|| Error::Dma {
        what,
        source: "more than the address space".into(),
    })?;
    let region = alloc(dma, what, len, 4096)?;
    // SAFETY: `alloc` checked the length, DmaRegion::new's contract makes the memory ours while
    // `keep_alive` lives; the device only gets buffers whose page this driver holds.
    let pool = unsafe {
        PagePool::from_raw(
            region.as_ptr(),
            region.bus_addr(),
            buffer,
            count,
            region.keep_alive(),
        )
    };
    Ok(pool)
}
