//! Compiles the blocks under test.
//!
//! To add a block, add one entry to `table`: its module's name (the RTL file of that name is found
//! by itself, and so is what it instantiates) and its ports without `clk_i` and `rst_ni`. A testbench
//! then opens it by name and uses the generated constants:
//!
//! ```ignore
//! use testbenches::block::{Block, mac_rx};
//! let mut dut = Block::open(mac_rx::NAME)?; // reset has been applied
//! let (mut i, mut o) = (mac_rx::inputs(), mac_rx::outputs());
//! i[mac_rx::XGMII_RXC_I] = 0xff;
//! dut.step(&i, &mut o)?; // o = what the rising edge saw together with i
//! ```
//!
//! Short turn-around while working on one block: `WIREPATH_BLOCKS=mac_rx cargo test -p testbenches
//! --no-default-features --test mac` builds this model only, and not the whole NIC.

use std::path::Path;
use verilate::{
    Error, Toolchain,
    blocks::{self, Block},
};

fn table() -> Vec<Block> {
    vec![
        Block::new("mac_crc32")
            .input("init_i", 1)
            .input("word_i", 64)
            .input("word_valid_i", 1)
            .input("tail_valid_i", 1)
            .input("tail_bytes_i", 4)
            .output("crc_o", 32),
        Block::new("mac_rx")
            .input("xgmii_rxd_i", 64)
            .input("xgmii_rxc_i", 8)
            .input("max_frame_i", 16)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .output("m_axis_tuser_o", 1)
            .output("busy_o", 1)
            .output("stat_o", 19), // mac_rx_stat_t
        Block::new("mac_tx")
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .output("s_axis_tready_o", 1)
            .output("xgmii_txd_o", 64)
            .output("xgmii_txc_o", 8)
            .output("busy_o", 1)
            .output("stat_o", 16), // mac_tx_stat_t
        Block::new("axis_checker")
            .parameter("MaxStall", "40")
            .input("tdata_i", 64)
            .input("tkeep_i", 8)
            .input("tuser_i", 1)
            .input("tvalid_i", 1)
            .input("tlast_i", 1)
            .input("tready_i", 1),
        Block::new("fifo_checker")
            .parameter("Width", "16")
            .parameter("Depth", "4")
            .input("flush_i", 1)
            .input("in_i", 16)
            .input("in_valid_i", 1)
            .input("in_ready_i", 1)
            .input("out_i", 16)
            .input("out_valid_i", 1)
            .input("out_ready_i", 1),
        Block::new("axil_checker")
            .parameter("MaxWait", "60")
            .input("awaddr_i", 16)
            .input("awvalid_i", 1)
            .input("awready_i", 1)
            .input("wdata_i", 32)
            .input("wstrb_i", 4)
            .input("wvalid_i", 1)
            .input("wready_i", 1)
            .input("bresp_i", 2)
            .input("bvalid_i", 1)
            .input("bready_i", 1)
            .input("araddr_i", 16)
            .input("arvalid_i", 1)
            .input("arready_i", 1)
            .input("rdata_i", 32)
            .input("rresp_i", 2)
            .input("rvalid_i", 1)
            .input("rready_i", 1),
        Block::new("axi4_checker")
            .parameter("MaxReady", "40")
            .input("awid_i", 8)
            .input("awaddr_i", 64)
            .input("awlen_i", 8)
            .input("awsize_i", 3)
            .input("awburst_i", 2)
            .input("awvalid_i", 1)
            .input("awready_i", 1)
            .input("wdata_i", 128)
            .input("wstrb_i", 16)
            .input("wlast_i", 1)
            .input("wvalid_i", 1)
            .input("wready_i", 1)
            .input("bid_i", 8)
            .input("bresp_i", 2)
            .input("bvalid_i", 1)
            .input("bready_i", 1)
            .input("arid_i", 8)
            .input("araddr_i", 64)
            .input("arlen_i", 8)
            .input("arsize_i", 3)
            .input("arburst_i", 2)
            .input("arvalid_i", 1)
            .input("arready_i", 1)
            .input("rid_i", 8)
            .input("rdata_i", 128)
            .input("rresp_i", 2)
            .input("rlast_i", 1)
            .input("rvalid_i", 1)
            .input("rready_i", 1),
        Block::new("ctrl_vq")
            .input("enable_i", 1)
            .input("clear_i", 1)
            .input("features_i", 64)
            .input("mac_i", 48)
            .input("queue_pairs_i", 4)
            .input("desc_i", 115) // vq_desc_t
            .input("desc_valid_i", 1)
            .output("desc_ready_o", 1)
            .output("used_o", 65) // vq_used_t
            .output("used_valid_o", 1)
            .input("used_ready_i", 1)
            .output("ar_addr_o", 64)
            .output("ar_valid_o", 1)
            .input("ar_ready_i", 1)
            .input("r_data_i", 128)
            .input("r_error_i", 1)
            .input("r_valid_i", 1)
            .output("write_o", 131) // word_write_t
            .output("write_valid_o", 1)
            .input("write_ready_i", 1)
            .input("write_done_i", 1)
            .input("write_error_i", 1)
            .output("cfg_o", 210) // ctrl_cfg_t
            .output("rss_key_o", 320)
            .output("tables_o", 95) // ctrl_write_t
            .output("stat_ok_o", 1)
            .output("stat_err_o", 1)
            .output("error_o", 1)
            .output("idle_o", 1)
            .output("busy_o", 1),
        Block::new("rr_arbiter")
            .parameter("Clients", "5")
            .input("valid_i", 5)
            .input("take_i", 1)
            .output("grant_o", 5)
            .output("index_o", 3),
        Block::new("tx_arb")
            .parameter("Streams", "4")
            .input_array("s_axis_tdata_i", 64, 4)
            .input_array("s_axis_tkeep_i", 8, 4)
            .input("s_axis_tvalid_i", 4)
            .input("s_axis_tlast_i", 4)
            .input("s_axis_tuser_i", 4)
            .output("s_axis_tready_o", 4)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .output("m_axis_tuser_o", 1)
            .input("m_axis_tready_i", 1),
        Block::new("deadline")
            .parameter("N", "4")
            .input("cycle_i", 48)
            .input("set_i", 4)
            .input("deadline_i", 4 * 48)
            .input("clear_i", 4)
            .output("due_o", 4)
            .output("timer_o", 32)
            .output("busy_o", 1),
        Block::new("mac_control_rx")
            .input("enable_i", 1)
            .input("station_i", 48)
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .input("s_axis_tuser_i", 1)
            .output("drop_o", 1)
            .output("pause_o", 1)
            .output("quanta_o", 16)
            .output("other_o", 1)
            .output("busy_o", 1),
        Block::new("mac_pause_tx")
            .input("cycle_i", 48)
            .input("station_i", 48)
            .input("pause_i", 1)
            .input("quanta_i", 16)
            .input("xoff_i", 1)
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .output("s_axis_tready_o", 1)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .input("m_axis_tready_i", 1)
            .output("sent_o", 1)
            .output("busy_o", 1),
        mac_xoff("mac_xoff"),
        // A seeded bug: made for no cable at all.
        mac_xoff("mac_xoff_short").parameter("CableMetres", "0"),
        packet_fifo("packet_fifo", false),
        packet_fifo("packet_fifo_keep", true),
        Block::new("rx_csum")
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .input("s_axis_tuser_i", 1)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .output("m_axis_tuser_o", 1)
            .output("csum_valid_o", 1)
            .output("l3_valid_o", 1)
            .output("l3_first_o", 1)
            .output("l3_ipv6_o", 1)
            .output("l3_data_o", 64)
            .output("l3_count_o", 4)
            .output("l3_end_o", 1)
            .output("busy_o", 1),
        Block::new("rx_offload")
            .input("filter_rx_i", 1)
            .input("filter_vlan_i", 1)
            .input("flow_i", 1)
            .input("tso4_i", 1)
            .input("tso6_i", 1)
            .input("clear_i", 1)
            .input("cfg_i", 210) // ctrl_cfg_t
            .input("rss_key_i", 320)
            .input("write_i", 95) // ctrl_write_t
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .input("s_axis_tuser_i", 1)
            .input("no_room_i", 1)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .output("m_axis_tuser_o", 1)
            .output("meta_o", 64) // rx_meta_t
            .output("filtered_o", 1)
            .output("busy_o", 1),
        Block::new("rx_coalesce")
            .input("enable_i", 1)
            .input("guest_csum_i", 1)
            .input("hurry_i", 1)
            .input("meta_valid_i", 1)
            .input("meta_len_i", 14)
            .input("meta_i", 64) // rx_meta_t
            .input("data_valid_i", 1)
            .input("data_i", 64)
            .input("frame_ready_i", 1)
            .input("data_ready_i", 1)
            .input("due_i", 1)
            .input("cycle_i", 48)
            .output("meta_ready_o", 1)
            .output("data_ready_o", 1)
            .output("frame_o", 148) // rx_frame_t
            .output("frame_valid_o", 1)
            .output("data_valid_o", 1)
            .output("data_o", 64)
            .output("coalesced_o", 1)
            .output("lro_o", 1)
            .output("set_o", 1)
            .output("deadline_o", 48)
            .output("clear_o", 1)
            .output("busy_o", 1),
        Block::new("tx_csum")
            .input("flush_i", 1)
            .input("csum_en_i", 1)
            .input("max_frame_i", 16)
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .input("s_axis_tuser_i", 1)
            .output("s_axis_tready_o", 1)
            .output("free_words_o", 12)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .input("m_axis_tready_i", 1)
            .output("malformed_o", 1)
            .output("csum_inserted_o", 1)
            .output("busy_o", 1),
        Block::new("tx_seg")
            .input("flush_i", 1)
            .input("tso4_i", 1)
            .input("tso6_i", 1)
            .input("ecn_i", 1)
            .input("uso_i", 1)
            .input("hash_hdr_i", 1)
            .input("max_frame_i", 16)
            .input("s_axis_tdata_i", 64)
            .input("s_axis_tkeep_i", 8)
            .input("s_axis_tvalid_i", 1)
            .input("s_axis_tlast_i", 1)
            .input("s_axis_tuser_i", 1)
            .output("s_axis_tready_o", 1)
            .output("m_axis_tdata_o", 64)
            .output("m_axis_tkeep_o", 8)
            .output("m_axis_tvalid_o", 1)
            .output("m_axis_tlast_o", 1)
            .output("m_axis_tuser_o", 1)
            .input("m_axis_tready_i", 1)
            .output("malformed_o", 1)
            .output("gso_o", 1)
            .output("segment_o", 1)
            .output("busy_o", 1),
        tx_dma("tx_dma", 128),
        tx_dma("tx_dma_64", 64),
        rx_dma("rx_dma", 1, 128),
        rx_dma("rx_dma_64", 4, 64),
        rx_dma("rx_dma_512", 3, 512),
        Block::new("vq_moderation")
            .input("enable_i", 1)
            .input("coal_i", 64) // coal_cfg_t
            .input("cycle_i", 48)
            .input("packets_i", 16)
            .input("look_i", 1)
            .output("hold_o", 1)
            .output("timer_set_o", 1)
            .output("timer_deadline_o", 48)
            .output("timer_clear_o", 1)
            .input("due_i", 1)
            .output("busy_o", 1),
        Block::new("dma_watch")
            .parameter("Clients", "4")
            .input("period_i", 1)
            .input("ar_valid_i", 1)
            .input("ar_ready_i", 1)
            .input("ar_client_i", 2)
            .input("aw_valid_i", 1)
            .input("aw_ready_i", 1)
            .input("aw_client_i", 2)
            .input("read_done_i", 4)
            .input("write_done_i", 4)
            .output("lost_o", 4)
            .output("wake_o", 1)
            .output("busy_o", 1),
        virtqueue("virtqueue_rx", true, 128),
        virtqueue("virtqueue_tx", false, 128),
        virtqueue("virtqueue_rx_256", true, 256),
        virtqueue("virtqueue_tx_64", false, 64),
    ]
}

