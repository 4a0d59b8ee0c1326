//! The control queue's chains: gather a command, carry it out, answer (virtio 5.1.6.5).

use super::{
    ModelNic,
    ctrl_vq::{MAX_COMMAND, Steering},
    dma::id,
    stats::Stat,
    virtqueue::{Chain, Direction, QueueError, Used},
};

/// VIRTIO_NET_OK.
const OK: u8 = 0;
/// VIRTIO_NET_ERR.
const ERR: u8 = 1;

impl ModelNic {
    /// Takes one command and answers it. False when there is none.
    pub(super) fn control_chain(&mut self, queue: u16) -> Result<bool, QueueError> {
        let (reading, writing) = (self.read_done(), self.write_done());
        let index = usize::from(queue);
        let Some(vq) = &mut self.queues[index].vq else {
            return Ok(false);
        };
        let mut chain = Chain::default();
        if !vq.take(&mut self.dma, reading, &mut chain)? {
            vq.arm(&mut self.dma, writing)?;
            if !vq.take(&mut self.dma, reading, &mut chain)? {
                return Ok(false);
            }
        }
        let done = match self.command(&chain)? {
            Some(command) => self.execute(&command),
            None => false,
        };
        let (stat, ack) = if done {
            (Stat::CtrlOk, OK)
        } else {
            (Stat::CtrlErr, ERR)
        };
        self.stats.add(stat, 1);
        let answer = chain.segments.iter().find(|s| s.write && s.len > 0);
        if let Some(segment) = answer {
            self.dma.write(writing.of(id::CTRL), segment.addr, &[ack])?;
        }
        let used = Used {
            id: chain.id,
            len: answer.is_some().into(),
            ndesc: chain.ndesc,
        };
        if let Some(vq) = &mut self.queues[index].vq {
            vq.put_used(&mut self.dma, writing, &[used])?;
        }
        Ok(true)
    }

    /// Class, command and data; `None` when it is longer than any command.
    fn command(&mut self, chain: &Chain) -> Result<Option<Vec<u8>>, QueueError> {
        let slot = self.read_done().of(id::CTRL);
        let Some(len) = usize::try_from(chain.len(false))
            .ok()
            .filter(|len| *len <= MAX_COMMAND)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        let mut rest = &mut bytes[..];
        for segment in chain.segments.iter().filter(|s| !s.write) {
            let (part, later) = rest.split_at_mut(rest.len().min(segment.len as usize));
            self.dma.read(slot, segment.addr, part)?;
            rest = later;
        }
        Ok(Some(bytes))
    }

    /// Carries a command out with what follows from it for the queues.
    fn execute(&mut self, command: &[u8]) -> bool {
        let features = self.common.features();
        let (rx, tx) = (self.control.rx_limits, self.control.tx_limits);
        let (steering, mac) = (self.control.steering.clone(), self.control.mac);
        if !self.control.execute(features, command) {
            return false;
        }
        if self.control.rx_limits != rx {
            self.set_limits(Direction::Receive, self.control.rx_limits);
        }
        if self.control.tx_limits != tx {
            self.set_limits(Direction::Transmit, self.control.tx_limits);
        }
        if self.control.mac != mac {
            self.common.config_changed();
        }
        if self.control.steering != steering {
            self.restrict();
        }
        true
    }

    /// 5.1.6.5.6.2: once the command is used, no frame goes to a queue beyond the pairs; what waits
    /// there goes to the first.
    fn restrict(&mut self) {
        let Steering::Automatic { pairs } = self.control.steering else {
            return;
        };
        let mut moved = Vec::new();
        for queue in (2 * pairs..2 * self.config.queue_pairs).step_by(2) {
            let Some(entry) = self.queues.get_mut(usize::from(queue)) else {
                break;
            };
            // Taken buffers stay with the device until the queue is used again or reset.
            moved.extend(entry.rx.store.drain(..));
            entry.rx.bytes = 0;
            entry.rx.coalescer.expire(crate::Ps::MAX, &mut moved);
        }
        self.store(0, moved);
    }
}
