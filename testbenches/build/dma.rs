//! Blocks of rtl/dma.

use verilate::blocks::Block;

/// Their entries.
pub(crate) fn table() -> Vec<Block> {
    vec![
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
        dma_read("dma_read", 3, 128),
        dma_read("dma_read_64", 17, 64),
        dma_write("dma_write", 256),
        dma_write("dma_write_64", 64),
        dma_port(),
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

/// `dma_read`; addresses and lengths are last, so that any number of queues has the others at the same
/// places.
fn dma_read(name: &str, queues: u32, width: u32) -> Block {
    Block::new("dma_read")
        .named(name)
        .parameter("NumQueues", &queues.to_string())
        .parameter("HostDataWidth", &width.to_string())
        .input("ar_valid_i", 3 * queues)
        .input("m_axi_arready_i", 1)
        .input_array("ar_addr_i", 64, 3 * queues)
        .input_array("ar_len_i", 8, 3 * queues)
        .output("ar_ready_o", 3 * queues)
        .output("m_axi_arid_o", 8)
        .output("m_axi_araddr_o", 64)
        .output("m_axi_arlen_o", 8)
        .output("m_axi_arsize_o", 3)
        .output("m_axi_arvalid_o", 1)
        .output("busy_o", 1)
}

/// `dma_write` of three queues; strobes and data are last, so that all widths have the others at the
/// same places.
fn dma_write(name: &str, width: u32) -> Block {
    Block::new("dma_write")
        .named(name)
        .parameter("NumQueues", "3")
        .parameter("HostDataWidth", &width.to_string())
        .input("word_valid_i", 5)
        .input("aw_pair_i", 3)
        .input("aw_addr_i", 64)
        .input("aw_len_i", 4)
        .input("aw_valid_i", 1)
        .input("w_valid_i", 1)
        .input("m_axi_awready_i", 1)
        .input("m_axi_wready_i", 1)
        .input_array("word_i", 131, 5) // word_write_t
        .input("w_strb_i", width / 8)
        .input("w_data_i", width)
        .output("word_ready_o", 5)
        .output("aw_ready_o", 1)
        .output("w_ready_o", 1)
        .output("busy_o", 1)
        .output("m_axi_awvalid_o", 1)
        .output("m_axi_awid_o", 8)
        .output("m_axi_awaddr_o", 64)
        .output("m_axi_awlen_o", 8)
        .output("m_axi_awsize_o", 3)
        .output("m_axi_wvalid_o", 1)
        .output("m_axi_wlast_o", 1)
        .output("m_axi_wstrb_o", width / 8)
        .output("m_axi_wdata_o", width)
}

/// `dma_port` of two pairs, with a short patience.
fn dma_port() -> Block {
    Block::new("dma_port")
        .parameter("QueuePairs", "2")
        .parameter("WatchPeriod", "256")
        .input("cycle_i", 48)
        .input_array("ar_addr_i", 64, 15)
        .input_array("ar_len_i", 8, 15)
        .input("ar_valid_i", 15)
        .input_array("word_i", 131, 7) // word_write_t
        .input("word_valid_i", 7)
        .input("aw_pair_i", 3)
        .input("aw_addr_i", 64)
        .input("aw_len_i", 4)
        .input("aw_valid_i", 1)
        .input("w_data_i", 128)
        .input("w_strb_i", 16)
        .input("w_valid_i", 1)
        .input("m_axi_awready_i", 1)
        .input("m_axi_wready_i", 1)
        .input("m_axi_bid_i", 8)
        .input("m_axi_bresp_i", 2)
        .input("m_axi_bvalid_i", 1)
        .input("m_axi_arready_i", 1)
        .input("m_axi_rid_i", 8)
        .input("m_axi_rdata_i", 128)
        .input("m_axi_rresp_i", 2)
        .input("m_axi_rlast_i", 1)
        .input("m_axi_rvalid_i", 1)
        .output("ar_ready_o", 15)
        .output("r_valid_o", 15)
        .output("r_data_o", 128)
        .output("r_last_o", 1)
        .output("r_error_o", 1)
        .output("word_ready_o", 7)
        .output("word_done_o", 7)
        .output("aw_ready_o", 1)
        .output("w_ready_o", 1)
        .output("burst_done_o", 2)
        .output("b_error_o", 1)
        .output("m_axi_awid_o", 8)
        .output("m_axi_awaddr_o", 64)
        .output("m_axi_awlen_o", 8)
        .output("m_axi_awsize_o", 3)
        .output("m_axi_awburst_o", 2)
        .output("m_axi_awvalid_o", 1)
        .output("m_axi_wdata_o", 128)
        .output("m_axi_wstrb_o", 16)
        .output("m_axi_wlast_o", 1)
        .output("m_axi_wvalid_o", 1)
        .output("m_axi_bready_o", 1)
        .output("m_axi_arid_o", 8)
        .output("m_axi_araddr_o", 64)
        .output("m_axi_arlen_o", 8)
        .output("m_axi_arsize_o", 3)
        .output("m_axi_arburst_o", 2)
        .output("m_axi_arvalid_o", 1)
        .output("m_axi_rready_o", 1)
        .output("lost_o", 6)
        .output("busy_o", 1)
}
