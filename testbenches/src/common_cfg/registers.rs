//! The common configuration structure from the specification (virtio 1.2, 4.1.4.3): bytes in, bytes out.

/// Queues of the block, as in build/ctrl.rs: two pairs, and the control queue behind them.
pub const QUEUES: usize = 5;
const CTRL_QUEUE: usize = QUEUES - 1;
/// Largest ring, likewise.
pub const MAX_QUEUE_SIZE: u16 = 64;
/// Bytes of the structure, with what is reserved behind it.
pub const BYTES: usize = 64;
/// 4.1.5.1.2: no vector.
pub const NO_VECTOR: u16 = 0xffff;

/// Places of the fields.
pub mod field {
    pub const DEVICE_FEATURE_SELECT: u16 = 0x00;
    pub const DEVICE_FEATURE: u16 = 0x04;
    pub const DRIVER_FEATURE_SELECT: u16 = 0x08;
    pub const DRIVER_FEATURE: u16 = 0x0c;
    pub const CONFIG_VECTOR: u16 = 0x10;
    pub const NUM_QUEUES: u16 = 0x12;
    pub const STATUS: u16 = 0x14;
    pub const GENERATION: u16 = 0x15;
    pub const QUEUE_SELECT: u16 = 0x16;
    pub const QUEUE_SIZE: u16 = 0x18;
    pub const QUEUE_VECTOR: u16 = 0x1a;
    pub const QUEUE_ENABLE: u16 = 0x1c;
    pub const QUEUE_NOTIFY_OFF: u16 = 0x1e;
    pub const QUEUE_DESC: u16 = 0x20;
    pub const QUEUE_DRIVER: u16 = 0x28;
    pub const QUEUE_DEVICE: u16 = 0x30;
    pub const QUEUE_NOTIFY_DATA: u16 = 0x38;
    pub const QUEUE_RESET: u16 = 0x3a;
}

/// 2.1: device_status.
pub mod status {
    pub const ACKNOWLEDGE: u8 = 1;
    pub const DRIVER: u8 = 2;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
    pub const NEEDS_RESET: u8 = 64;
    pub const FAILED: u8 = 128;
}

/// Feature bits that mean something here.
pub mod feature {
    pub const CTRL_VQ: u64 = 1 << 17;
    pub const MQ: u64 = 1 << 22;
    pub const VERSION_1: u64 = 1 << 32;
    pub const RING_PACKED: u64 = 1 << 34;
    pub const RING_RESET: u64 = 1 << 40;
    pub const RSS: u64 = 1 << 60;

    /// 5.1.3.1: a feature, and those of which it needs one. (HASH_REPORT is set up through the control
    /// queue, 5.1.6.5.7.)
    pub const NEEDS: [(u32, &[u32]); 13] = [
        (7, &[1]),       // GUEST_TSO4: GUEST_CSUM
        (8, &[1]),       // GUEST_TSO6: GUEST_CSUM
        (11, &[0]),      // HOST_TSO4: CSUM
        (12, &[0]),      // HOST_TSO6: CSUM
        (13, &[11, 12]), // HOST_ECN: HOST_TSO4 or HOST_TSO6
        (56, &[0]),      // HOST_USO: CSUM
        (18, &[17]),     // CTRL_RX: CTRL_VQ
        (19, &[17]),     // CTRL_VLAN: CTRL_VQ
        (22, &[17]),     // MQ: CTRL_VQ
        (23, &[17]),     // CTRL_MAC_ADDR: CTRL_VQ
        (53, &[17]),     // NOTF_COAL: CTRL_VQ
        (57, &[17]),     // HASH_REPORT: CTRL_VQ
        (60, &[17]),     // RSS: CTRL_VQ
    ];

    /// Whether each has what it needs.
    pub fn complete(features: u64) -> bool {
        let has = |bit: u32| features >> bit & 1 == 1;
        NEEDS
            .iter()
            .all(|(bit, needs)| !has(*bit) || needs.iter().any(|bit| has(*bit)))
    }

    /// Without those that lack what they need.
    pub fn completed(mut features: u64) -> u64 {
        while let Some((bit, _)) = NEEDS.iter().find(|(bit, needs)| {
            features >> bit & 1 == 1 && needs.iter().all(|need| features >> need & 1 == 0)
        }) {
            features &= !(1 << bit);
        }
        features
    }
}

/// A queue's registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub size: u16,
    pub vector: u16,
    pub enable: bool,
    /// Its reset goes on.
    pub reset: bool,
    /// By an error.
    pub stopped: bool,
    /// Descriptor ring, driver area, device area.
    pub areas: [u64; 3],
}

impl Queue {
    /// As after a reset.
    pub const NEW: Self = Self {
        size: MAX_QUEUE_SIZE,
        vector: NO_VECTOR,
        enable: false,
        reset: false,
        stopped: false,
        areas: [0; 3],
    };
}

