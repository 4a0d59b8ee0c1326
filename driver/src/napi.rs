//! The running device: interrupts, polling, transmission.

use stack::netdev::{NetDeviceOps, NetFeatures};
use stack::page_pool::PagePool;
use stack::skb::SkBuff;

use crate::config::NetConfig;
use crate::dma::DmaMemory;
use crate::interrupts::Interrupts;
use crate::net::VirtioNet;
use crate::registers::PciRegisters;
use crate::transport::status;

/// What an interrupt asks of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IrqAction {
    /// Put the NAPI instances of these queue pairs on the poll list (bit n: pair n); `napi_schedule()`.
    /// Their interrupts stay off until `complete`.
    pub schedule_napi: u32,
    /// The carrier changed: up or down.
    pub link_changed: Option<bool>,
    /// The device cannot go on: call [`VirtioNet::reset_and_recover`].
    pub needs_reset: bool,
}

impl<P: PciRegisters, D: DmaMemory, I: Interrupts> VirtioNet<P, D, I> {
    /// Takes one MSI-X message. `vector`: its number, as given to [`Interrupts::message`].
    pub fn handle_irq(&mut self, vector: u16) -> IrqAction {
        self.irq.ack(vector);
        self.stats.interrupts += 1;
        let mut action = IrqAction::default();
        if vector == self.vectors.config {
            self.config_changed(&mut action);
        }
        if !self.needs_reset {
            for (n, pair) in (0..).zip(&mut self.pairs) {
                if self.vectors.serves(vector, n) && pair.has_used() {
                    pair.disable_callbacks();
                    pair.napi_scheduled = true;
                    action.schedule_napi |= 1 << n;
                }
            }
        }
        if action == IrqAction::default() && vector != self.vectors.config {
            self.stats.interrupts_spurious += 1;
        }
        action
    }

    /// `virtnet_config_changed()`: link, MTU, speed, and the request for a reset (virtio 2.1.2).
    fn config_changed(&mut self, action: &mut IrqAction) {
        // A vector shared with the queues says nothing about the configuration: no generation
        // tells cheaply, so it is read.
        self.stats.config_changes += 1;
        match self.transport.status() {
            Ok(bits) if bits & status::DEVICE_NEEDS_RESET == 0 => {}
            Ok(_) => {
                self.needs_reset = true;
                action.needs_reset = true;
                return;
            }
            Err(_) => return self.bus_failed(),
        }
        match NetConfig::read(&mut self.transport, self.features) {
            Ok(config) => {
                if config.link_up != self.config.link_up {
                    action.link_changed = Some(config.link_up);
                }
                self.config = config;
                self.update_mtu();
            }
            Err(_) => self.stats.config_errors += 1,
        }
    }

    /// Whether a receive queue has no buffer left because the stack holds them all. No interrupt can end
    /// that: call [`refill`](Self::refill) when packets were freed (Linux uses delayed work for it).
    pub fn rx_starved(&self) -> bool {
        !self.needs_reset && self.pairs.iter().any(|pair| pair.rx.is_starved())
    }

    /// Gives free receive buffers to the device. [`poll`](NetDeviceOps::poll) and
    /// [`flush`](NetDeviceOps::flush) do so on their own.
    pub fn refill(&mut self) {
        for pair in 0..self.pairs.len() {
            self.refill_queue(pair);
        }
    }

    fn refill_queue(&mut self, pair: usize) {
        if !self.needs_reset {
            self.pairs[pair].rx.refill(&mut self.stats);
            self.kick_rx(pair);
        }
    }

    /// Rings a receive doorbell if the device wants it.
    pub(crate) fn kick_rx(&mut self, pair: usize) {
        let rx = &mut self.pairs[pair].rx;
        if rx.vq.num_added() == 0 {
            return;
        }
        if !rx.vq.needs_kick() {
            self.stats.rx_kicks_suppressed += 1;
            return;
        }
        let Some(doorbell) = rx.doorbell else {
            return;
        };
        self.stats.rx_kicks += 1;
        if self.transport.ring(doorbell).is_err() {
            self.bus_failed();
        }
    }

    fn kick_tx(&mut self, pair: usize) {
        let tx = &mut self.pairs[pair].tx;
        if !tx.vq.needs_kick() {
            self.stats.tx_kicks_suppressed += 1;
            return;
        }
        let Some(doorbell) = tx.doorbell else {
            return;
        };
        self.stats.tx_kicks += 1;
        if self.transport.ring(doorbell).is_err() {
            self.bus_failed();
        }
    }

    fn clean_tx(&mut self, pair: usize) {
        if self.pairs[pair].tx.clean(&mut self.stats).is_err() {
            self.ring_failed();
        }
    }

