//! RTL testbenches, block by block and for the whole NIC
#![deny(missing_docs)]

pub mod arbiter;
pub mod axil_slave;
pub mod axis;
pub mod block;
mod bundle;
pub mod checkers;
pub mod coalesce;
pub mod common_cfg;
pub mod conformance;
pub mod coverage;
pub mod csum;
pub mod ctrl_vq;
pub mod deadline;
pub mod device_cfg;
pub mod dma;
pub mod dma_watch;
mod dut;
pub mod fifo;
pub mod flow;
pub mod frames;
pub mod inet;
pub mod mac;
pub mod msix;
#[cfg(feature = "nic")]
pub mod nic;
pub mod packet_fifo;
pub mod ring;
pub mod rx_dma;
pub mod rx_offload;
pub mod rx_purge;
pub mod seg;
pub mod stats;
mod testbench;
pub mod tx_dma;
pub mod virtqueue;
pub mod vq_moderation;

pub use testbench::{Bug, BugKind, Error, Options, Report, Testbench};

/// All testbenches.
pub const TESTBENCHES: &[Testbench] = &[
    mac::TESTBENCHES[0],
    mac::TESTBENCHES[1],
    mac::TESTBENCHES[2],
    mac::TESTBENCHES[3],
    mac::TESTBENCHES[4],
    mac::TESTBENCHES[5],
    mac::TESTBENCHES[6],
    csum::RX_CSUM,
    csum::TX_CSUM,
    seg::TX_SEG,
    seg::TX_SEG_RATE,
    rx_offload::RX_OFFLOAD,
    rx_purge::RX_PURGE,
    coalesce::RX_COALESCE,
    fifo::FIFO,
    packet_fifo::PACKET_FIFO,
    rx_dma::RX_DMA,
    tx_dma::TX_DMA,
    checkers::AXIS_CHECKER,
    checkers::AXIL_CHECKER,
    checkers::AXI4_CHECKER,
    checkers::FIFO_CHECKER,
    arbiter::RR_ARBITER,
    arbiter::TX_ARB,
    deadline::DEADLINE,
    axil_slave::AXIL_SLAVE,
    common_cfg::COMMON_CFG,
    device_cfg::DEVICE_CFG,
    msix::MSIX,
    stats::STATS,
    ctrl_vq::CTRL_VQ,
    dma::DMA_READ,
    dma::DMA_WRITE,
    dma::DMA_PORT,
    dma_watch::DMA_WATCH,
    virtqueue::VIRTQUEUE,
    vq_moderation::VQ_MODERATION,
    #[cfg(feature = "nic")]
    nic::NIC_CONTROL,
    #[cfg(feature = "nic")]
    nic::NIC_TRAFFIC,
    #[cfg(feature = "nic")]
    nic::NIC_RESET,
    #[cfg(feature = "nic")]
    nic::NIC_SWEEP,
    #[cfg(feature = "nic")]
    nic::NIC_STALE,
    #[cfg(feature = "nic")]
    nic::NIC_ERRORS,
    #[cfg(feature = "nic")]
    nic::NIC_SKIP,
    #[cfg(feature = "nic")]
    nic::NIC_RANDOM,
    #[cfg(feature = "nic")]
    nic::NIC_RATE,
    #[cfg(feature = "nic")]
    nic::NIC_SLOW_HOST,
    #[cfg(feature = "nic")]
    nic::NIC_TSO,
];

// Its build brings Verilator's runtime.
use hwmodel as _;