fn mac_xoff(name: &str) -> Block {
    Block::new("mac_xoff")
        .named(name)
        .input("enable_i", 1)
        .input("max_frame_i", 16)
        .input("free_words_i", 13)
        .output("xoff_o", 1)
        .output("busy_o", 1)
}

/// A small `packet_fifo`, so that it is full often.
fn packet_fifo(name: &str, flush_keeps_open: bool) -> Block {
    Block::new("packet_fifo")
        .named(name)
        .parameter("Depth", "64")
        .parameter("MetaDepth", "8")
        .parameter("MetaWidth", "16")
        .parameter(
            "FlushKeepsOpen",
            if flush_keeps_open { "1'b1" } else { "1'b0" },
        )
        .input("flush_i", 1)
        .input("s_axis_tdata_i", 64)
        .input("s_axis_tkeep_i", 8)
        .input("s_axis_tvalid_i", 1)
        .input("s_axis_tlast_i", 1)
        .input("s_axis_tuser_i", 1)
        .input("s_meta_i", 16)
        .output("ready_o", 1)
        .output("free_words_o", 7)
        .output("free_metas_o", 4)
        .output("drop_o", 1)
        .output("meta_valid_o", 1)
        .output("meta_len_o", 14)
        .output("meta_data_o", 16)
        .input("meta_ready_i", 1)
        .output("data_valid_o", 1)
        .output("data_o", 64)
        .input("data_ready_i", 1)
        .output("busy_o", 1)
}

