//! MSI-X table and pending bits (PCI 3.0, 6.8.2).

/// One vector's message, as programmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub address: u64,
    pub data: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    message: Message,
    masked: bool,
}

/// The table belongs to PCI: it survives a virtio device reset, what is pending does not.
#[derive(Debug)]
pub(super) struct Msix {
    table: Vec<Entry>,
    pending: u64,
}

impl Msix {
    /// All vectors masked, as after a reset of the function. At most 64 vectors.
    pub fn new(vectors: u16) -> Self {
        let entry = Entry {
            message: Message::default(),
            masked: true,
        };
        Self {
            table: vec![entry; vectors.min(64).into()],
            pending: 0,
        }
    }

    /// The 32-bit word at `offset` of the table; 0 beyond its end.
    pub fn read_table(&self, offset: u32) -> u32 {
        let Some(entry) = self.table.get((offset / 16) as usize) else {
            return 0;
        };
        match offset % 16 / 4 {
            0 => entry.message.address as u32,
            1 => (entry.message.address >> 32) as u32,
            2 => entry.message.data,
            _ => entry.masked.into(),
        }
    }

    /// Writes the bytes of `mask` of the word at `offset` of the table.
    pub fn write_table(&mut self, offset: u32, mask: u32, value: u32) {
        let merged = self.read_table(offset) & !mask | value & mask;
        let Some(entry) = self.table.get_mut((offset / 16) as usize) else {
            return;
        };
        let address = entry.message.address;
        match offset % 16 / 4 {
            0 => entry.message.address = address & !0xffff_ffff | u64::from(merged),
            1 => entry.message.address = address & 0xffff_ffff | u64::from(merged) << 32,
            2 => entry.message.data = merged,
            _ => entry.masked = merged & 1 != 0,
        }
    }

    /// The 32-bit word at `offset` of the pending bits.
    pub fn read_pending(&self, offset: u32) -> u32 {
        match offset {
            0 => self.pending as u32,
            4 => (self.pending >> 32) as u32,
            _ => 0,
        }
    }

    /// `vector` is to be sent; nothing for a vector that does not exist.
    pub fn raise(&mut self, vector: u16) {
        if usize::from(vector) < self.table.len() {
            self.pending |= 1 << vector;
        }
    }

    /// Forgets that `vector` is pending.
    pub fn forget(&mut self, vector: u16) {
        if usize::from(vector) < self.table.len() {
            self.pending &= !(1 << vector);
        }
    }

    /// Forgets what is pending.
    pub fn clear(&mut self) {
        self.pending = 0;
    }

    /// Takes the first message whose vector is pending and not masked.
    pub fn take(&mut self) -> Option<Message> {
        if self.pending == 0 {
            return None;
        }
        let ready = |(vector, entry): (usize, &Entry)| {
            (self.pending >> vector & 1 == 1 && !entry.masked).then_some((vector, entry.message))
        };
        let (vector, message) = self.table.iter().enumerate().find_map(ready)?;
        self.pending &= !(1 << vector);
        Some(Message {
            // Message Address is aligned to 4 bytes (6.8.2.4).
            address: message.address & !3,
            ..message
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_vector_waits() {
        let mut msix = Msix::new(3);
        msix.write_table(16, u32::MAX, 0xfee0_1003);
        msix.write_table(24, u32::MAX, 0x41);
        msix.raise(1);
        msix.raise(1);
        msix.raise(3);
        assert_eq!(msix.take(), None);
        assert_eq!(msix.read_pending(0), 2);
        msix.write_table(28, 0xff, 0);
        let message = Message {
            address: 0xfee0_1000,
            data: 0x41,
        };
        assert_eq!(msix.take(), Some(message));
        assert_eq!((msix.take(), msix.read_pending(0)), (None, 0));
    }

    #[test]
    fn bytes_are_written_alone() {
        let mut msix = Msix::new(1);
        msix.write_table(4, u32::MAX, 0x1122_3344);
        msix.write_table(4, 0xff00, 0x5566_7788);
        assert_eq!(msix.read_table(4), 0x1122_7744);
        assert_eq!(msix.read_table(12), 1, "masked");
        assert_eq!(msix.read_table(16), 0, "beyond the table");
    }

    #[test]
    fn a_reset_forgets_what_is_pending_only() {
        let mut msix = Msix::new(2);
        msix.write_table(8, u32::MAX, 7);
        msix.raise(0);
        msix.clear();
        assert_eq!((msix.read_pending(0), msix.read_table(8)), (0, 7));
    }
}
