//! Blocks of rtl/lib.

use verilate::blocks::Block;

/// Their entries.
pub(crate) fn table() -> Vec<Block> {
    vec![
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
        fifo("fifo", 16, 4),
        fifo("fifo_2", 70, 2),
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
        Block::new("rr_arbiter")
            .parameter("Clients", "5")
            .input("valid_i", 5)
            .input("take_i", 1)
            .output("grant_o", 5)
            .output("index_o", 3),
        Block::new("deadline")
            .parameter("N", "4")
            .input("cycle_i", 48)
            .input("set_i", 4)
            .input("deadline_i", 4 * 48)
            .input("clear_i", 4)
            .output("due_o", 4)
            .output("timer_o", 32)
            .output("busy_o", 1),
        packet_fifo("packet_fifo", false),
        packet_fifo("packet_fifo_keep", true),
    ]
}

fn fifo(name: &str, width: u32, depth: u32) -> Block {
    Block::new("fifo")
        .named(name)
        .parameter("Width", &width.to_string())
        .parameter("Depth", &depth.to_string())
        .input("flush_i", 1)
        .input("valid_i", 1)
        .input("ready_i", 1)
        .input("data_i", width)
        .output("ready_o", 1)
        .output("valid_o", 1)
        .output("count_o", depth.ilog2() + 1)
        .output("data_o", width)
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