/// `tx_dma`; `r_data_i` is last, so that all widths have the other ports at the same places.
fn tx_dma(name: &str, width: u32) -> Block {
    Block::new("tx_dma")
        .named(name)
        .parameter("HostDataWidth", &width.to_string())
        .input("enable_i", 1)
        .input("share_i", 8)
        .input("desc_i", 115) // vq_desc_t
        .input("desc_valid_i", 1)
        .input("used_ready_i", 1)
        .input("ar_ready_i", 1)
        .input("r_error_i", 1)
        .input("r_valid_i", 1)
        .input("m_axis_tready_i", 1)
        .input("r_data_i", width)
        .output("reading_o", 1)
        .output("desc_ready_o", 1)
        .output("used_o", 65) // vq_used_t
        .output("used_valid_o", 1)
        .output("ar_addr_o", 64)
        .output("ar_len_o", 4)
        .output("ar_valid_o", 1)
        .output("m_axis_tdata_o", 64)
        .output("m_axis_tkeep_o", 8)
        .output("m_axis_tvalid_o", 1)
        .output("m_axis_tlast_o", 1)
        .output("m_axis_tuser_o", 1)
        .output("stat_bad_o", 1)
        .output("error_o", 1)
        .output("idle_o", 1)
        .output("busy_o", 1)
}