/// All registers, and what the card offers.
#[derive(Debug, Clone)]
pub struct Registers {
    pub offered: u64,
    pub pairs: u16,
    pub vectors: u16,
    pub device_feature_select: u32,
    pub driver_feature_select: u32,
    pub driver_features: u64,
    pub config_vector: u16,
    pub queue_select: u16,
    pub status: u8,
    pub generation: u8,
    pub resetting: bool,
    /// By their place in the card: the control queue is the last, whatever its number.
    pub queues: [Queue; QUEUES],
}

impl Registers {
    pub fn new(offered: u64, pairs: u16, vectors: u16) -> Self {
        Self {
            offered,
            pairs,
            vectors,
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            queue_select: 0,
            status: 0,
            generation: 0,
            resetting: false,
            queues: [Queue::NEW; QUEUES],
        }
    }

    /// A device reset has ended; the generation is not of its matter.
    pub fn reset(&mut self) {
        *self = Self {
            generation: self.generation,
            ..Self::new(self.offered, self.pairs, self.vectors)
        };
    }

    pub fn has(&self, status: u8) -> bool {
        self.status & status == status
    }

    /// 2.2: the driver's features, once FEATURES_OK is set.
    pub fn negotiated(&self, feature: u64) -> bool {
        self.has(status::FEATURES_OK) && self.driver_features & feature == feature
    }

    /// 5.1.2: pairs with a number below the control queue's.
    pub fn numbered_pairs(&self) -> u16 {
        let control = self.offered & feature::CTRL_VQ != 0;
        let several = self.negotiated(feature::MQ) || self.negotiated(feature::RSS);
        if several || !control { self.pairs } else { 1 }
    }

    fn num_queues(&self) -> u16 {
        2 * self.pairs + u16::from(self.offered & feature::CTRL_VQ != 0)
    }

    /// The queue that has the number `number`, if there is one.
    pub fn place(&self, number: u16) -> Option<usize> {
        let data = usize::from(2 * self.numbered_pairs());
        let order = (0..data).chain([CTRL_QUEUE]).chain(data..CTRL_QUEUE);
        let known = order.take(self.num_queues().into());
        known.collect::<Vec<_>>().get(usize::from(number)).copied()
    }

    /// The selected queue, if there is one.
    pub fn selected(&self) -> Option<usize> {
        self.place(self.queue_select)
    }

    /// DRIVER_OK counts.
    pub fn ready(&self) -> bool {
        self.has(status::FEATURES_OK | status::DRIVER_OK) && !self.resetting
    }

    /// Whether a queue is to work.
    pub fn live(&self, place: usize) -> bool {
        let queue = &self.queues[place];
        let several = self.negotiated(feature::MQ) || self.negotiated(feature::RSS);
        let used = match place {
            CTRL_QUEUE => self.negotiated(feature::CTRL_VQ),
            0 | 1 => true,
            _ => several && place < usize::from(2 * self.pairs),
        };
        queue.enable && !queue.reset && !queue.stopped && used && self.ready()
    }

