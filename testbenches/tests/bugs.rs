//! Seeded bugs: what is wrong with an output of a block, its testbench must find. What of a block nobody
//! looks at shows here.

use testbenches::{
    Bug,
    BugKind::{self, Inverted, Late, Stuck},
    Error, Options, TESTBENCHES,
    block::{
        axil_slave, common_cfg, ctrl_vq, deadline, device_cfg, dma_port, dma_read, dma_read_64,
        dma_watch, dma_write, dma_write_64, fifo, fifo_2, mac_control_rx, mac_pause_tx, mac_rx,
        mac_tx, mac_xoff, msix, packet_fifo, packet_fifo_keep, rr_arbiter, rx_coalesce, rx_csum,
        rx_dma, rx_offload, rx_purge, stats, tx_arb, tx_csum, tx_dma, tx_seg, virtqueue_rx,
        virtqueue_tx, vq_moderation,
    },
};

/// Testbench, block, output, and what is wrong with it.
type Case = (&'static str, &'static str, usize, BugKind);

/// A `busy_o` that is 0 while the block has something to do stops its clock.
const BUSY: [Case; 22] = [
    ("tx_dma", tx_dma::NAME, tx_dma::BUSY_O, Stuck(0)),
    ("mac_rx", mac_rx::NAME, mac_rx::BUSY_O, Stuck(0)),
    ("mac_tx", mac_tx::NAME, mac_tx::BUSY_O, Stuck(0)),
    (
        "mac_control_rx",
        mac_control_rx::NAME,
        mac_control_rx::BUSY_O,
        Stuck(0),
    ),
    (
        "mac_control_rx",
        mac_control_rx::NAME,
        mac_control_rx::BUSY_O,
        Stuck(1),
    ),
    (
        "mac_pause_tx",
        mac_pause_tx::NAME,
        mac_pause_tx::BUSY_O,
        Stuck(0),
    ),
    ("mac_xoff", mac_xoff::NAME, mac_xoff::BUSY_O, Stuck(0)),
    ("mac_xoff", mac_xoff::NAME, mac_xoff::BUSY_O, Stuck(1)),
    (
        "packet_fifo",
        packet_fifo::NAME,
        packet_fifo::BUSY_O,
        Stuck(0),
    ),
    (
        "packet_fifo",
        packet_fifo_keep::NAME,
        packet_fifo::BUSY_O,
        Stuck(0),
    ),
    ("rx_csum", rx_csum::NAME, rx_csum::BUSY_O, Stuck(0)),
    ("rx_csum", rx_csum::NAME, rx_csum::BUSY_O, Stuck(1)),
    ("tx_csum", tx_csum::NAME, tx_csum::BUSY_O, Stuck(0)),
    ("tx_seg", tx_seg::NAME, tx_seg::BUSY_O, Stuck(0)),
    ("rx_offload", rx_offload::NAME, rx_offload::BUSY_O, Stuck(0)),
    (
        "rx_coalesce",
        rx_coalesce::NAME,
        rx_coalesce::BUSY_O,
        Stuck(0),
    ),
    ("ctrl_vq", ctrl_vq::NAME, ctrl_vq::BUSY_O, Stuck(0)),
    ("axil_slave", axil_slave::NAME, axil_slave::BUSY_O, Stuck(0)),
    ("device_cfg", device_cfg::NAME, device_cfg::BUSY_O, Stuck(0)),
    ("rx_purge", rx_purge::NAME, rx_purge::BUSY_O, Stuck(0)),
    ("deadline", deadline::NAME, deadline::BUSY_O, Stuck(0)),
    (
        "vq_moderation",
        vq_moderation::NAME,
        vq_moderation::BUSY_O,
        Stuck(0),
    ),
];