/// `rx_dma` with short rings and a short patience; the data port is last, so that all widths have the
/// other ports at the same places for the same number of queues.
fn rx_dma(name: &str, pairs: u32, width: u32) -> Block {
    Block::new("rx_dma")
        .named(name)
        .parameter("QueuePairs", &pairs.to_string())
        .parameter("HostDataWidth", &width.to_string())
        .parameter("MaxQueueSize", "64")
        .parameter("StarveCycles", "200")
        .input("enable_i", pairs)
        .input("mergeable_i", 1)
        .input("hash_report_i", 1)
        .input("frame_i", 148) // rx_frame_t
        .input("frame_valid_i", 1)
        .input("data_valid_i", 1)
        .input("data_i", 64)
        .input("desc_valid_i", pairs)
        .input("used_ready_i", pairs)
        .input("aw_ready_i", 1)
        .input("w_ready_i", 1)
        .input("b_valid_i", pairs)
        .input("b_error_i", 1)
        .input_array("size_i", 16, pairs)
        .input_array("desc_i", 115, pairs) // vq_desc_t
        .output("frame_ready_o", 1)
        .output("data_ready_o", 1)
        .output("desc_ready_o", pairs)
        .output("used_o", 65) // vq_used_t
        .output("used_valid_o", pairs)
        .output("aw_addr_o", 64)
        .output("aw_len_o", 4)
        .output("aw_pair_o", 3)
        .output("aw_valid_o", 1)
        .output("w_valid_o", 1)
        .output("stat_disabled_o", 1)
        .output("stat_truncated_o", 1)
        .output("stat_no_buffer_o", 1)
        .output("stat_csum_o", 1)
        .output("error_o", pairs)
        .output("idle_o", pairs)
        .output("busy_o", 1)
        .output("w_strb_o", width / 8)
        .output("w_data_o", width)
}

/// `virtqueue` as a receive (`write_dir`) or transmit queue; `r_data_i` is last, so that all widths
/// have the other ports at the same places.
fn virtqueue(name: &str, write_dir: bool, width: u32) -> Block {
    Block::new("virtqueue")
        .named(name)
        .parameter("Direction", if write_dir { "2'd1" } else { "2'd0" }) // vq_direction_e
        .parameter("HostDataWidth", &width.to_string())
        .input("cfg_i", 209) // vq_cfg_t
        .input("event_idx_i", 1)
        .input("in_order_i", 1)
        .input("indirect_i", 1)
        .input("kick_i", 1)
        .input("desc_ready_i", 1)
        .input("used_i", 65) // vq_used_t
        .input("used_valid_i", 1)
        .input("desc_ar_ready_i", 1)
        .input("desc_r_valid_i", 1)
        .input("event_ar_ready_i", 1)
        .input("event_r_valid_i", 1)
        .input("r_error_i", 1)
        .input("r_last_i", 1)
        .input("write_ready_i", 1)
        .input("write_done_i", 1)
        .input("write_error_i", 1)
        .input("coal_i", 64) // coal_cfg_t
        .input("cycle_i", 48)
        .input("due_i", 1)
        .input("r_data_i", width)
        .output("desc_o", 115) // vq_desc_t
        .output("desc_valid_o", 1)
        .output("used_ready_o", 1)
        .output("desc_ar_addr_o", 64)
        .output("desc_ar_len_o", 8)
        .output("desc_ar_valid_o", 1)
        .output("event_ar_addr_o", 64)
        .output("event_ar_valid_o", 1)
        .output("write_o", 131) // word_write_t
        .output("write_valid_o", 1)
        .output("timer_set_o", 1)
        .output("timer_deadline_o", 48)
        .output("timer_clear_o", 1)
        .output("irq_o", 1)
        .output("error_o", 1)
        .output("idle_o", 1)
        .output("busy_o", 1)
}

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/block.rs");
    let toolchain = Toolchain::find()?;
    blocks::compile(
        &toolchain,
        Path::new("../rtl"),
        &table(),
        cxx_build::bridge("src/block.rs"),
    )
}
