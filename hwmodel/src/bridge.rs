//! The model's pins. One crossing per cycle: [`PinsIn`] goes down, [`PinsOut`] comes back.
//!
//! Names are those of the ports of `rtl/nic.sv` without `_i` and `_o`.

pub use ffi::{PinsIn, PinsOut, Straps, hash_pins};

use std::{pin::Pin, ptr::NonNull};

/// The NIC under Verilator, owned. A call through it is one crossing; through `cxx::UniquePtr` each
/// would be two, since C++ has to be asked for the pointer.
pub struct Model(NonNull<ffi::Model>);

impl Model {
    /// A model before its first edge. Only a `traced` one can write waves; it is slower.
    pub fn new(straps: &Straps, traced: bool) -> Self {
        let raw = ffi::new_model(straps, traced).into_raw();
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

#[allow(missing_docs)] // the fields' meaning is in rtl/nic.sv
#[cxx::bridge(namespace = "wirepath")]
pub(crate) mod ffi {
    /// Inputs for one clock cycle.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PinsIn {
        pub m_axi_rdata: [u64; 2],
        pub xgmii_rxd: u64,
        pub s_axil_wdata: u32,
        pub s_axil_awaddr: u16,
        pub s_axil_araddr: u16,
        pub rst_n: bool,
        pub s_axil_awvalid: bool,
        pub s_axil_wstrb: u8,
        pub s_axil_wvalid: bool,
        pub s_axil_bready: bool,
        pub s_axil_arvalid: bool,
        pub s_axil_rready: bool,
        pub m_axi_awready: bool,
        pub m_axi_wready: bool,
        pub m_axi_bid: u8,
        pub m_axi_bresp: u8,
        pub m_axi_bvalid: bool,
        pub m_axi_arready: bool,
        pub m_axi_rid: u8,
        pub m_axi_rresp: u8,
        pub m_axi_rlast: bool,
        pub m_axi_rvalid: bool,
        pub xgmii_rxc: u8,
        pub link_up: bool,
        pub bus_master_en: bool,
        pub msix_enable: bool,
        pub msix_mask: bool,
    }

    /// Outputs after a clock edge; they hold until the next. A payload is defined while its valid is
    /// set.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct PinsOut {
        pub m_axi_wdata: [u64; 2],
        pub m_axi_awaddr: u64,
        pub m_axi_araddr: u64,
        pub xgmii_txd: u64,
        pub s_axil_rdata: u32,
        pub timer: u32,
        pub m_axi_wstrb: u16,
        pub s_axil_awready: bool,
        pub s_axil_wready: bool,
        pub s_axil_bresp: u8,
        pub s_axil_bvalid: bool,
        pub s_axil_arready: bool,
        pub s_axil_rresp: u8,
        pub s_axil_rvalid: bool,
        pub m_axi_awid: u8,
        pub m_axi_awlen: u8,
        pub m_axi_awsize: u8,
        pub m_axi_awburst: u8,
        pub m_axi_awvalid: bool,
        pub m_axi_wlast: bool,
        pub m_axi_wvalid: bool,
        pub m_axi_bready: bool,
        pub m_axi_arid: u8,
        pub m_axi_arlen: u8,
        pub m_axi_arsize: u8,
        pub m_axi_arburst: u8,
        pub m_axi_arvalid: bool,
        pub m_axi_rready: bool,
        pub xgmii_txc: u8,
        pub busy: bool,
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
    }

    unsafe extern "C++" {
        include!("model.h");

        /// The NIC under Verilator.
        type Model;

        /// A model before its first edge. Only a `traced` one can write waves; it is slower.
        fn new_model(straps: &Straps, traced: bool) -> UniquePtr<Model>;

        /// One clock cycle that begins at `now`. `Err` when the RTL stops: its message and scope.
        fn step(self: Pin<&mut Model>, now: u64, pins: &PinsIn, out: &mut PinsOut) -> Result<()>;

        /// At most `cycles` cycles with inputs that stay, until the device wants something of the host
        /// or, with `until_idle`, is not busy; how many ran, at least one.
        fn run(
            self: Pin<&mut Model>,
            now: u64,
            pins: &PinsIn,
            out: &mut PinsOut,
            cycles: u32,
            until_idle: bool,
        ) -> Result<u32>;

        /// When the newest edge was: after an `Err`, the one that failed.
        fn time(self: &Model) -> u64;

        /// The bare loop over recorded stimulus; a hash of all outputs, or 0 without `hash`.
        fn replay(self: Pin<&mut Model>, pins: &[PinsIn], hash: bool) -> Result<u64>;

        /// Starts an FST file.
        fn open_waves(self: Pin<&mut Model>, path: &str) -> Result<()>;

        /// Completes the FST file, if one is open.
        fn close_waves(self: Pin<&mut Model>) -> Result<()>;

        /// Adds outputs to a hash as [`Model::replay`] does, starting with 0.
        fn hash_pins(hash: u64, out: &PinsOut) -> u64;
    }
}

impl PinsIn {
    /// Reset asserted, wire idle, nothing valid, nothing ready.
    #[must_use]
    pub const fn reset() -> Self {
        Self {
            m_axi_rdata: [0; 2],
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
