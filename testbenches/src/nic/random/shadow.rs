//! What must come of a frame: the behavioural model under the same features and commands is given one
//! at a time, with nothing else on its mind and buffers that are always long enough.

use super::ctrl;
use crate::{
    nic::host::{BUS_OFFSET, COMMANDS, Fail, Host, MEMORY, RX_BUFFERS, TX_BUFFERS, feature},
    ring::{DriverRing, Element, Memory, Used},
};
use hwmodel::{
    Device, GuestDevice, ModelConfig, ModelNic, Ps, Stop, WireFrame,
    model::{Stat, feature as net},
};

/// Descriptors of each ring.
const SIZE: u16 = 8;
/// Bytes of a buffer: a super-frame with its header fits.
const SLOT: u64 = 0x1_8000;
/// Nothing that the model does with one frame takes longer.
const PATIENCE: Ps = 2_000_000_000;

/// A frame as the model gives it to its driver.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Queue pair.
    pub pair: usize,
    /// `struct virtio_net_hdr`, 12 or 20 bytes; num_buffers is 1.
    pub header: Vec<u8>,
}

/// The model at work.
pub struct Shadow {
    host: Host<ModelNic>,
    rings: Vec<DriverRing<u64>>,
    header: usize,
    control: bool,
    posted: u64,
}

impl Shadow {
    /// A model with `features` negotiated, `queue_pairs` pairs offered, and all its queues enabled.
    pub fn start(mtu: u16, queue_pairs: u16, features: u64) -> Result<Self, Fail> {
        let nic = ModelNic::new(ModelConfig {
            mtu,
            queue_pairs,
            memory: MEMORY,
            ..ModelConfig::default()
        })?;
        let mut host = Host::with(nic)?;
        if !host.negotiate(features)? {
            return Err(format!("the model refuses features {features:#x}").into());
        }
        host.enable_msix()?;
        let pairs = ctrl::pairs(features, queue_pairs);
        let control = features & feature::CTRL_VQ != 0;
        let queues = 2 * pairs + usize::from(control);
        let rings = (0..queues)
            .map(|queue| host.enable_queue(queue, SIZE, 0, features, 0))
            .collect::<Result<Vec<_>, _>>()?;
        host.driver_ok()?;
        host.status()?;
        let header = if features & net::HASH_REPORT != 0 {
            20
        } else {
            12
        };
        let mut shadow = Self {
            host,
            rings,
            header,
            control,
            posted: 0,
        };
        for pair in 0..pairs {
            shadow.post(2 * pair)?;
        }
        Ok(shadow)
    }

    /// A counter.
    pub fn stat(&self, stat: Stat) -> u64 {
        self.host.nic.stat(stat)
    }

    /// Frames that a chain with these bytes (header and frame) sends.
    pub fn transmit(&mut self, pair: usize, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Fail> {
        let queue = 2 * pair + 1;
        let addr = TX_BUFFERS.0 + BUS_OFFSET;
        self.host.bus.write(addr, bytes);
        let len = bytes.len() as u32;
        let element = Element { addr, len };
        let ring = &mut self.rings[queue];
        let (chain, _) = ring.prepare(&mut self.host.bus, &[element], 0, 0);
        ring.publish(&mut self.host.bus, chain);
        self.host.kick(queue)?;
        let frames = self.settle()?;
        let mut used = Vec::new();
        self.rings[queue].take_used(&self.host.bus, &mut used)?;
        if used.len() != 1 {
            return Err("the model does not use a chain".into());
        }
        Ok(frames)
    }

    /// Whom a frame from the wire comes to, if to anybody.
    pub fn receive(&mut self, frame: WireFrame) -> Result<Option<Delivered>, Fail> {
        let at = self.host.nic.now();
        self.host.nic.wire_send(WireFrame { at, ..frame });
        self.settle()?;
        let mut delivered = None;
        for pair in 0..self.rings.len() / 2 {
            let mut taken = Vec::new();
            self.rings[2 * pair].take_used(&self.host.bus, &mut taken)?;
            for Used { token, .. } in taken {
                let mut header = vec![0; self.header];
                self.host.bus.read(token, &mut header);
                delivered = Some(Delivered { pair, header });
                self.post(2 * pair)?;
            }
        }
        Ok(delivered)
    }

    /// The answer to a command; `None` without a control queue.
    pub fn command(&mut self, command: &[u8]) -> Result<Option<u8>, Fail> {
        if !self.control {
            return Ok(None);
        }
        let queue = self.rings.len() - 1;
        ctrl::post(&mut self.host, &mut self.rings[queue], command);
        self.host.kick(queue)?;
        self.settle()?;
        ctrl::answer(&self.host, &mut self.rings[queue])
    }

    /// A buffer for a receive queue; its token is its address.
    fn post(&mut self, queue: usize) -> Result<(), Fail> {
        // Each queue has its place, and one buffer at a time.
        let addr = RX_BUFFERS.0 + BUS_OFFSET + SLOT * (queue as u64 / 2);
        let element = Element {
            addr,
            len: SLOT as u32,
        };
        let ring = &mut self.rings[queue];
        let (chain, _) = ring.prepare(&mut self.host.bus, &[element], addr, 0);
        ring.publish(&mut self.host.bus, chain);
        self.posted += 1;
        self.host.kick(queue)
    }

    /// Runs until nothing is left to do; the frames that left.
    fn settle(&mut self) -> Result<Vec<Vec<u8>>, Fail> {
        let mut frames = Vec::new();
        let limit = self.host.nic.now() + PATIENCE;
        loop {
            let until = self.host.nic.now() + 5_000_000;
            match self.host.nic.run_until(until)? {
                Stop::Time if self.host.nic.quiescent() => return Ok(frames),
                Stop::Time if self.host.nic.now() > limit => {
                    return Err("the model is never done".into());
                }
                Stop::Time => {}
                Stop::Msix => drop(self.host.nic.take_msix()),
                Stop::WireTx => frames.extend(self.host.nic.take_wire().map(|f| f.bytes)),
            }
        }
    }
}

// Commands have their own memory.
const _: () = assert!(COMMANDS.0 >= TX_BUFFERS.0 + TX_BUFFERS.1);
