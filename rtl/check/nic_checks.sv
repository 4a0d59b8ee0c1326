// Protocol checkers on every interface of the card, bound from outside: the RTL does not know of them.
//
// Given to Verilator by name for the checked build of the card (hwmodel), which also writes waves; the
// fast builds and synthesis do without. A broken rule is $fatal with the path of the checker.
//   nic      its AXI4-Lite slave, which answers within 2048 cycles (a few of its own; a read behind a write
//            to the MSI-X table waits until messages under way are acknowledged), and its AXI4 master,
//            which takes each response at once
//   streams  at the blocks' ports; those of the receive side cannot wait (tready = 1). Behind the receive
//            store a flush takes back what is offered: what it may do there the blocks' own assertions say
//   fifo     every FIFO of valid/ready: no word lost, doubled or altered
`ifndef SYNTHESIS

bind nic axil_checker #(
  .AddrWidth(16),
  .MaxWait  (2048)
) u_check_axil (
  .clk_i,
  .rst_ni,
  .awaddr_i (s_axil_awaddr_i),
  .awvalid_i(s_axil_awvalid_i),
  .awready_i(s_axil_awready_o),
  .wdata_i  (s_axil_wdata_i),
  .wstrb_i  (s_axil_wstrb_i),
  .wvalid_i (s_axil_wvalid_i),
  .wready_i (s_axil_wready_o),
  .bresp_i  (s_axil_bresp_o),
  .bvalid_i (s_axil_bvalid_o),
  .bready_i (s_axil_bready_i),
  .araddr_i (s_axil_araddr_i),
  .arvalid_i(s_axil_arvalid_i),
  .arready_i(s_axil_arready_o),
  .rdata_i  (s_axil_rdata_o),
  .rresp_i  (s_axil_rresp_o),
  .rvalid_i (s_axil_rvalid_o),
  .rready_i (s_axil_rready_i)
);

bind nic axi4_checker #(
  .DataWidth(HostDataWidth),
  .IdWidth  (8),
  .MaxReady (1)
) u_check_axi4 (
  .clk_i,
  .rst_ni,
  .awid_i   (m_axi_awid_o),
  .awaddr_i (m_axi_awaddr_o),
  .awlen_i  (m_axi_awlen_o),
  .awsize_i (m_axi_awsize_o),
  .awburst_i(m_axi_awburst_o),
  .awvalid_i(m_axi_awvalid_o),
  .awready_i(m_axi_awready_i),
  .wdata_i  (m_axi_wdata_o),
  .wstrb_i  (m_axi_wstrb_o),
  .wlast_i  (m_axi_wlast_o),
  .wvalid_i (m_axi_wvalid_o),
  .wready_i (m_axi_wready_i),
  .bid_i    (m_axi_bid_i),
  .bresp_i  (m_axi_bresp_i),
  .bvalid_i (m_axi_bvalid_i),
  .bready_i (m_axi_bready_o),
  .arid_i   (m_axi_arid_o),
  .araddr_i (m_axi_araddr_o),
  .arlen_i  (m_axi_arlen_o),
  .arsize_i (m_axi_arsize_o),
  .arburst_i(m_axi_arburst_o),
  .arvalid_i(m_axi_arvalid_o),
  .arready_i(m_axi_arready_i),
  .rid_i    (m_axi_rid_i),
  .rdata_i  (m_axi_rdata_i),
  .rresp_i  (m_axi_rresp_i),
  .rlast_i  (m_axi_rlast_i),
  .rvalid_i (m_axi_rvalid_i),
  .rready_i (m_axi_rready_o)
);

// ---- transmit ------------------------------------------------------------------------------------
bind tx_dma axis_checker u_check_out (
  .clk_i,
  .rst_ni,
  .tdata_i (m_axis_tdata_o),
  .tkeep_i (m_axis_tkeep_o),
  .tuser_i (m_axis_tuser_o),
  .tvalid_i(m_axis_tvalid_o),
  .tlast_i (m_axis_tlast_o),
  .tready_i(m_axis_tready_i)
);

bind tx_seg axis_checker u_check_in (
  .clk_i,
  .rst_ni,
  .tdata_i (s_axis_tdata_i),
  .tkeep_i (s_axis_tkeep_i),
  .tuser_i (s_axis_tuser_i),
  .tvalid_i(s_axis_tvalid_i),
  .tlast_i (s_axis_tlast_i),
  .tready_i(s_axis_tready_o)
);

bind tx_csum axis_checker u_check_in (
  .clk_i,
  .rst_ni,
  .tdata_i (s_axis_tdata_i),
  .tkeep_i (s_axis_tkeep_i),
  .tuser_i (s_axis_tuser_i),
  .tvalid_i(s_axis_tvalid_i),
  .tlast_i (s_axis_tlast_i),
  .tready_i(s_axis_tready_o)
);

bind mac_pause_tx axis_checker u_check_in (
  .clk_i,
  .rst_ni,
  .tdata_i (s_axis_tdata_i),
  .tkeep_i (s_axis_tkeep_i),
  .tuser_i (1'b0),
  .tvalid_i(s_axis_tvalid_i),
  .tlast_i (s_axis_tlast_i),
  .tready_i(s_axis_tready_o)
);

bind mac_tx axis_checker u_check_in (
  .clk_i,
  .rst_ni,
  .tdata_i (s_axis_tdata_i),
  .tkeep_i (s_axis_tkeep_i),
  .tuser_i (1'b0),
  .tvalid_i(s_axis_tvalid_i),
  .tlast_i (s_axis_tlast_i),
  .tready_i(s_axis_tready_o)
);

// ---- receive -------------------------------------------------------------------------------------
bind rx_csum axis_checker u_check_in (
  .clk_i,
  .rst_ni,
  .tdata_i (s_axis_tdata_i),
  .tkeep_i (s_axis_tkeep_i),
  .tuser_i (s_axis_tuser_i),
  .tvalid_i(s_axis_tvalid_i),
  .tlast_i (s_axis_tlast_i),
  .tready_i(1'b1)
);

bind packet_fifo axis_checker u_check_in (
  .clk_i,
  .rst_ni,
  .tdata_i (s_axis_tdata_i),
  .tkeep_i (s_axis_tlast_i && s_axis_tuser_i ? 8'hff : s_axis_tkeep_i),  // aborted: no byte counts
  .tuser_i (s_axis_tuser_i),
  .tvalid_i(s_axis_tvalid_i),
  .tlast_i (s_axis_tlast_i),
  .tready_i(1'b1)
);

// ---- FIFOs ---------------------------------------------------------------------------------------
bind fifo fifo_checker #(
  .Width(Width),
  .Depth(Depth)
) u_check (
  .clk_i,
  .rst_ni,
  .flush_i,
  .in_i       (data_i),
  .in_valid_i (valid_i),
  .in_ready_i (ready_o),
  .out_i      (data_o),
  .out_valid_i(valid_o),
  .out_ready_i(ready_i)
);

`endif