    /// While callbacks are on: transmitted frames shall interrupt, or are taken back at once.
    fn arm_tx(&mut self, pair: usize) {
        let wanted = self.tx_interrupts();
        while !self.pairs[pair].napi_scheduled
            && !self.needs_reset
            && !self.pairs[pair].enable_tx_callbacks(wanted)
        {
            self.clean_tx(pair);
        }
    }

    /// Gives the stack what it can take; the rest waits for the next poll.
    fn receive(&mut self, pair: usize, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let queue = &mut self.pairs[pair].rx;
        for taken in 0..budget {
            match queue.receive(&mut self.stats) {
                Ok(Some(skb)) => rx.push(skb),
                Ok(None) => return taken,
                Err(_) => {
                    self.ring_failed();
                    return taken;
                }
            }
        }
        self.stats.polls_exhausted += 1;
        budget
    }

    /// Rings the transmit doorbell of a pair, and sees to it that its frames are taken back.
    fn flush_queue(&mut self, pair: usize) {
        if self.needs_reset {
            return;
        }
        if self.pairs[pair].tx.vq.num_added() > 0 {
            self.kick_tx(pair);
        }
        self.arm_tx(pair);
        if self.pairs[pair].rx.is_starved() {
            self.refill_queue(pair);
        }
    }

    fn ring_failed(&mut self) {
        self.stats.bad_used_id += 1;
        self.needs_reset = true;
    }

    fn bus_failed(&mut self) {
        self.stats.register_errors += 1;
        self.needs_reset = true;
    }
}

impl<P: PciRegisters, D: DmaMemory, I: Interrupts> NetDeviceOps for VirtioNet<P, D, I> {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        if self.needs_reset {
            self.stats.tx_dead += 1;
            return Ok(());
        }
        // The stack was told of all pairs, but it need not have asked again since.
        let pair = usize::from(skb.queue_mapping) % self.pairs.len();
        if !self.pairs[pair].tx.has_room_for(&skb) {
            self.clean_tx(pair);
        }
        if !self.pairs[pair].tx.has_room_for(&skb) {
            if !self.pairs[pair].tx.stopped {
                self.pairs[pair].tx.stop(&skb);
                self.stats.tx_stopped += 1;
            }
            // The frames before this one may wait for their doorbell, and what is to wake the stack
            // must be an interrupt. If the device was so quick that there is none to come, there is
            // room now.
            self.flush_queue(pair);
            if self.needs_reset || !self.pairs[pair].tx.has_room_for(&skb) {
                self.stats.tx_busy += 1;
                return Err(skb);
            }
        }
        let max_frame = self.max_frame();
        let pair = &mut self.pairs[pair];
        pair.stats.tx_packets += 1;
        pair.tx.xmit(skb, max_frame, &mut self.stats);
        Ok(())
    }

    fn flush(&mut self) {
        for pair in 0..self.pairs.len() {
            self.flush_queue(pair);
        }
    }

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        self.poll_queue(0, budget, rx)
    }

    fn complete(&mut self) -> bool {
        self.complete_queue(0)
    }

    fn num_queues(&self) -> u16 {
        self.queue_pairs()
    }

    fn poll_queue(&mut self, queue: u16, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let pair = usize::from(queue);
        self.stats.polls += 1;
        if self.needs_reset || pair >= self.pairs.len() {
            return 0;
        }
        self.clean_tx(pair);
        let taken = self.receive(pair, budget, rx);
        let stats = &mut self.pairs[pair].stats;
        stats.polls += 1;
        stats.rx_packets += taken as u64;
        if !self.needs_reset && self.pairs[pair].rx.wants_refill() {
            self.refill_queue(pair);
        }
        taken
    }

    fn complete_queue(&mut self, queue: u16) -> bool {
        let wanted = self.tx_interrupts();
        let needs_reset = self.needs_reset;
        let Some(pair) = self.pairs.get_mut(usize::from(queue)) else {
            return true;
        };
        // Both wishes are out before the last look at the rings; each call fences in between.
        let rx_idle = needs_reset || pair.rx.vq.enable_callbacks();
        let tx_idle = needs_reset || pair.enable_tx_callbacks(wanted);
        if rx_idle && tx_idle {
            pair.napi_scheduled = false;
            return true;
        }
        pair.disable_callbacks();
        pair.napi_scheduled = true;
        self.stats.complete_races += 1;
        false
    }

    fn tx_ready(&self) -> bool {
        // `arm_tx` may have taken back what the interrupt was to announce.
        !self.needs_reset && self.pairs.iter().all(|pair| !pair.tx.stopped)
    }

    fn link_up(&self) -> bool {
        self.config.link_up && !self.needs_reset
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn mac(&self) -> [u8; 6] {
        let own = self.config.mac.unwrap_or(self.options.fallback_mac);
        self.settings.mac.unwrap_or(own)
    }

    fn features(&self) -> NetFeatures {
        self.pairs[0].tx.offloads()
    }

    fn tx_pool(&self) -> PagePool {
        self.pairs[0].tx.pool().clone()
    }
}
