//! Blocks of rtl/ctrl.

use verilate::blocks::Block;

/// Their entries.
pub(crate) fn table() -> Vec<Block> {
    vec![
        Block::new("axil_slave")
            .input("awake_i", 1)
            .input("awaddr_i", 16)
            .input("awvalid_i", 1)
            .output("awready_o", 1)
            .input("wdata_i", 32)
            .input("wstrb_i", 4)
            .input("wvalid_i", 1)
            .output("wready_o", 1)
            .output("bresp_o", 2)
            .output("bvalid_o", 1)
            .input("bready_i", 1)
            .input("araddr_i", 16)
            .input("arvalid_i", 1)
            .output("arready_o", 1)
            .output("rdata_o", 32)
            .output("rresp_o", 2)
            .output("rvalid_o", 1)
            .input("rready_i", 1)
            .input("messages_idle_i", 1)
            .output("req_o", 54) // reg_req_t
            .input("rdata_i", 32)
            .output("busy_o", 1),
        Block::new("common_cfg")
            .parameter("NumQueues", "5")
            .parameter("MaxQueueSize", "64")
            .input("req_i", 54) // reg_req_t
            .input("features_i", 64)
            .input("queue_pairs_i", 4)
            .input("vectors_i", 6)
            .input("config_change_i", 1)
            .input("config_notify_i", 1)
            .input("queue_error_i", 5)
            .input("device_error_i", 1)
            .input("queue_idle_i", 5)
            .input("device_idle_i", 1)
            .input("lost_i", 6)
            .output("rdata_o", 32)
            .output("config_vector_o", 16)
            .output("driver_features_o", 64)
            .output("pairs_o", 4)
            .output("config_irq_o", 1)
            .output("reset_done_o", 1)
            .output("queue_reset_done_o", 5)
            .output("busy_o", 1)
            .output_array("queue_o", 209, 5) // vq_cfg_t
            .output_array("queue_vector_o", 16, 5),
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
        Block::new("device_cfg")
            .input("req_i", 54) // reg_req_t
            .input("mac_i", 48)
            .input("mtu_i", 16)
            .input("queue_pairs_i", 4)
            .input("rss_i", 1)
            .input("hash_i", 1)
            .input("link_i", 1)
            .input("isr_clear_i", 1)
            .input("queue_irq_i", 1)
            .input("config_irq_i", 1)
            .output("rdata_o", 32)
            .output("change_o", 1)
            .output("notify_o", 1)
            .output("busy_o", 1),
        Block::new("msix")
            .parameter("NumVectors", "5")
            .input("enable_i", 1)
            .input("mask_i", 1)
            .input("master_i", 1)
            .input("clear_i", 5)
            .input("vectors_i", 6)
            .input("req_i", 54) // reg_req_t
            .input("irq_i", 5)
            .input("write_ready_i", 1)
            .input("write_done_i", 1)
            .output("rdata_o", 32)
            .output("write_o", 131) // word_write_t
            .output("write_valid_o", 1)
            .output("idle_o", 1)
            .output("busy_o", 1),
        Block::new("stats")
            .input("req_i", 54) // reg_req_t
            .input("queue_pairs_i", 4)
            .input("count_i", 29)
            .input("rx_bytes_i", 14)
            .input("tx_bytes_i", 14)
            .input("rx_buffers_i", 4)
            .input("tx_buffers_i", 4)
            .input("tx_malformed_i", 4)
            .output("rdata_o", 32)
            .output("mac_ctrl_o", 3),
    ]
}
