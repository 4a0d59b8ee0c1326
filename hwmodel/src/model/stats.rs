//! Vendor region of BAR0: build information, choices of the MAC and RMON-like counters, as
//! `rtl/pkg/nic_pkg.sv` lays them out.

/// "WPTH" read as bytes.
const MAGIC: u32 = 0x4854_5057;
/// Major << 16 | minor of the register map.
const VERSION: u32 = 1;
/// What stands in the place of the RTL's data width in bytes: there is no bus to have one.
const DATA_WIDTH: u32 = 16;
/// Offsets from the region's start: choices of the MAC, the snapshot register, counters, their copies.
const MAC_CTRL: u32 = 0x10;
const SNAPSHOT: u32 = 0x14;
const COUNTERS: u32 = 0x100;
const FROZEN: u32 = 0x500;

/// Bits of the MAC's register, as `mac_ctrl_t` has them.
pub(super) mod mac_ctrl {
    /// What is sent comes back, and the wire is cut off.
    pub const LOOPBACK: u32 = 1;
    /// PAUSE frames are honoured, MAC control frames kept.
    pub const RX_PAUSE: u32 = 2;
    /// PAUSE frames are sent when the receive store fills up: a no-op here, the store is memory.
    pub const TX_PAUSE: u32 = 4;
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident = $index:literal, $rtl:literal;)*) => {
        /// A counter; the number is its place in the vendor region.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Stat { $($(#[$doc])* $name = $index,)* }

        impl Stat {
            /// All, in order, with the names that the RTL's package gives them.
            pub const ALL: &[(Stat, &str)] = &[$((Stat::$name, $rtl)),*];
        }
    };
}

stats! {
    /// Good frames from the wire.
    RxFrames = 0, "STAT_RX_FRAMES";
    /// Bytes of good frames, FCS not included.
    RxBytes = 1, "STAT_RX_BYTES";
    /// Dropped: frame check sequence wrong.
    RxBadFcs = 2, "STAT_RX_BAD_FCS";
    /// Dropped: shorter than 64 bytes with FCS.
    RxRunt = 3, "STAT_RX_RUNT";
    /// Dropped: longer than the limit.
    RxOversize = 4, "STAT_RX_OVERSIZE";
    /// Dropped: control character inside the frame or bad preamble.
    RxError = 5, "STAT_RX_ERROR";
    /// Dropped: receive store full.
    RxNoSpace = 6, "STAT_RX_NO_SPACE";
    /// Dropped: receive queue not enabled or device stopped.
    RxDisabled = 7, "STAT_RX_DISABLED";
    /// Dropped: longer than the buffers that were offered.
    RxTruncated = 8, "STAT_RX_TRUNCATED";
    /// Delivered with DATA_VALID.
    RxCsumValid = 9, "STAT_RX_CSUM_VALID";
    /// Frames sent.
    TxFrames = 10, "STAT_TX_FRAMES";
    /// Bytes of frames sent, padding included, FCS not.
    TxBytes = 11, "STAT_TX_BYTES";
    /// Dropped: illegal `virtio_net_hdr` or frame length.
    TxMalformed = 12, "STAT_TX_MALFORMED";
    /// Frames whose checksum was inserted.
    TxCsum = 13, "STAT_TX_CSUM";
    /// Frames cut because data was not there in time: never here.
    TxUnderrun = 14, "STAT_TX_UNDERRUN";
    /// Receive buffers used, those that came back empty included.
    RxBuffers = 15, "STAT_RX_BUFFERS";
    /// Transmit chains used.
    TxBuffers = 16, "STAT_TX_BUFFERS";
    /// DMA that was refused.
    DmaError = 17, "STAT_DMA_ERROR";
    /// Dropped: the receive mode, address table or VLAN filter does not let it in.
    RxFiltered = 18, "STAT_RX_FILTERED";
    /// Segments that went into coalesced frames of two or more.
    RxCoalesced = 19, "STAT_RX_COALESCED";
    /// Frames of two or more segments that they became; other counters take each as one frame.
    RxLroFrames = 20, "STAT_RX_LRO_FRAMES";
    /// Chains that asked for segmentation and got it.
    TxGso = 21, "STAT_TX_GSO";
    /// Frames that segmentation made.
    TxSegments = 22, "STAT_TX_SEGMENTS";
    /// Control commands answered with VIRTIO_NET_OK.
    CtrlOk = 23, "STAT_CTRL_OK";
    /// Control commands answered with VIRTIO_NET_ERR.
    CtrlErr = 24, "STAT_CTRL_ERR";
    /// Dropped: its queue was without buffers, and others must go on.
    RxNoBuffer = 25, "STAT_RX_NO_BUFFER";
    /// PAUSE frames taken by the MAC.
    RxPause = 26, "STAT_RX_PAUSE";
    /// Dropped: other MAC control frames.
    RxMacCtrl = 27, "STAT_RX_MAC_CTRL";
    /// PAUSE frames sent: never here.
    TxPause = 28, "STAT_TX_PAUSE";
}

/// The counters, their copies, and the latch that keeps both halves of one together. A virtio device
/// reset leaves all of it, a reset of the function does not.
#[derive(Debug)]
pub(super) struct Stats {
    counters: [u64; Stat::ALL.len()],
    frozen: [u64; Stat::ALL.len()],
    snapshots: u32,
    mac_ctrl: u32,
    high: u32,
    queue_pairs: u16,
}

