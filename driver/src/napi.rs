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
    /// Put the device on the poll list; `napi_schedule()`. Interrupts stay off until `complete`.
    pub schedule_napi: bool,
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
        let queues = vector == self.vectors.rx || vector == self.vectors.tx;
        if queues && !self.needs_reset && (self.rx.vq.has_used() || self.tx.vq.has_used()) {
            self.disable_callbacks();
            self.napi_scheduled = true;
            action.schedule_napi = true;
        } else if action == IrqAction::default() && vector != self.vectors.config {
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

    /// Whether the device has no receive buffer left because the stack holds them all. No
    /// interrupt can end that: call [`refill`](Self::refill) when packets were freed (Linux uses
    /// delayed work for it).
    pub fn rx_starved(&self) -> bool {
        !self.needs_reset && self.rx.is_starved()
    }

    /// Gives free receive buffers to the device. [`poll`](NetDeviceOps::poll) and
    /// [`flush`](NetDeviceOps::flush) do so on their own.
    pub fn refill(&mut self) {
        if !self.needs_reset {
            self.rx.refill(&mut self.stats);
            self.kick_rx();
        }
    }

    /// Rings the receive doorbell if the device wants it.
    pub(crate) fn kick_rx(&mut self) {
        if self.rx.vq.num_added() == 0 {
            return;
        }
        if !self.rx.vq.needs_kick() {
            self.stats.rx_kicks_suppressed += 1;
            return;
        }
        let Some(doorbell) = self.rx.doorbell else {
            return;
        };
        self.stats.rx_kicks += 1;
        if self.transport.ring(doorbell).is_err() {
            self.bus_failed();
        }
    }

    fn kick_tx(&mut self) {
        if !self.tx.vq.needs_kick() {
            self.stats.tx_kicks_suppressed += 1;
            return;
        }
        let Some(doorbell) = self.tx.doorbell else {
            return;
        };
        self.stats.tx_kicks += 1;
        if self.transport.ring(doorbell).is_err() {
            self.bus_failed();
        }
    }

    fn disable_callbacks(&mut self) {
        self.rx.vq.disable_callbacks();
        self.tx.vq.disable_callbacks();
    }

    /// Asks for transmit interrupts if they are wanted; false when completions wait already.
    fn enable_tx_callbacks(&mut self) -> bool {
        if self.tx_interrupts() && self.tx.vq.num_free() < self.tx.vq.size() {
            self.tx.vq.enable_callbacks_delayed()
        } else {
            self.tx.vq.disable_callbacks();
            true
        }
    }

    fn clean_tx(&mut self) {
        if self.tx.clean(&mut self.stats).is_err() {
            self.ring_failed();
        }
    }

    /// While callbacks are on: transmitted frames shall interrupt, or are taken back at once.
    fn arm_tx(&mut self) {
        while !self.napi_scheduled && !self.needs_reset && !self.enable_tx_callbacks() {
            self.clean_tx();
        }
    }

    /// Gives the stack what it can take; the rest waits for the next poll.
    fn receive(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        for taken in 0..budget {
            match self.rx.receive(&mut self.stats) {
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
        if !self.tx.has_room_for(&skb) {
            self.clean_tx();
        }
        if !self.tx.has_room_for(&skb) {
            if !self.tx.stopped {
                self.tx.stop(&skb);
                self.stats.tx_stopped += 1;
            }
            // The frames before this one may wait for their doorbell, and what is to wake the stack
            // must be an interrupt. If the device was so quick that there is none to come, there is
            // room now.
            self.flush();
            if self.needs_reset || !self.tx.has_room_for(&skb) {
                self.stats.tx_busy += 1;
                return Err(skb);
            }
        }
        let max_frame = self.max_frame();
        self.tx.xmit(skb, max_frame, &mut self.stats);
        Ok(())
    }

    fn flush(&mut self) {
        if self.needs_reset {
            return;
        }
        if self.tx.vq.num_added() > 0 {
            self.kick_tx();
        }
        self.arm_tx();
        if self.rx.is_starved() {
            self.refill();
        }
    }

    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        self.stats.polls += 1;
        if self.needs_reset {
            return 0;
        }
        self.clean_tx();
        let taken = self.receive(budget, rx);
        if !self.needs_reset && self.rx.wants_refill() {
            self.refill();
        }
        taken
    }

    fn complete(&mut self) -> bool {
        // Both wishes are out before the last look at the rings; each call fences in between.
        let rx_idle = self.needs_reset || self.rx.vq.enable_callbacks();
        let tx_idle = self.needs_reset || self.enable_tx_callbacks();
        if rx_idle && tx_idle {
            self.napi_scheduled = false;
            return true;
        }
        self.stats.complete_races += 1;
        self.disable_callbacks();
        self.napi_scheduled = true;
        false
    }

    fn tx_ready(&self) -> bool {
        // `arm_tx` may have taken back what the interrupt was to announce.
        !self.needs_reset && self.tx.has_room()
    }

    fn link_up(&self) -> bool {
        self.config.link_up && !self.needs_reset
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn mac(&self) -> [u8; 6] {
        self.config.mac.unwrap_or(self.options.fallback_mac)
    }

    fn features(&self) -> NetFeatures {
        self.tx.offloads()
    }

    fn tx_pool(&self) -> PagePool {
        self.tx.pool.clone()
    }
}
