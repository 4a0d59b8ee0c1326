// Wirepath NIC: a virtio-net device with packed virtqueues between AXI and XGMII.
//
// Host side: AXI4-Lite slave = BAR0 (map in nic_pkg), AXI4 master = DMA and MSI-X messages. The
// PCI configuration space lives outside (the PCIe hard block of an FPGA); what it decides arrives
// on bus_master_en_i, msix_enable_i and msix_mask_i.
// Wire side: 10 Gb/s XGMII, 64 bits at 156.25 MHz (IEEE 802.3 clause 46).
// One clock, one synchronous active-low reset. All outputs come from registers or from logic on
// registers only, never combinationally from an input.
// busy_o = 0: no state changes until an input does, so the clock may stop. timer_o: cycles until
// the device wants to run again by itself, all ones when never.
module nic
  import nic_pkg::*;
#(
  parameter int unsigned QueuePairs    = 1,
  parameter int unsigned HostDataWidth = 128,  // bits, 64..512
  parameter int unsigned MaxQueueSize  = 1024  // descriptors, what queue_size reads after reset
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,

  // AXI4-Lite slave, BAR0
  input  logic [15:0]                s_axil_awaddr_i,
  input  logic                       s_axil_awvalid_i,
  output logic                       s_axil_awready_o,
  input  logic [31:0]                s_axil_wdata_i,
  input  logic [3:0]                 s_axil_wstrb_i,
  input  logic                       s_axil_wvalid_i,
  output logic                       s_axil_wready_o,
  output logic [1:0]                 s_axil_bresp_o,
  output logic                       s_axil_bvalid_o,
  input  logic                       s_axil_bready_i,
  input  logic [15:0]                s_axil_araddr_i,
  input  logic                       s_axil_arvalid_i,
  output logic                       s_axil_arready_o,
  output logic [31:0]                s_axil_rdata_o,
  output logic [1:0]                 s_axil_rresp_o,
  output logic                       s_axil_rvalid_o,
  input  logic                       s_axil_rready_i,

  // AXI4 master, DMA and MSI-X messages. INCR bursts; data bursts use full-width beats (the first
  // may start unaligned), descriptors 16-byte beats, event structures and messages 4, used 8 bytes
  output logic [3:0]                 m_axi_awid_o,
  output logic [63:0]                m_axi_awaddr_o,
  output logic [7:0]                 m_axi_awlen_o,
  output logic [2:0]                 m_axi_awsize_o,
  output logic [1:0]                 m_axi_awburst_o,
  output logic                       m_axi_awvalid_o,
  input  logic                       m_axi_awready_i,
  output logic [HostDataWidth-1:0]   m_axi_wdata_o,
  output logic [HostDataWidth/8-1:0] m_axi_wstrb_o,
  output logic                       m_axi_wlast_o,
  output logic                       m_axi_wvalid_o,
  input  logic                       m_axi_wready_i,
  input  logic [3:0]                 m_axi_bid_i,
  input  logic [1:0]                 m_axi_bresp_i,
  input  logic                       m_axi_bvalid_i,
  output logic                       m_axi_bready_o,
  output logic [3:0]                 m_axi_arid_o,
  output logic [63:0]                m_axi_araddr_o,
  output logic [7:0]                 m_axi_arlen_o,
  output logic [2:0]                 m_axi_arsize_o,
  output logic [1:0]                 m_axi_arburst_o,
  output logic                       m_axi_arvalid_o,
  input  logic                       m_axi_arready_i,
  input  logic [3:0]                 m_axi_rid_i,
  input  logic [HostDataWidth-1:0]   m_axi_rdata_i,
  input  logic [1:0]                 m_axi_rresp_i,
  input  logic                       m_axi_rlast_i,
  input  logic                       m_axi_rvalid_i,
  output logic                       m_axi_rready_o,

  // XGMII, lane 0 = bits 7:0
  input  logic [63:0]                xgmii_rxd_i,
  input  logic [7:0]                 xgmii_rxc_i,
  output logic [63:0]                xgmii_txd_o,
  output logic [7:0]                 xgmii_txc_o,
  input  logic                       link_up_i,

  // From the PCI configuration space: bus master enable, MSI-X enable, MSI-X function mask
  input  logic                       bus_master_en_i,
  input  logic                       msix_enable_i,
  input  logic                       msix_mask_i,

  // Device options, static
  input  logic [63:0]                cfg_features_i,  // feature bits to offer; what the RTL lacks is never offered
  input  logic [47:0]                cfg_mac_i,       // bits 7:0 = first octet on the wire
  input  logic [15:0]                cfg_mtu_i,       // bytes, 68..9202 (a frame is at most MTU + 14 + 4 bytes of VLAN tag, without FCS)

  output logic                       busy_o,
  output logic [31:0]                timer_o
);

  import virtio_pkg::*;

  localparam int unsigned NumQueues  = 2 * QueuePairs;
  localparam int unsigned NumVectors = NumQueues + 1;  // configuration, then one per queue
  localparam int unsigned RX = 0;                      // virtqueue numbers, 5.1.2
  localparam int unsigned TX = 1;
  localparam int unsigned HeaderBytes = 18;            // Ethernet header with one VLAN tag
  localparam int unsigned FcsBytes    = 4;

  // What this RTL can do; cfg_features_i chooses from it.
  localparam logic [63:0] SUPPORTED =
      (64'd1 << F_VERSION_1) | (64'd1 << F_RING_PACKED) | (64'd1 << F_ACCESS_PLATFORM) |
      (64'd1 << F_EVENT_IDX) | (64'd1 << F_IN_ORDER) | (64'd1 << F_RING_RESET) |
      (64'd1 << F_NET_CSUM) | (64'd1 << F_NET_GUEST_CSUM) | (64'd1 << F_NET_MTU) |
      (64'd1 << F_NET_MAC) | (64'd1 << F_NET_STATUS) | (64'd1 << F_NET_SPEED_DUPLEX);

  // ---- side band ------------------------------------------------------------------------------------
  logic bus_master_q, msix_enable_q, msix_mask_q, link_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      bus_master_q  <= 1'b0;
      msix_enable_q <= 1'b0;
      msix_mask_q   <= 1'b0;
      link_q        <= 1'b0;
    end else begin
      bus_master_q  <= bus_master_en_i;
      msix_enable_q <= msix_enable_i;
      msix_mask_q   <= msix_mask_i;
      link_q        <= link_up_i;
    end
  end

  wire [15:0] max_frame = cfg_mtu_i + 16'(HeaderBytes);  // bytes without FCS

  // ---- control --------------------------------------------------------------------------------------
  reg_req_t    req;
  logic [31:0] rdata_common, rdata_device, rdata_msix, rdata_stats;
  logic        axil_busy;

  axil_slave u_axil (
    .clk_i,
    .rst_ni,
    .awaddr_i (s_axil_awaddr_i),
    .awvalid_i(s_axil_awvalid_i),
    .awready_o(s_axil_awready_o),
    .wdata_i  (s_axil_wdata_i),
    .wstrb_i  (s_axil_wstrb_i),
    .wvalid_i (s_axil_wvalid_i),
    .wready_o (s_axil_wready_o),
    .bresp_o  (s_axil_bresp_o),
    .bvalid_o (s_axil_bvalid_o),
    .bready_i (s_axil_bready_i),
    .araddr_i (s_axil_araddr_i),
    .arvalid_i(s_axil_arvalid_i),
    .arready_o(s_axil_arready_o),
    .rdata_o  (s_axil_rdata_o),
    .rresp_o  (s_axil_rresp_o),
    .rvalid_o (s_axil_rvalid_o),
    .rready_i (s_axil_rready_i),
    .req_o    (req),
    .rdata_i  (rdata_common | rdata_device | rdata_msix | rdata_stats),
    .busy_o   (axil_busy)
  );

  // A doorbell is told by its place, the value written does not matter (NOTIFICATION_DATA is not offered).
  wire doorbell = req.write && req.addr[15:12] == BAR_NOTIFY[15:12];
  wire [9:0] doorbell_queue = req.addr[11:2];

  vq_cfg_t     vq_cfg [NumQueues];
  logic [15:0] vq_vector [NumQueues];
  logic [15:0] config_vector;
  logic [NumQueues-1:0] vq_error, vq_idle, vq_irq;
  logic [63:0] features;
  logic        config_irq, config_change, reset_done, common_busy;
  logic        msix_idle, msix_busy, device_busy;

  common_cfg #(
    .NumQueues   (NumQueues),
    .NumVectors  (NumVectors),
    .MaxQueueSize(MaxQueueSize)
  ) u_common_cfg (
    .clk_i,
    .rst_ni,
    .req_i            (req),
    .rdata_o          (rdata_common),
    .features_i       (cfg_features_i & SUPPORTED),
    .bus_master_en_i  (bus_master_q),
    .config_change_i  (config_change),
    .queue_o          (vq_cfg),
    .queue_vector_o   (vq_vector),
    .config_vector_o  (config_vector),
    .queue_error_i    (vq_error),
    .queue_idle_i     (vq_idle),
    .device_idle_i    (msix_idle),
    .driver_features_o(features),
    .config_irq_o     (config_irq),
    .reset_done_o     (reset_done),
    .busy_o           (common_busy)
  );

  device_cfg #(
    .QueuePairs(QueuePairs)
  ) u_device_cfg (
    .clk_i,
    .rst_ni,
    .req_i       (req),
    .rdata_o     (rdata_device),
    .mac_i       (cfg_mac_i),
    .mtu_i       (cfg_mtu_i),
    .link_i      (link_q),
    .isr_clear_i (reset_done),
    // 4.1.4.5: the queue bit is for drivers without MSI-X.
    .queue_irq_i (vq_irq != '0 && !msix_enable_q),
    .config_irq_i(config_irq),
    .change_o    (config_change),
    .busy_o      (device_busy)
  );

  logic [NumVectors-1:0] vector_irq;
  always_comb begin
    vector_irq = '0;
    for (int unsigned v = 0; v < NumVectors; v++) begin
      if (config_irq && config_vector == 16'(v)) vector_irq[v] = 1'b1;
      for (int unsigned q = 0; q < NumQueues; q++) begin
        if (vq_irq[q] && vq_vector[q] == 16'(v)) vector_irq[v] = 1'b1;
      end
    end
  end

  word_write_t word [3];
  logic [2:0]  word_valid, word_ready, word_done;
  wire         b_error = m_axi_bresp_i != RESP_OKAY;

  msix #(
    .NumVectors(NumVectors)
  ) u_msix (
    .clk_i,
    .rst_ni,
    .enable_i     (msix_enable_q),
    .mask_i       (msix_mask_q),
    .clear_i      (reset_done),
    .req_i        (req),
    .rdata_o      (rdata_msix),
    .irq_i        (vector_irq),
    .write_o      (word[0]),
    .write_valid_o(word_valid[0]),
    .write_ready_i(word_ready[0]),
    .write_done_i (word_done[0]),
    .idle_o       (msix_idle),
    .busy_o       (msix_busy)
  );

  // ---- DMA ------------------------------------------------------------------------------------------
  logic [63:0] ar_addr [5];
  logic [7:0]  ar_len [5];
  logic [4:0]  ar_valid, ar_ready, r_valid;
  wire         r_error = m_axi_rresp_i != RESP_OKAY;
  logic        read_busy, write_busy;

  assign m_axi_rready_o  = 1'b1;
  assign m_axi_bready_o  = 1'b1;
  assign m_axi_arburst_o = 2'b01;  // INCR
  assign m_axi_awburst_o = 2'b01;

  dma_read #(
    .HostDataWidth(HostDataWidth)
  ) u_dma_read (
    .clk_i,
    .rst_ni,
    .ar_addr_i (ar_addr),
    .ar_len_i  (ar_len),
    .ar_valid_i(ar_valid),
    .ar_ready_o(ar_ready),
    .r_valid_o (r_valid),
    .m_axi_arid_o,
    .m_axi_araddr_o,
    .m_axi_arlen_o,
    .m_axi_arsize_o,
    .m_axi_arvalid_o,
    .m_axi_arready_i,
    .m_axi_rid_i,
    .m_axi_rvalid_i,
    .busy_o    (read_busy)
  );

  logic [63:0]                aw_addr;
  logic [3:0]                 aw_len;
  logic                       aw_valid, aw_ready, w_valid, w_ready, burst_done;
  logic [HostDataWidth-1:0]   w_data;
  logic [HostDataWidth/8-1:0] w_strb;

  dma_write #(
    .HostDataWidth(HostDataWidth)
  ) u_dma_write (
    .clk_i,
    .rst_ni,
    .word_i      (word),
    .word_valid_i(word_valid),
    .word_ready_o(word_ready),
    .word_done_o (word_done),
    .aw_addr_i   (aw_addr),
    .aw_len_i    (aw_len),
    .aw_valid_i  (aw_valid),
    .aw_ready_o  (aw_ready),
    .w_data_i    (w_data),
    .w_strb_i    (w_strb),
    .w_valid_i   (w_valid),
    .w_ready_o   (w_ready),
    .burst_done_o(burst_done),
    .m_axi_awid_o,
    .m_axi_awaddr_o,
    .m_axi_awlen_o,
    .m_axi_awsize_o,
    .m_axi_awvalid_o,
    .m_axi_awready_i,
    .m_axi_wdata_o,
    .m_axi_wstrb_o,
    .m_axi_wlast_o,
    .m_axi_wvalid_o,
    .m_axi_wready_i,
    .m_axi_bid_i,
    .m_axi_bvalid_i,
    .busy_o      (write_busy)
  );

  vq_desc_t desc [NumQueues];
  vq_used_t used [NumQueues];
  logic [NumQueues-1:0] desc_valid, desc_ready, used_valid, used_ready;
  logic [NumQueues-1:0] ring_error, ring_idle, ring_busy;

  for (genvar q = 0; q < int'(NumQueues); q++) begin : gen_vq
    virtqueue #(
      .HostDataWidth(HostDataWidth),
      .WriteDir     (q == int'(RX))
    ) u_vq (
      .clk_i,
      .rst_ni,
      .cfg_i           (vq_cfg[q]),
      .event_idx_i     (features[F_EVENT_IDX]),
      .in_order_i      (features[F_IN_ORDER]),
      .kick_i          (doorbell && doorbell_queue == 10'(q)),
      .desc_o          (desc[q]),
      .desc_valid_o    (desc_valid[q]),
      .desc_ready_i    (desc_ready[q]),
      .used_i          (used[q]),
      .used_valid_i    (used_valid[q]),
      .used_ready_o    (used_ready[q]),
      .desc_ar_addr_o  (ar_addr[q]),
      .desc_ar_len_o   (ar_len[q]),
      .desc_ar_valid_o (ar_valid[q]),
      .desc_ar_ready_i (ar_ready[q]),
      .desc_r_valid_i  (r_valid[q]),
      .event_ar_addr_o (ar_addr[2+q]),
      .event_ar_valid_o(ar_valid[2+q]),
      .event_ar_ready_i(ar_ready[2+q]),
      .event_r_valid_i (r_valid[2+q]),
      .r_data_i        (m_axi_rdata_i),
      .r_error_i       (r_error),
      .r_last_i        (m_axi_rlast_i),
      .write_o         (word[1+q]),
      .write_valid_o   (word_valid[1+q]),
      .write_ready_i   (word_ready[1+q]),
      .write_done_i    (word_done[1+q]),
      .write_error_i   (b_error),
      .irq_o           (vq_irq[q]),
      .error_o         (ring_error[q]),
      .idle_o          (ring_idle[q]),
      .busy_o          (ring_busy[q])
    );
    assign ar_len[2+q] = '0;
  end

  // ---- receive --------------------------------------------------------------------------------------
  logic [63:0] mac_rx_data, csum_rx_data;
  logic [7:0]  mac_rx_keep, csum_rx_keep;
  logic mac_rx_valid, mac_rx_last, mac_rx_drop, csum_rx_valid, csum_rx_last, csum_rx_drop, csum_ok;
  logic mac_rx_busy, rx_csum_busy, rx_fifo_busy, rx_fifo_drop, rx_dma_idle, rx_dma_busy, rx_error;
  mac_rx_stat_t mac_rx_stat;

  mac_rx u_mac_rx (
    .clk_i,
    .rst_ni,
    .xgmii_rxd_i,
    .xgmii_rxc_i,
    .max_frame_i    (max_frame + 16'(FcsBytes)),
    .m_axis_tdata_o (mac_rx_data),
    .m_axis_tkeep_o (mac_rx_keep),
    .m_axis_tvalid_o(mac_rx_valid),
    .m_axis_tlast_o (mac_rx_last),
    .m_axis_tuser_o (mac_rx_drop),
    .busy_o         (mac_rx_busy),
    .stat_o         (mac_rx_stat)
  );

  rx_csum u_rx_csum (
    .clk_i,
    .rst_ni,
    .s_axis_tdata_i (mac_rx_data),
    .s_axis_tkeep_i (mac_rx_keep),
    .s_axis_tvalid_i(mac_rx_valid),
    .s_axis_tlast_i (mac_rx_last),
    .s_axis_tuser_i (mac_rx_drop),
    .m_axis_tdata_o (csum_rx_data),
    .m_axis_tkeep_o (csum_rx_keep),
    .m_axis_tvalid_o(csum_rx_valid),
    .m_axis_tlast_o (csum_rx_last),
    .m_axis_tuser_o (csum_rx_drop),
    .csum_valid_o   (csum_ok),
    .busy_o         (rx_csum_busy)
  );

  // The header with the checksum verdict precedes the frame, and a frame with a bad FCS must not
  // take a buffer: both are known at its end, so it is stored here.
  logic        rx_meta_valid, rx_meta_ready, rx_meta_csum, rx_data_valid, rx_data_ready;
  logic [13:0] rx_meta_len;
  logic [63:0] rx_data;
  /* verilator lint_off UNUSEDSIGNAL */
  logic        rx_fifo_ready;
  logic [11:0] rx_free_words;
  logic [8:0]  rx_free_metas;
  logic [11:0] tx_free_words;
  /* verilator lint_on UNUSEDSIGNAL */
  packet_fifo u_rx_fifo (
    .clk_i,
    .rst_ni,
    .flush_i        (1'b0),
    .s_axis_tdata_i (csum_rx_data),
    .s_axis_tkeep_i (csum_rx_keep),
    .s_axis_tvalid_i(csum_rx_valid),
    .s_axis_tlast_i (csum_rx_last),
    .s_axis_tuser_i (csum_rx_drop),
    .s_meta_i       (csum_ok && features[F_NET_GUEST_CSUM]),
    .ready_o        (rx_fifo_ready),
    .free_words_o   (rx_free_words),
    .free_metas_o   (rx_free_metas),
    .drop_o         (rx_fifo_drop),
    .meta_valid_o   (rx_meta_valid),
    .meta_len_o     (rx_meta_len),
    .meta_data_o    (rx_meta_csum),
    .meta_ready_i   (rx_meta_ready),
    .data_valid_o   (rx_data_valid),
    .data_o         (rx_data),
    .data_ready_i   (rx_data_ready),
    .busy_o         (rx_fifo_busy)
  );

  logic stat_rx_disabled, stat_rx_truncated, stat_rx_csum;
  rx_dma #(
    .HostDataWidth(HostDataWidth)
  ) u_rx_dma (
    .clk_i,
    .rst_ni,
    .enable_i        (vq_cfg[RX].enable),
    .meta_valid_i    (rx_meta_valid),
    .meta_len_i      (rx_meta_len),
    .meta_csum_i     (rx_meta_csum),
    .meta_ready_o    (rx_meta_ready),
    .data_valid_i    (rx_data_valid),
    .data_i          (rx_data),
    .data_ready_o    (rx_data_ready),
    .desc_i          (desc[RX]),
    .desc_valid_i    (desc_valid[RX]),
    .desc_ready_o    (desc_ready[RX]),
    .used_o          (used[RX]),
    .used_valid_o    (used_valid[RX]),
    .used_ready_i    (used_ready[RX]),
    .aw_addr_o       (aw_addr),
    .aw_len_o        (aw_len),
    .aw_valid_o      (aw_valid),
    .aw_ready_i      (aw_ready),
    .w_data_o        (w_data),
    .w_strb_o        (w_strb),
    .w_valid_o       (w_valid),
    .w_ready_i       (w_ready),
    .b_valid_i       (burst_done),
    .b_error_i       (b_error),
    .stat_disabled_o (stat_rx_disabled),
    .stat_truncated_o(stat_rx_truncated),
    .stat_csum_o     (stat_rx_csum),
    .error_o         (rx_error),
    .idle_o          (rx_dma_idle),
    .busy_o          (rx_dma_busy)
  );

  // ---- transmit -------------------------------------------------------------------------------------
  logic [63:0] dma_tx_data, mac_tx_data;
  logic [7:0]  dma_tx_keep, mac_tx_keep;
  logic dma_tx_valid, dma_tx_last, dma_tx_ready, mac_tx_valid, mac_tx_last, mac_tx_ready;
  logic tx_flush, tx_empty, tx_malformed, tx_csum_inserted, tx_error;
  logic tx_dma_idle, tx_dma_busy, tx_csum_busy, mac_tx_busy;
  logic [3:0] tx_ar_len;
  mac_tx_stat_t mac_tx_stat;

  assign ar_len[4] = {4'b0, tx_ar_len};
  tx_dma #(
    .HostDataWidth(HostDataWidth)
  ) u_tx_dma (
    .clk_i,
    .rst_ni,
    .enable_i       (vq_cfg[TX].enable),
    .desc_i         (desc[TX]),
    .desc_valid_i   (desc_valid[TX]),
    .desc_ready_o   (desc_ready[TX]),
    .used_o         (used[TX]),
    .used_valid_o   (used_valid[TX]),
    .used_ready_i   (used_ready[TX]),
    .ar_addr_o      (ar_addr[4]),
    .ar_len_o       (tx_ar_len),
    .ar_valid_o     (ar_valid[4]),
    .ar_ready_i     (ar_ready[4]),
    .r_data_i       (m_axi_rdata_i),
    .r_error_i      (r_error),
    .r_valid_i      (r_valid[4]),
    .m_axis_tdata_o (dma_tx_data),
    .m_axis_tkeep_o (dma_tx_keep),
    .m_axis_tvalid_o(dma_tx_valid),
    .m_axis_tlast_o (dma_tx_last),
    .m_axis_tready_i(dma_tx_ready),
    .flush_o        (tx_flush),
    .stat_empty_o   (tx_empty),
    .error_o        (tx_error),
    .idle_o         (tx_dma_idle),
    .busy_o         (tx_dma_busy)
  );

  tx_csum u_tx_csum (
    .clk_i,
    .rst_ni,
    .flush_i        (tx_flush),
    .csum_en_i      (features[F_NET_CSUM]),
    .max_frame_i    (max_frame),
    .s_axis_tdata_i (dma_tx_data),
    .s_axis_tkeep_i (dma_tx_keep),
    .s_axis_tvalid_i(dma_tx_valid),
    .s_axis_tlast_i (dma_tx_last),
    .s_axis_tready_o(dma_tx_ready),
    .free_words_o   (tx_free_words),
    .m_axis_tdata_o (mac_tx_data),
    .m_axis_tkeep_o (mac_tx_keep),
    .m_axis_tvalid_o(mac_tx_valid),
    .m_axis_tlast_o (mac_tx_last),
    .m_axis_tready_i(mac_tx_ready),
    .malformed_o    (tx_malformed),
    .csum_inserted_o(tx_csum_inserted),
    .busy_o         (tx_csum_busy)
  );

  mac_tx u_mac_tx (
    .clk_i,
    .rst_ni,
    .s_axis_tdata_i (mac_tx_data),
    .s_axis_tkeep_i (mac_tx_keep),
    .s_axis_tvalid_i(mac_tx_valid),
    .s_axis_tlast_i (mac_tx_last),
    .s_axis_tready_o(mac_tx_ready),
    .xgmii_txd_o,
    .xgmii_txc_o,
    .busy_o         (mac_tx_busy),
    .stat_o         (mac_tx_stat)
  );

  // ---- errors, statistics, quiescence -----------------------------------------------------------------
  assign vq_error = ring_error | {tx_error, rx_error};
  assign vq_idle  = ring_idle & {tx_dma_idle, rx_dma_idle};

  logic [NUM_STATS-1:0] count;
  always_comb begin
    count = '0;
    count[STAT_RX_FRAMES]     = mac_rx_stat.good;
    count[STAT_RX_BYTES]      = mac_rx_stat.good;
    count[STAT_RX_BAD_FCS]    = mac_rx_stat.bad_fcs;
    count[STAT_RX_RUNT]       = mac_rx_stat.runt;
    count[STAT_RX_OVERSIZE]   = mac_rx_stat.oversize;
    count[STAT_RX_ERROR]      = mac_rx_stat.error;
    count[STAT_RX_NO_SPACE]   = rx_fifo_drop;
    count[STAT_RX_DISABLED]   = stat_rx_disabled;
    count[STAT_RX_TRUNCATED]  = stat_rx_truncated;
    count[STAT_RX_CSUM_VALID] = stat_rx_csum;
    count[STAT_TX_FRAMES]     = mac_tx_stat.sent;
    count[STAT_TX_BYTES]      = mac_tx_stat.sent;
    count[STAT_TX_MALFORMED]  = tx_malformed || tx_empty;
    count[STAT_TX_CSUM]       = tx_csum_inserted;
    count[STAT_TX_UNDERRUN]   = mac_tx_stat.underrun;
    count[STAT_RX_BUFFERS]    = used_valid[RX] && used_ready[RX] && vq_cfg[RX].enable;
    count[STAT_TX_BUFFERS]    = used_valid[TX] && used_ready[TX] && vq_cfg[TX].enable;
    count[STAT_DMA_ERROR]     = (m_axi_rvalid_i && r_error) || (m_axi_bvalid_i && b_error);
  end

  stats #(
    .QueuePairs   (QueuePairs),
    .HostDataWidth(HostDataWidth)
  ) u_stats (
    .clk_i,
    .rst_ni,
    .req_i     (req),
    .rdata_o   (rdata_stats),
    .count_i   (count),
    .rx_bytes_i(mac_rx_stat.bytes),
    .tx_bytes_i(mac_tx_stat.bytes)
  );

  assign busy_o = axil_busy || common_busy || device_busy || msix_busy || read_busy || write_busy ||
                  ring_busy != '0 || mac_rx_busy || rx_csum_busy || rx_fifo_busy || rx_dma_busy ||
                  tx_dma_busy || tx_csum_busy || mac_tx_busy;
  assign timer_o = '1;

`ifndef SYNTHESIS
  initial begin
    assert (QueuePairs == 1)
    else $fatal(1, "nic: one queue pair");
    assert (HostDataWidth inside {64, 128, 256, 512})
    else $fatal(1, "nic: HostDataWidth must be 64, 128, 256 or 512");
  end
`endif

endmodule