/// PAUSE: what it says, and when. (Thresholds: `mac_xoff`'s own, which is built without a cable.)
const PAUSE: [Case; 11] = [
    ("mac_xoff", mac_xoff::NAME, mac_xoff::XOFF_O, Stuck(0)),
    ("mac_xoff", mac_xoff::NAME, mac_xoff::XOFF_O, Stuck(1)),
    ("mac_xoff", mac_xoff::NAME, mac_xoff::XOFF_O, Inverted(1)),
    (
        "mac_control_rx",
        mac_control_rx::NAME,
        mac_control_rx::PAUSE_O,
        Stuck(0),
    ),
    (
        "mac_control_rx",
        mac_control_rx::NAME,
        mac_control_rx::QUANTA_O,
        Inverted(0x100),
    ),
    (
        "mac_control_rx",
        mac_control_rx::NAME,
        mac_control_rx::OTHER_O,
        Late(1),
    ),
    (
        "mac_control_rx",
        mac_control_rx::NAME,
        mac_control_rx::DROP_O,
        Stuck(0),
    ),
    (
        "mac_pause_tx",
        mac_pause_tx::NAME,
        mac_pause_tx::SENT_O,
        Stuck(0),
    ),
    (
        "mac_pause_tx",
        mac_pause_tx::NAME,
        mac_pause_tx::SENT_O,
        Late(1),
    ),
    (
        "mac_pause_tx",
        mac_pause_tx::NAME,
        mac_pause_tx::M_AXIS_TVALID_O,
        Late(2),
    ),
    (
        "mac_pause_tx",
        mac_pause_tx::NAME,
        mac_pause_tx::S_AXIS_TREADY_O,
        Stuck(1),
    ),
];

/// What a block tells the others.
const TOLD: [Case; 37] = [
    ("tx_dma", tx_dma::NAME, tx_dma::STAT_BAD_O, Stuck(0)),
    ("tx_dma", tx_dma::NAME, tx_dma::M_AXIS_TUSER_O, Stuck(0)),
    ("tx_dma", tx_dma::NAME, tx_dma::IDLE_O, Stuck(1)),
    ("ctrl_vq", ctrl_vq::NAME, ctrl_vq::IDLE_O, Stuck(1)),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::QUEUE_RESET_DONE_O,
        Late(1),
    ),
    (
        "axil_slave",
        axil_slave::NAME,
        axil_slave::REQ_O,
        Inverted(1 << 53),
    ),
    (
        "axil_slave",
        axil_slave::NAME,
        axil_slave::RDATA_O,
        Inverted(1),
    ),
    (
        "axil_slave",
        axil_slave::NAME,
        axil_slave::BVALID_O,
        Stuck(1),
    ),
    (
        "axil_slave",
        axil_slave::NAME,
        axil_slave::ARREADY_O,
        Late(1),
    ),
    (
        "device_cfg",
        device_cfg::NAME,
        device_cfg::CHANGE_O,
        Stuck(0),
    ),
    (
        "device_cfg",
        device_cfg::NAME,
        device_cfg::NOTIFY_O,
        Stuck(1),
    ),
    ("rx_purge", rx_purge::NAME, rx_purge::HOLD_O, Stuck(0)),
    ("rx_purge", rx_purge::NAME, rx_purge::OFF_O, Late(1)),
    ("rx_purge", rx_purge::NAME, rx_purge::DISABLED_O, Stuck(0)),
    ("rx_purge", rx_purge::NAME, rx_purge::FLUSH_O, Stuck(0)),
    (
        "rx_coalesce",
        rx_coalesce::NAME,
        rx_coalesce::SET_O,
        Stuck(0),
    ),
    (
        "rx_coalesce",
        rx_coalesce::NAME,
        rx_coalesce::DEADLINE_O,
        Inverted(4),
    ),
    (
        "rr_arbiter",
        rr_arbiter::NAME,
        rr_arbiter::GRANT_O,
        Inverted(1),
    ),
    (
        "rr_arbiter",
        rr_arbiter::NAME,
        rr_arbiter::GRANT_O,
        Stuck(0b10),
    ),
    ("rr_arbiter", rr_arbiter::NAME, rr_arbiter::GRANT_O, Late(1)),
    (
        "rr_arbiter",
        rr_arbiter::NAME,
        rr_arbiter::INDEX_O,
        Stuck(0),
    ),
    ("tx_arb", tx_arb::NAME, tx_arb::M_AXIS_TVALID_O, Late(1)),
    ("tx_arb", tx_arb::NAME, tx_arb::M_AXIS_TLAST_O, Stuck(0)),
    ("tx_arb", tx_arb::NAME, tx_arb::M_AXIS_TUSER_O, Stuck(0)),
    ("tx_arb", tx_arb::NAME, tx_arb::M_AXIS_TDATA_O, Inverted(1)),
    ("tx_arb", tx_arb::NAME, tx_arb::M_AXIS_TKEEP_O, Stuck(0xff)),
    ("tx_arb", tx_arb::NAME, tx_arb::S_AXIS_TREADY_O, Stuck(0xf)),
    ("deadline", deadline::NAME, deadline::DUE_O, Late(12)),
    ("deadline", deadline::NAME, deadline::TIMER_O, Inverted(1)),
    ("dma_watch", dma_watch::NAME, dma_watch::LOST_O, Stuck(0)),
    ("dma_watch", dma_watch::NAME, dma_watch::LOST_O, Inverted(1)),
    (
        "vq_moderation",
        vq_moderation::NAME,
        vq_moderation::HOLD_O,
        Stuck(0),
    ),
    (
        "vq_moderation",
        vq_moderation::NAME,
        vq_moderation::HOLD_O,
        Stuck(1),
    ),
    ("rx_dma", rx_dma::NAME, rx_dma::STAT_DISABLED_O, Stuck(0)),
    ("rx_dma", rx_dma::NAME, rx_dma::IDLE_O, Stuck(1)),
    (
        "virtqueue",
        virtqueue_rx::NAME,
        virtqueue_rx::IDLE_O,
        Stuck(0),
    ),
    (
        "virtqueue",
        virtqueue_tx::NAME,
        virtqueue_tx::ERROR_O,
        Stuck(0),
    ),
];

