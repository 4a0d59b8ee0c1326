//! Blocks of rtl/mac.

use verilate::blocks::Block;

/// Their entries.
pub(crate) fn table() -> Vec<Block> {
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
