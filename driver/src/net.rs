//! Life of the device: probe, recovery, removal.

use stack::page_pool::PagePool;

use crate::config::NetConfig;
use crate::dma::{DmaMemory, DmaRegion};
use crate::error::Error;
use crate::features::Feature;
use crate::interrupts::Interrupts;
use crate::msix::{self, Vectors};
use crate::options::{Options, TxCompletion};
use crate::pci::{self, MsixCapability};
use crate::registers::PciRegisters;
use crate::ring::MAX_SIZE;
use crate::rx::{self, ETH_OVERHEAD, RxQueue};
use crate::stats::Stats;
use crate::transport::{Transport, status};
use crate::tx::{self, TxQueue};
use crate::virtqueue::Virtqueue;

/// Index of receiveq1 (virtio 5.1.2).
const RX_QUEUE: u16 = 0;
/// Index of transmitq1.
const TX_QUEUE: u16 = 1;

/// A queue of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// receiveq1.
    Receive,
    /// transmitq1.
    Transmit,
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
    pub(crate) rx: RxQueue,
    pub(crate) tx: TxQueue,
    pub(crate) stats: Stats,
    /// An interrupt was taken and [`complete`](stack::netdev::NetDeviceOps::complete) did not end
    /// the polling yet: callbacks are off.
    pub(crate) napi_scheduled: bool,
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
        let vectors =
            Vectors::assign(msix.table_size.min(irq.vectors())).ok_or(Error::NoVectors)?;

        pci::enable_memory(&mut pci)?;
        let mut transport = Transport::new(pci, &caps, options.poll_limit)?;
        match Self::bring_up(&mut transport, dma, irq, options) {
            Ok(parts) => {
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

        let num_queues = transport.num_queues()?;
        if num_queues <= TX_QUEUE {
            return Err(Error::NoQueue { queue: num_queues });
        }
        let rx_size = queue_size(transport, RX_QUEUE, options.rx_queue_size, 1)?;
        let tx_size = queue_size(transport, TX_QUEUE, options.tx_queue_size, tx::MAX_CHAIN)?;
        let event_idx = features.contains(Feature::EVENT_IDX);
        let in_order = features.contains(Feature::IN_ORDER);

        let buffer = rx::buffer_size(mtu);
        let tx_buffer = if features & Feature::HOST_GSO == Feature::NONE {
            buffer
        } else {
            buffer.max(tx::GSO_BUFFER)
        };
        let rx_buffers = or_default(options.rx_buffers, 4 * usize::from(rx_size));
        let tx_buffers = or_default(options.tx_buffers, 2 * usize::from(tx_size));
        let rx_pool = page_pool(&mut dma, "receive buffers", buffer, rx_buffers)?;
        let tx_pool = page_pool(&mut dma, "transmit buffers", tx_buffer, tx_buffers)?;
        let headers = alloc(
            &mut dma,
            "packet headers",
            usize::from(tx_size) * tx::HEADER_STRIDE,
            tx::HEADER_STRIDE,
        )?;

        let vq = Virtqueue::new(&mut dma, rx_size, event_idx, in_order)?;
        let rx = RxQueue::new(vq, rx_pool.clone(), features);
        let vq = Virtqueue::new(&mut dma, tx_size, event_idx, in_order)?;
        let tx = TxQueue::new(vq, tx_pool, rx_pool, headers, features);
        Ok(Parts {
            dma,
            irq,
            options,
            features,
            config,
            mtu,
            rx,
            tx,
        })
    }

    /// From FEATURES_OK to a running device: vectors, queues, buffers, DRIVER_OK.
    fn start(&mut self) -> Result<(), Error> {
        msix::enable(
            self.transport.pci(),
            &mut self.irq,
            &self.msix,
            self.vectors,
        )?;
        self.transport.set_config_vector(self.vectors.config)?;
        self.enable_queue(Queue::Receive)?;
        self.enable_queue(Queue::Transmit)?;
        self.rx.refill(&mut self.stats);
        // Polling is what takes transmitted buffers back; see `flush` for when they interrupt.
        self.tx.vq.disable_callbacks();
        self.napi_scheduled = false;
        self.needs_reset = false;
        if !self.rx.vq.enable_callbacks() {
            // Nothing can be used before DRIVER_OK: the device wrote into the ring on its own.
            self.needs_reset = true;
        }
        self.transport.add_status(status::DRIVER_OK)?;
        // 3.1.1: doorbells only after DRIVER_OK.
        self.kick_rx();
        Ok(())
    }

    /// Tells the device where a queue is, and enables it.
    fn enable_queue(&mut self, queue: Queue) -> Result<(), Error> {
        let (index, vector, size, addresses) = match queue {
            Queue::Receive => (
                RX_QUEUE,
                self.vectors.rx,
                self.rx.vq.size(),
                self.rx.vq.addresses(),
            ),
            Queue::Transmit => (
                TX_QUEUE,
                self.vectors.tx,
                self.tx.vq.size(),
                self.tx.vq.addresses(),
            ),
        };
        self.transport.select_queue(index)?;
        self.transport.set_queue_vector(vector)?;
        let doorbell = Some(self.transport.doorbell(index)?);
        self.transport.enable_queue(size, addresses)?;
        match queue {
            Queue::Receive => self.rx.doorbell = doorbell,
            Queue::Transmit => self.tx.doorbell = doorbell,
        }
        Ok(())
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
        self.rx.reset(&mut self.stats);
        self.tx.reset(&mut self.stats);
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
        for (index, size) in [(RX_QUEUE, self.rx.vq.size()), (TX_QUEUE, self.tx.vq.size())] {
            // The rings are what they were, so the device must still take them.
            queue_size(&mut self.transport, index, size, size)?;
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
        self.stats.queue_resets += 1;
        let index = match queue {
            Queue::Receive => RX_QUEUE,
            Queue::Transmit => TX_QUEUE,
        };
        self.transport.select_queue(index)?;
        self.transport.reset_queue(index)?;
        match queue {
            Queue::Receive => {
                self.rx.reset(&mut self.stats);
                self.enable_queue(queue)?;
                self.rx.refill(&mut self.stats);
                if self.napi_scheduled {
                    self.rx.vq.disable_callbacks();
                } else if !self.rx.vq.enable_callbacks() {
                    self.needs_reset = true;
                }
                self.kick_rx();
            }
            Queue::Transmit => {
                self.tx.reset(&mut self.stats);
                self.tx.vq.disable_callbacks();
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
        self.rx.reset(&mut self.stats);
        self.tx.reset(&mut self.stats);
        reset.and(masked).and(disabled)
    }

    /// Gives the device up: FAILED, no DMA, no traffic.
    fn fail(&mut self) {
        give_up(&mut self.transport);
        self.needs_reset = true;
        self.rx.reset(&mut self.stats);
        self.tx.reset(&mut self.stats);
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

    /// Sizes of the receive and the transmit queue in descriptors.
    pub fn queue_sizes(&self) -> (u16, u16) {
        (self.rx.vq.size(), self.tx.vq.size())
    }

    /// The receive pool; its free buffers say how many packets the stack holds.
    pub fn rx_pool(&self) -> PagePool {
        self.rx.pool()
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

    pub(crate) fn tx_interrupts(&self) -> bool {
        self.options.tx_completion == TxCompletion::Interrupt || self.tx.stopped
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
    rx: RxQueue,
    tx: TxQueue,
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
            rx: self.rx,
            tx: self.tx,
            stats: Stats::default(),
            napi_scheduled: false,
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