/// What a driver is shown of BAR0, and what its writes set.
const BAR0: [Case; 22] = [
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::RDATA_O,
        Inverted(1 << 16),
    ),
    ("common_cfg", common_cfg::NAME, common_cfg::RDATA_O, Late(1)),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::CONFIG_IRQ_O,
        Stuck(0),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::CONFIG_IRQ_O,
        Late(1),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::RESET_DONE_O,
        Stuck(0),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::RESET_DONE_O,
        Stuck(1),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::QUEUE_O + 3,
        Late(1),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::QUEUE_O + 16,
        Inverted(8),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::QUEUE_VECTOR_O + 4,
        Stuck(0xffff),
    ),
    (
        "common_cfg",
        common_cfg::NAME,
        common_cfg::PAIRS_O,
        Stuck(2),
    ),
    ("common_cfg", common_cfg::NAME, common_cfg::BUSY_O, Stuck(0)),
    ("common_cfg", common_cfg::NAME, common_cfg::BUSY_O, Stuck(1)),
    ("msix", msix::NAME, msix::RDATA_O, Late(1)),
    ("msix", msix::NAME, msix::WRITE_VALID_O, Stuck(0)),
    ("msix", msix::NAME, msix::WRITE_VALID_O, Late(1)),
    ("msix", msix::NAME, msix::WRITE_O, Inverted(8)),
    ("msix", msix::NAME, msix::WRITE_O + 2, Stuck(0)),
    ("msix", msix::NAME, msix::IDLE_O, Stuck(1)),
    ("msix", msix::NAME, msix::BUSY_O, Stuck(0)),
    ("stats", stats::NAME, stats::RDATA_O, Late(1)),
    ("stats", stats::NAME, stats::RDATA_O, Inverted(1 << 31)),
    ("stats", stats::NAME, stats::MAC_CTRL_O, Stuck(2)),
];

