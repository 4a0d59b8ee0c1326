//! The model's pins. One crossing per cycle: [`PinsIn`] goes down, [`PinsOut`] comes back.
//!
//! Names are those of the ports of `rtl/nic.sv` without `_i` and `_o`.

pub(crate) use ffi::{Address, Beat, Column, ReadBurst, Response, Window, WriteBeat};
pub use ffi::{PinsIn, PinsOut, Straps, Variant};

use std::{pin::Pin, ptr::NonNull};

/// The NIC under Verilator, owned. A call through it is one crossing; through `cxx::UniquePtr` each
/// would be two, since C++ has to be asked for the pointer.
pub struct Model(NonNull<ffi::Model>);

impl Model {
    /// A model before its first edge.
    pub fn new(straps: &Straps, variant: Variant) -> Self {
        let raw = ffi::new_model(straps, variant).into_raw();
        Self(NonNull::new(raw).expect("std::make_unique never gives null"))
    }

    /// The C++ object.
    #[inline]
    pub fn pin_mut(&mut self) -> Pin<&mut ffi::Model> {
        // SAFETY: the object is alive until drop() and nobody else has its address; it is never moved.
        unsafe { Pin::new_unchecked(self.0.as_mut()) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from into_raw() and is given back once.
        drop(unsafe { cxx::UniquePtr::from_raw(self.0.as_ptr()) });
    }
}

#[allow(clippy::too_many_arguments)] // Model::run(): all of a window in one crossing
#[cxx::bridge(namespace = "wirepath")]
pub(crate) mod ffi {
    /// Inputs for one clock cycle.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PinsIn {
        /// AXI4 R: data, lane 0 in bits 7:0 of the first word.
        pub m_axi_rdata: [u64; 2],
        /// Clock cycles since power-on, also those that were skipped; 48 bits.
        pub cycle: u64,
        /// XGMII from the wire, lane 0 in bits 7:0.
        pub xgmii_rxd: u64,
        /// AXI4-Lite W: data.
        pub s_axil_wdata: u32,
        /// AXI4-Lite AW: byte offset in BAR0.
        pub s_axil_awaddr: u16,
        /// AXI4-Lite AR: byte offset in BAR0.
        pub s_axil_araddr: u16,
        /// Synchronous reset, active low.
        pub rst_n: bool,
        /// AXI4-Lite AW: an address is offered.
        pub s_axil_awvalid: bool,
        /// AXI4-Lite W: a bit per byte that is written.
        pub s_axil_wstrb: u8,
        /// AXI4-Lite W: data is offered.
        pub s_axil_wvalid: bool,
        /// AXI4-Lite B: a response would be taken.
        pub s_axil_bready: bool,
        /// AXI4-Lite AR: an address is offered.
        pub s_axil_arvalid: bool,
        /// AXI4-Lite R: data would be taken.
        pub s_axil_rready: bool,
        /// AXI4 AW: an address would be taken.
        pub m_axi_awready: bool,
        /// AXI4 W: a beat would be taken.
        pub m_axi_wready: bool,
        /// AXI4 B: ID of the burst that is answered.
        pub m_axi_bid: u8,
        /// AXI4 B: OKAY 0, SLVERR 2, DECERR 3.
        pub m_axi_bresp: u8,
        /// AXI4 B: a response is offered.
        pub m_axi_bvalid: bool,
        /// AXI4 AR: an address would be taken.
        pub m_axi_arready: bool,
        /// AXI4 R: ID of the burst.
        pub m_axi_rid: u8,
        /// AXI4 R: OKAY 0, SLVERR 2, DECERR 3.
        pub m_axi_rresp: u8,
        /// AXI4 R: the last beat of the burst.
        pub m_axi_rlast: bool,
        /// AXI4 R: a beat is offered.
        pub m_axi_rvalid: bool,
        /// XGMII from the wire, a bit per lane: a control character.
        pub xgmii_rxc: u8,
        /// The wire has an end that answers.
        pub link_up: bool,
        /// PCI command register: Bus Master Enable.
        pub bus_master_en: bool,
        /// MSI-X message control: MSI-X Enable.
        pub msix_enable: bool,
        /// MSI-X message control: Function Mask.
        pub msix_mask: bool,
    }