impl Stats {
    pub fn new(queue_pairs: u16) -> Self {
        Self {
            counters: [0; Stat::ALL.len()],
            frozen: [0; Stat::ALL.len()],
            snapshots: 0,
            mac_ctrl: mac_ctrl::RX_PAUSE,
            high: 0,
            queue_pairs,
        }
    }

    pub fn add(&mut self, stat: Stat, count: u64) {
        self.counters[stat as usize] += count;
    }

    pub fn get(&self, stat: Stat) -> u64 {
        self.counters[stat as usize]
    }

    /// Whether a bit of [`mac_ctrl`] is set.
    pub fn mac(&self, bit: u32) -> bool {
        self.mac_ctrl & bit != 0
    }

    /// Writes the bytes in `mask` of the word at `offset` of the region.
    pub fn write(&mut self, offset: u32, mask: u32, value: u32) {
        use mac_ctrl::{LOOPBACK, RX_PAUSE, TX_PAUSE};
        match offset {
            MAC_CTRL if mask & 0xff != 0 => {
                self.mac_ctrl = value & (LOOPBACK | RX_PAUSE | TX_PAUSE);
            }
            SNAPSHOT => {
                self.snapshots = self.snapshots.wrapping_add(1);
                self.frozen = self.counters;
            }
            _ => {}
        }
    }

    /// The 32-bit word at `offset` of the region. Reading a counter's low half latches its high half.
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            0x0 => MAGIC,
            0x4 => VERSION,
            0x8 => DATA_WIDTH << 16 | u32::from(self.queue_pairs),
            MAC_CTRL => self.mac_ctrl,
            SNAPSHOT => self.snapshots,
            FROZEN.. => self.read_counter(self.frozen, offset - FROZEN),
            COUNTERS.. => self.read_counter(self.counters, offset - COUNTERS),
            _ => 0,
        }
    }

    fn read_counter(&mut self, counters: [u64; Stat::ALL.len()], place: u32) -> u32 {
        let Some(value) = counters.get((place / 8) as usize) else {
            return 0;
        };
        if place % 8 == 4 {
            return self.high;
        }
        self.high = (value >> 32) as u32;
        *value as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The RTL's package is the truth for every counter that it has.
    #[test]
    fn places_are_those_of_the_rtl() {
        let package = include_str!("../../../rtl/pkg/nic_pkg.sv");
        let mut seen = 0;
        for line in package
            .lines()
            .map(str::trim)
            .filter(|l| l.starts_with("STAT_"))
        {
            let (name, rest) = line.split_once('=').expect("a place");
            let place = rest.split_once("'d").expect("a decimal number").1;
            let digits = place.trim_start_matches(|c: char| !c.is_ascii_digit());
            let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
            let known = Stat::ALL.iter().find(|(_, rtl)| *rtl == name.trim());
            let (stat, _) = known.unwrap_or_else(|| panic!("the model lacks {name}"));
            assert_eq!(*stat as usize, digits.parse::<usize>().unwrap(), "{name}");
            seen += 1;
        }
        assert!(seen >= 18, "{seen} counters in the package");
        for (index, (stat, _)) in Stat::ALL.iter().enumerate() {
            assert_eq!(*stat as usize, index);
        }
    }

    #[test]
    fn halves_fit_together() {
        let mut stats = Stats::new(4);
        stats.add(Stat::RxBytes, 0x1_ffff_ffff);
        let at = COUNTERS + 8;
        assert_eq!(stats.read(at), 0xffff_ffff);
        stats.add(Stat::RxBytes, 1);
        assert_eq!(
            stats.read(at + 4),
            1,
            "the high half of the value that was read"
        );
        assert_eq!((stats.read(at), stats.read(at + 4)), (0, 2));
        assert_eq!(stats.read(0).to_le_bytes(), *b"WPTH");
        assert_eq!(stats.read(8) & 0xffff, 4);
        assert_eq!(stats.read(0xffc), 0);
    }

    #[test]
    fn a_snapshot_is_of_one_instant() {
        let mut stats = Stats::new(1);
        stats.add(Stat::RxFrames, 7);
        stats.add(Stat::TxPause, 0x2_0000_0003);
        assert_eq!(stats.read(FROZEN), 0);
        stats.write(SNAPSHOT, u32::MAX, 0);
        stats.add(Stat::RxFrames, 1);
        assert_eq!((stats.read(FROZEN), stats.read(COUNTERS)), (7, 8));
        let at = FROZEN + 8 * Stat::TxPause as u32;
        assert_eq!((stats.read(at), stats.read(at + 4)), (3, 2));
        assert_eq!(stats.read(SNAPSHOT), 1);
        assert_eq!(stats.read(FROZEN + 8 * Stat::ALL.len() as u32), 0);
    }

    #[test]
    fn the_mac_is_set_by_its_low_byte() {
        let mut stats = Stats::new(1);
        assert_eq!(stats.read(MAC_CTRL), mac_ctrl::RX_PAUSE);
        stats.write(MAC_CTRL, 0xff00, u32::MAX);
        assert!(!stats.mac(mac_ctrl::LOOPBACK));
        stats.write(MAC_CTRL, 0xff, 0xff);
        assert_eq!(stats.read(MAC_CTRL), 7);
    }
}