/// The AXI4 master: what the host sees of it, and what the clients are told.
const AXI: [Case; 20] = [
    ("dma_read", dma_read::NAME, dma_read::AR_READY_O, Late(1)),
    (
        "dma_read",
        dma_read::NAME,
        dma_read::M_AXI_ARVALID_O,
        Stuck(1),
    ),
    (
        "dma_read",
        dma_read_64::NAME,
        dma_read_64::M_AXI_ARID_O,
        Inverted(16),
    ),
    (
        "dma_read",
        dma_read_64::NAME,
        dma_read_64::M_AXI_ARSIZE_O,
        Stuck(4),
    ),
    ("dma_read", dma_read::NAME, dma_read::BUSY_O, Stuck(0)),
    (
        "dma_write",
        dma_write::NAME,
        dma_write::WORD_READY_O,
        Inverted(2),
    ),
    (
        "dma_write",
        dma_write::NAME,
        dma_write::M_AXI_WLAST_O,
        Stuck(1),
    ),
    (
        "dma_write",
        dma_write::NAME,
        dma_write::M_AXI_WSTRB_O,
        Stuck(u32::MAX as u64),
    ),
    (
        "dma_write",
        dma_write::NAME,
        dma_write::M_AXI_WDATA_O + 3,
        Inverted(1 << 63),
    ),
    (
        "dma_write",
        dma_write_64::NAME,
        dma_write_64::M_AXI_AWADDR_O,
        Inverted(0x800),
    ),
    (
        "dma_write",
        dma_write_64::NAME,
        dma_write_64::M_AXI_WVALID_O,
        Late(1),
    ),
    ("dma_write", dma_write::NAME, dma_write::BUSY_O, Stuck(0)),
    (
        "dma_port",
        dma_port::NAME,
        dma_port::R_VALID_O,
        Inverted(1 << 5),
    ),
    ("dma_port", dma_port::NAME, dma_port::R_ERROR_O, Stuck(0)),
    ("dma_port", dma_port::NAME, dma_port::WORD_DONE_O, Late(1)),
    (
        "dma_port",
        dma_port::NAME,
        dma_port::BURST_DONE_O,
        Inverted(3),
    ),
    ("dma_port", dma_port::NAME, dma_port::LOST_O, Stuck(0)),
    (
        "dma_port",
        dma_port::NAME,
        dma_port::LOST_O,
        Inverted(1 << 5),
    ),
    ("dma_port", dma_port::NAME, dma_port::M_AXI_ARID_O, Stuck(0)),
    (
        "dma_port",
        dma_port::NAME,
        dma_port::M_AXI_AWLEN_O,
        Inverted(1),
    ),
];

/// Words that are held, and who says so.
const HELD: [Case; 6] = [
    ("fifo", fifo::NAME, fifo::READY_O, Stuck(1)),
    ("fifo", fifo::NAME, fifo::VALID_O, Late(1)),
    ("fifo", fifo::NAME, fifo::DATA_O, Inverted(1)),
    ("fifo", fifo::NAME, fifo::COUNT_O, Stuck(4)),
    ("fifo", fifo_2::NAME, fifo_2::DATA_O + 1, Stuck(0)),
    ("fifo", fifo_2::NAME, fifo_2::READY_O, Late(1)),
];

fn found(cases: &[Case]) {
    let mut missed = Vec::new();
    for &(name, block, output, kind) in cases {
        let bench = TESTBENCHES.iter().find(|bench| bench.name == name);
        let bench = bench.unwrap_or_else(|| panic!("no testbench {name}"));
        let bug = Bug {
            block,
            output,
            kind,
        };
        let options = Options {
            bug: Some(bug),
            ..Options::default()
        };
        match (bench.run)(&options) {
            Err(Error::Mismatch { message, .. }) => {
                let text: String = message.chars().take(80).collect();
                println!("{name}: {block} {output} {kind:?}: {text}");
            }
            Err(error) => println!("{name}: {block} {output} {kind:?}: {error}"),
            Ok(_) => missed.push((block, output, kind)),
        }
    }
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

#[test]
fn a_clock_that_stops_too_early_is_noticed() {
    found(&BUSY);
}

#[test]
fn a_wrong_pause_is_noticed() {
    found(&PAUSE);
}

#[test]
fn wrong_outputs_are_noticed() {
    found(&TOLD);
}

#[test]
fn a_wrong_register_is_noticed() {
    found(&BAR0);
}

#[test]
fn a_wrong_transaction_is_noticed() {
    found(&AXI);
}

#[test]
fn a_wrong_fifo_is_noticed() {
    found(&HELD);
}