    /// Outputs after a clock edge; they hold until the next. A payload is defined while its valid is
    /// set.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct PinsOut {
        /// AXI4 W: data, lane 0 in bits 7:0 of the first word.
        pub m_axi_wdata: [u64; 2],
        /// AXI4 AW: bus address, bytes.
        pub m_axi_awaddr: u64,
        /// AXI4 AR: bus address, bytes.
        pub m_axi_araddr: u64,
        /// XGMII to the wire, lane 0 in bits 7:0.
        pub xgmii_txd: u64,
        /// AXI4-Lite R: data.
        pub s_axil_rdata: u32,
        /// Cycles until the device wants to run by itself; all ones: never.
        pub timer: u32,
        /// AXI4 W: a bit per byte that is written.
        pub m_axi_wstrb: u16,
        /// AXI4-Lite AW: an address would be taken.
        pub s_axil_awready: bool,
        /// AXI4-Lite W: data would be taken.
        pub s_axil_wready: bool,
        /// AXI4-Lite B: OKAY 0, else refused.
        pub s_axil_bresp: u8,
        /// AXI4-Lite B: a response is offered.
        pub s_axil_bvalid: bool,
        /// AXI4-Lite AR: an address would be taken.
        pub s_axil_arready: bool,
        /// AXI4-Lite R: OKAY 0, else refused.
        pub s_axil_rresp: u8,
        /// AXI4-Lite R: data is offered.
        pub s_axil_rvalid: bool,
        /// AXI4 AW: ID.
        pub m_axi_awid: u8,
        /// AXI4 AW: beats minus 1.
        pub m_axi_awlen: u8,
        /// AXI4 AW: log2 of the bytes per beat.
        pub m_axi_awsize: u8,
        /// AXI4 AW: kind of burst, always INCR (1).
        pub m_axi_awburst: u8,
        /// AXI4 AW: an address is offered.
        pub m_axi_awvalid: bool,
        /// AXI4 W: the last beat of the burst.
        pub m_axi_wlast: bool,
        /// AXI4 W: a beat is offered.
        pub m_axi_wvalid: bool,
        /// AXI4 B: a response would be taken.
        pub m_axi_bready: bool,
        /// AXI4 AR: ID.
        pub m_axi_arid: u8,
        /// AXI4 AR: beats minus 1.
        pub m_axi_arlen: u8,
        /// AXI4 AR: log2 of the bytes per beat.
        pub m_axi_arsize: u8,
        /// AXI4 AR: kind of burst, always INCR (1).
        pub m_axi_arburst: u8,
        /// AXI4 AR: an address is offered.
        pub m_axi_arvalid: bool,
        /// AXI4 R: a beat would be taken.
        pub m_axi_rready: bool,
        /// XGMII to the wire, a bit per lane: a control character.
        pub xgmii_txc: u8,
        /// Clear: no state changes until an input does or the timer ends; the clock may stand.
        pub busy: bool,
    }

    /// One cycle of an XGMII direction.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Column {
        /// Lane 0 in bits 7:0.
        pub data: u64,
        /// Bit per lane: a control character.
        pub ctrl: u8,
    }

    /// A data beat of a read burst.
    #[derive(Debug, Clone, Copy)]
    pub struct Beat {
        /// Lane 0 in bits 7:0 of the first word.
        pub data: [u64; 2],
    }

    /// A read burst that a window answers.
    #[derive(Debug, Clone, Copy)]
    pub struct ReadBurst {
        /// Cycle of the window from which on it can begin, behind the burst before it.
        pub cycle: u32,
        /// Where its beats end among those of the window.
        pub end: u32,
        /// AXI ID.
        pub id: u8,
        /// RRESP of every beat.
        pub resp: u8,
        /// Out: the cycle in which its last beat was taken, if it was.
        pub done: u32,
    }

    /// A data beat of a write burst.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WriteBeat {
        /// Lane 0 in bits 7:0 of the first word.
        pub data: [u64; 2],
        /// A bit per byte that is written.
        pub strobe: u16,
        /// WLAST.
        pub last: bool,
        /// Cycle of the window in which it was taken, from 0.
        pub cycle: u32,
    }

    /// An address that was taken.
    #[derive(Debug, Clone, Copy)]
    pub struct Address {
        /// Bus address, bytes.
        pub addr: u64,
        /// Cycle of the window in which it was taken, from 0.
        pub cycle: u32,
        /// AXI ID.
        pub id: u8,
        /// Beats minus 1.
        pub len: u8,
        /// log2 of the bytes per beat.
        pub size: u8,
        /// AxBURST.
        pub burst: u8,
    }

    /// A write response.
    #[derive(Debug, Clone, Copy)]
    pub struct Response {
        /// Cycle of the window from which on it can be given.
        pub cycle: u32,
        /// AXI ID.
        pub id: u8,
        /// BRESP.
        pub resp: u8,
    }

    /// What limits a window, and what happened in it.
    #[derive(Debug, Clone, Copy)]
    pub struct Window {
        /// When its first cycle begins, picoseconds.
        pub begin: u64,
        /// At most so many cycles, 1..=64. Lowered by what is taken: it is answered behind the window.
        pub limit: u32,
        /// Cycles from the address of a read to its answer.
        pub read_latency: u32,
        /// Cycles from the data of a write to its visibility, and from the last to its answer.
        pub write_latency: u32,
        /// End behind an edge after which the device is not busy.
        pub until_idle: bool,
        /// The device is in the middle of a frame on its transmit pins.
        pub in_frame: bool,
        /// Write addresses that may be taken; the ready is set. The window ends with the last.
        pub take_aw: u32,
        /// Read addresses that may be taken, likewise.
        pub take_ar: u32,
        /// Write bursts whose data is outstanding; data is taken when there are some.
        pub open: u32,
        /// End with the last beat of the last read burst: the host then has another one.
        pub read_more: bool,
        /// In and out: how many read bursts have begun. In: 1 when the first is under way, else 0.
        pub read_begun: u32,
        /// In and out: a read beat is on the pins and was not taken yet.
        pub read_waits: bool,
        /// In and out: a response is on the pins and was not taken yet.
        pub response_waits: bool,

        // Out:
        /// How many ran, at least one.
        pub cycles: u32,
        /// Read beats that were put on the pins.
        pub read_count: u32,
        /// Read bursts whose last beat was taken.
        pub read_done: u32,
        /// Responses that were put on the pins.
        pub response_count: u32,
        /// Write addresses that were taken, in order.
        pub aw: [Address; 128],
        /// Valid in `aw`.
        pub aw_count: u32,
        /// Read addresses that were taken, in order.
        pub ar: [Address; 128],
        /// Valid in `ar`.
        pub ar_count: u32,
        /// Write beats that were taken, in order.
        pub writes: [WriteBeat; 128],
        /// Valid in `writes`.
        pub write_count: u32,
        /// Transmitted columns behind each edge.
        pub columns: [Column; 128],
        /// The first that is not idle; the number of cycles if there is none.
        pub first_column: u32,
    }

    /// What the RTL was built for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Variant {
        /// One queue pair, few features: the fastest.
        Thin,
        /// Eight queue pairs, all features.
        Full,
        /// Eight queue pairs, with protocol checkers, and waves can be written; slower.
        Traced,
    }

    /// Static inputs `cfg_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Straps {
        /// Virtio feature bits to offer.
        pub features: u64,
        /// MAC address, bits 7:0 = first octet on the wire.
        pub mac: u64,
        /// Bytes.
        pub mtu: u16,
        /// Queue pairs to offer, at most what the variant has.
        pub queue_pairs: u8,
    }

    unsafe extern "C++" {
        include!("model.h");

        /// The NIC under Verilator.
        type Model;

        /// A model before its first edge.
        fn new_model(straps: &Straps, variant: Variant) -> UniquePtr<Model>;

        /// One clock cycle that begins at `now`. `Err` when the RTL stops: its message and scope.
        fn step(self: Pin<&mut Model>, now: u64, pins: &PinsIn, out: &mut PinsOut) -> Result<()>;

        /// [`Model::step`], and gives back `hash`, at first 0, with the outputs added as [`Model::replay`] does.
        fn step_hashed(
            self: Pin<&mut Model>,
            now: u64,
            pins: &PinsIn,
            out: &mut PinsOut,
            hash: u64,
        ) -> Result<u64>;

        /// Cycles in a row that need no decision of the host: the columns `rx`, then idle ones, arrive; the
        /// read data `reads` of `bursts`, the rest of one under way the first, follows what is on the pins as
        /// fast as the device takes it; `responses` are given when their cycle has come; addresses and
        /// data that the device gives are taken. Ends early behind an edge after which something is
        /// asked for that may not be taken, and behind a transmitted column that ends a frame.
        fn run(
            self: Pin<&mut Model>,
            pins: &PinsIn,
            rx: &[Column],
            reads: &[Beat],
            bursts: &mut [ReadBurst],
            responses: &[Response],
            window: &mut Window,
            out: &mut PinsOut,
        ) -> Result<()>;

        /// When the newest edge was: after an `Err`, the one that failed.
        fn time(self: &Model) -> u64;

        /// The bare loop over recorded stimulus; a hash of all outputs, or 0 without `hash`.
        fn replay(self: Pin<&mut Model>, pins: &[PinsIn], hash: bool) -> Result<u64>;

        /// Starts an FST file.
        fn open_waves(self: Pin<&mut Model>, path: &str) -> Result<()>;

        /// Completes the FST file, if one is open.
        fn close_waves(self: Pin<&mut Model>) -> Result<()>;
    }
}