    /// What a driver reads.
    pub fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut put = |at: u16, value: &[u8]| {
            bytes[usize::from(at)..][..value.len()].copy_from_slice(value);
        };
        let half = |value: u64, select: u32| match select {
            0 => value as u32,
            1 => (value >> 32) as u32,
            _ => 0,
        };
        put(
            field::DEVICE_FEATURE_SELECT,
            &self.device_feature_select.to_le_bytes(),
        );
        let offered = half(self.offered, self.device_feature_select);
        put(field::DEVICE_FEATURE, &offered.to_le_bytes());
        put(
            field::DRIVER_FEATURE_SELECT,
            &self.driver_feature_select.to_le_bytes(),
        );
        let chosen = half(self.driver_features, self.driver_feature_select);
        put(field::DRIVER_FEATURE, &chosen.to_le_bytes());
        put(field::CONFIG_VECTOR, &self.config_vector.to_le_bytes());
        put(field::NUM_QUEUES, &self.num_queues().to_le_bytes());
        put(field::STATUS, &[self.status]);
        put(field::GENERATION, &[self.generation]);
        put(field::QUEUE_SELECT, &self.queue_select.to_le_bytes());
        // 4.1.4.3.1: a queue that does not exist has size 0.
        put(field::QUEUE_VECTOR, &NO_VECTOR.to_le_bytes());
        if let Some(place) = self.selected() {
            let queue = &self.queues[place];
            put(field::QUEUE_SIZE, &queue.size.to_le_bytes());
            put(field::QUEUE_VECTOR, &queue.vector.to_le_bytes());
            put(field::QUEUE_ENABLE, &[queue.enable.into()]);
            put(field::QUEUE_NOTIFY_OFF, &self.queue_select.to_le_bytes());
            put(field::QUEUE_DESC, &queue.areas[0].to_le_bytes());
            put(field::QUEUE_DRIVER, &queue.areas[1].to_le_bytes());
            put(field::QUEUE_DEVICE, &queue.areas[2].to_le_bytes());
            put(field::QUEUE_NOTIFY_DATA, &self.queue_select.to_le_bytes());
            put(field::QUEUE_RESET, &[queue.reset.into()]);
        }
        bytes
    }

    /// The word that holds `at`.
    pub fn word(&self, at: u16) -> u32 {
        let bytes = self.bytes();
        let at = usize::from(at & !3);
        let word = bytes.get(at..at + 4);
        word.map_or(0, |word| {
            word.iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u32::from(*byte))
        })
    }

    /// A write of 1, 2 or 4 bytes at a multiple of their number. Whether it is an error that stops the
    /// device: a queue of an illegal size is enabled.
    pub fn write(&mut self, at: u16, value: &[u8]) -> bool {
        if usize::from(at) >= BYTES {
            return false;
        }
        let mut after = self.bytes();
        after[usize::from(at)..][..value.len()].copy_from_slice(value);
        let (first, end) = (at, at + value.len() as u16);
        // What a field holds behind the write, if the write touches it.
        let touched = |field: u16, len: u16| {
            let bytes = &after[usize::from(field)..usize::from(field + len)];
            let value = bytes
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte));
            (first < field + len && end > field).then_some(value)
        };
        let legal = |vector: u64| match vector {
            vector if vector < u64::from(self.vectors) => vector as u16,
            _ => NO_VECTOR,
        };
        if let Some(select) = touched(field::DEVICE_FEATURE_SELECT, 4) {
            self.device_feature_select = select as u32;
        }
        if let Some(select) = touched(field::DRIVER_FEATURE_SELECT, 4) {
            self.driver_feature_select = select as u32;
        }
        // 2.2.1: the driver's choice is closed with FEATURES_OK.
        if let Some(chosen) = touched(field::DRIVER_FEATURE, 4)
            && !self.has(status::FEATURES_OK)
            && self.driver_feature_select < 2
        {
            let shift = 32 * self.driver_feature_select;
            self.driver_features &= !(0xffff_ffff << shift);
            self.driver_features |= chosen << shift;
        }
        if let Some(vector) = touched(field::CONFIG_VECTOR, 2) {
            self.config_vector = legal(vector);
        }
        let queue = self.selected().map(|place| &mut self.queues[place]);
        let mut bad = false;
        if let Some(queue) = queue {
            if let Some(vector) = touched(field::QUEUE_VECTOR, 2) {
                queue.vector = legal(vector);
            }
            // 4.1.4.3.2: nothing else changes while the queue is enabled.
            if !queue.enable {
                if let Some(size) = touched(field::QUEUE_SIZE, 2) {
                    queue.size = size as u16;
                }
                // 2.8.10: the ring is aligned to 16 bytes, the others to 4.
                let areas = [
                    (field::QUEUE_DESC, 16),
                    (field::QUEUE_DRIVER, 4),
                    (field::QUEUE_DEVICE, 4),
                ];
                for (area, (at, align)) in queue.areas.iter_mut().zip(areas) {
                    if let Some(addr) = touched(at, 8) {
                        *area = addr - addr % align;
                    }
                }
            }
            let negotiated = self.driver_features & feature::RING_RESET != 0;
            if touched(field::QUEUE_RESET, 2).is_some_and(|value| value & 1 == 1) {
                queue.reset |= negotiated && queue.enable;
            }
            if touched(field::QUEUE_ENABLE, 2).is_some_and(|value| value & 1 == 1) {
                let legal = (1..=MAX_QUEUE_SIZE).contains(&queue.size);
                bad = !legal && !queue.enable;
                queue.enable |= legal;
            }
        }
        if let Some(select) = touched(field::QUEUE_SELECT, 2) {
            self.queue_select = select as u16;
        }
        if touched(field::STATUS, 1).is_some() {
            self.write_status(after[usize::from(field::STATUS)]);
        }
        bad
    }

    /// 2.1.1, 2.2.2, 2.4: 0 resets; otherwise bits are only ever added.
    fn write_status(&mut self, value: u8) {
        if value == 0 {
            self.resetting = true;
            return;
        }
        use status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK};
        self.status |= value & (ACKNOWLEDGE | DRIVER | DRIVER_OK | FAILED);
        let needed = feature::VERSION_1 | feature::RING_PACKED;
        let chosen = self.driver_features;
        let good =
            chosen & !self.offered == 0 && chosen & needed == needed && feature::complete(chosen);
        if good {
            self.status |= value & FEATURES_OK;
        }
    }
}
