// The transmit way of a frame: DMA out of buffers → store with checksum insertion → MAC → XGMII.
//
// All of it sleeps behind one clock gate while it has nothing to do.
module tx_path
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     enable_i,      // transmit queue enabled, device running
  input  logic                     csum_en_i,     // VIRTIO_NET_F_CSUM negotiated
  input  logic [15:0]              max_frame_i,   // bytes without FCS

  // Virtqueue
  input  vq_desc_t                 desc_i,
  input  logic                     desc_valid_i,
  output logic                     desc_ready_o,
  output vq_used_t                 used_o,
  output logic                     used_valid_o,
  input  logic                     used_ready_i,

  // Read bursts, see tx_dma
  output logic [63:0]              ar_addr_o,
  output logic [3:0]               ar_len_o,
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_valid_i,

  output logic [63:0]              xgmii_txd_o,
  output logic [7:0]               xgmii_txc_o,

  output mac_tx_stat_t             mac_stat_o,    // events
  output logic                     malformed_o,
  output logic                     csum_o,
  output logic                     error_o,
  output logic                     idle_o,        // nothing outstanding on AXI
  output logic                     busy_o
);

  logic clk, dma_busy, csum_busy, mac_busy;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy_o || r_valid_i),
    .clk_o(clk)
  );
  assign busy_o = dma_busy || csum_busy || mac_busy || mac_stat_o.sent ||
                  mac_stat_o.underrun;

  // ---- frame ------------------------------------------------------------------------------------------
  logic [63:0] dma_tx_data, mac_tx_data;
  logic [7:0]  dma_tx_keep, mac_tx_keep;
  logic dma_tx_valid, dma_tx_last, dma_tx_ready, mac_tx_valid, mac_tx_last, mac_tx_ready;
  logic flush, empty_chain, bad_frame;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [11:0] free_words;  // tx_dma reserves room in its own FIFO
  /* verilator lint_on UNUSEDSIGNAL */

  tx_dma #(
    .HostDataWidth(HostDataWidth)
  ) u_tx_dma (
    .clk_i(clk),
    .rst_ni,
    .enable_i       (enable_i),
    .desc_i         (desc_i),
    .desc_valid_i   (desc_valid_i),
    .desc_ready_o   (desc_ready_o),
    .used_o         (used_o),
    .used_valid_o   (used_valid_o),
    .used_ready_i   (used_ready_i),
    .ar_addr_o      (ar_addr_o),
    .ar_len_o       (ar_len_o),
    .ar_valid_o     (ar_valid_o),
    .ar_ready_i     (ar_ready_i),
    .r_data_i       (r_data_i),
    .r_error_i      (r_error_i),
    .r_valid_i      (r_valid_i),
    .m_axis_tdata_o (dma_tx_data),
    .m_axis_tkeep_o (dma_tx_keep),
    .m_axis_tvalid_o(dma_tx_valid),
    .m_axis_tlast_o (dma_tx_last),
    .m_axis_tready_i(dma_tx_ready),
    .flush_o        (flush),
    .stat_empty_o   (empty_chain),
    .error_o        (error_o),
    .idle_o         (idle_o),
    .busy_o         (dma_busy)
  );

  tx_csum u_tx_csum (
    .clk_i(clk),
    .rst_ni,
    .flush_i        (flush),
    .csum_en_i      (csum_en_i),
    .max_frame_i    (max_frame_i),
    .s_axis_tdata_i (dma_tx_data),
    .s_axis_tkeep_i (dma_tx_keep),
    .s_axis_tvalid_i(dma_tx_valid),
    .s_axis_tlast_i (dma_tx_last),
    .s_axis_tuser_i (1'b0),
    .s_axis_tready_o(dma_tx_ready),
    .free_words_o   (free_words),
    .m_axis_tdata_o (mac_tx_data),
    .m_axis_tkeep_o (mac_tx_keep),
    .m_axis_tvalid_o(mac_tx_valid),
    .m_axis_tlast_o (mac_tx_last),
    .m_axis_tready_i(mac_tx_ready),
    .malformed_o    (bad_frame),
    .csum_inserted_o(csum_o),
    .busy_o         (csum_busy)
  );

  mac_tx u_mac_tx (
    .clk_i(clk),
    .rst_ni,
    .s_axis_tdata_i (mac_tx_data),
    .s_axis_tkeep_i (mac_tx_keep),
    .s_axis_tvalid_i(mac_tx_valid),
    .s_axis_tlast_i (mac_tx_last),
    .s_axis_tready_o(mac_tx_ready),
    .xgmii_txd_o,
    .xgmii_txc_o,
    .busy_o         (mac_busy),
    .stat_o         (mac_stat_o)
  );

  assign malformed_o = bad_frame || empty_chain;

endmodule