/// Cycles of the longest window.
pub(crate) const WINDOW: u32 = 128;

impl Default for Window {
    fn default() -> Self {
        const N: usize = WINDOW as usize;
        let beat = WriteBeat {
            data: [0; 2],
            strobe: 0,
            last: false,
            cycle: 0,
        };
        let address = Address {
            addr: 0,
            cycle: 0,
            id: 0,
            len: 0,
            size: 0,
            burst: 0,
        };
        Self {
            begin: 0,
            limit: 0,
            read_latency: 0,
            write_latency: 0,
            until_idle: false,
            in_frame: false,
            take_aw: 0,
            take_ar: 0,
            open: 0,
            read_more: false,
            read_begun: 0,
            read_waits: false,
            response_waits: false,
            cycles: 0,
            read_count: 0,
            read_done: 0,
            response_count: 0,
            aw: [address; N],
            aw_count: 0,
            ar: [address; N],
            ar_count: 0,
            writes: [beat; N],
            write_count: 0,
            columns: [Column { data: 0, ctrl: 0 }; N],
            first_column: 0,
        }
    }
}

impl PinsIn {
    /// Reset asserted, wire idle, nothing valid, nothing ready.
    #[must_use]
    pub const fn reset() -> Self {
        Self {
            m_axi_rdata: [0; 2],
            cycle: 0,
            xgmii_rxd: crate::xgmii::IDLE_COLUMN.0,
            s_axil_wdata: 0,
            s_axil_awaddr: 0,
            s_axil_araddr: 0,
            rst_n: false,
            s_axil_awvalid: false,
            s_axil_wstrb: 0,
            s_axil_wvalid: false,
            s_axil_bready: false,
            s_axil_arvalid: false,
            s_axil_rready: false,
            m_axi_awready: false,
            m_axi_wready: false,
            m_axi_bid: 0,
            m_axi_bresp: 0,
            m_axi_bvalid: false,
            m_axi_arready: false,
            m_axi_rid: 0,
            m_axi_rresp: 0,
            m_axi_rlast: false,
            m_axi_rvalid: false,
            xgmii_rxc: crate::xgmii::IDLE_COLUMN.1,
            link_up: false,
            bus_master_en: false,
            msix_enable: false,
            msix_mask: false,
        }
    }
}
