// The AXI4 master: dma_read and dma_write behind one clock gate, and the responses registered once.
//
// Responses are taken in the cycle in which they come (rready = bready = 1: every client reserved
// room) and shown to the clients one cycle later, so that no client's logic hangs on an input pin.
module dma_port
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
  localparam int unsigned StrbW = HostDataWidth / 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  // Read clients, see dma_read
  input  logic [63:0]              ar_addr_i [5],
  input  logic [7:0]               ar_len_i  [5],
  input  logic [4:0]               ar_valid_i,
  output logic [4:0]               ar_ready_o,
  output logic [4:0]               r_valid_o,
  output logic [HostDataWidth-1:0] r_data_o,
  output logic                     r_last_o,
  output logic                     r_error_o,

  // Write clients, see dma_write
  input  word_write_t              word_i [3],
  input  logic [2:0]               word_valid_i,
  output logic [2:0]               word_ready_o,
  output logic [2:0]               word_done_o,
  input  logic [63:0]              aw_addr_i,
  input  logic [3:0]               aw_len_i,
  input  logic                     aw_valid_i,
  output logic                     aw_ready_o,
  input  logic [HostDataWidth-1:0] w_data_i,
  input  logic [StrbW-1:0]         w_strb_i,
  input  logic                     w_valid_i,
  output logic                     w_ready_o,
  output logic                     burst_done_o,
  output logic                     b_error_o,     // with word_done_o or burst_done_o

  // AXI4 master
  output logic [3:0]               m_axi_awid_o,
  output logic [63:0]              m_axi_awaddr_o,
  output logic [7:0]               m_axi_awlen_o,
  output logic [2:0]               m_axi_awsize_o,
  output logic [1:0]               m_axi_awburst_o,
  output logic                     m_axi_awvalid_o,
  input  logic                     m_axi_awready_i,
  output logic [HostDataWidth-1:0] m_axi_wdata_o,
  output logic [StrbW-1:0]         m_axi_wstrb_o,
  output logic                     m_axi_wlast_o,
  output logic                     m_axi_wvalid_o,
  input  logic                     m_axi_wready_i,
  input  logic [3:0]               m_axi_bid_i,
  input  logic [1:0]               m_axi_bresp_i,
  input  logic                     m_axi_bvalid_i,
  output logic                     m_axi_bready_o,
  output logic [3:0]               m_axi_arid_o,
  output logic [63:0]              m_axi_araddr_o,
  output logic [7:0]               m_axi_arlen_o,
  output logic [2:0]               m_axi_arsize_o,
  output logic [1:0]               m_axi_arburst_o,
  output logic                     m_axi_arvalid_o,
  input  logic                     m_axi_arready_i,
  input  logic [3:0]               m_axi_rid_i,
  input  logic [HostDataWidth-1:0] m_axi_rdata_i,
  input  logic [1:0]               m_axi_rresp_i,
  input  logic                     m_axi_rlast_i,
  input  logic                     m_axi_rvalid_i,
  output logic                     m_axi_rready_o,

  output logic                     busy_o
);

  logic read_busy, write_busy, clk;

  assign m_axi_arburst_o = 2'b01;  // INCR
  assign m_axi_awburst_o = 2'b01;
  assign m_axi_rready_o  = 1'b1;
  assign m_axi_bready_o  = 1'b1;

  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || read_busy || write_busy),
    .clk_o(clk)
  );

  dma_read #(
    .HostDataWidth(HostDataWidth)
  ) u_read (
    .clk_i (clk),
    .rst_ni,
    .ar_addr_i,
    .ar_len_i,
    .ar_valid_i,
    .ar_ready_o,
    .m_axi_arid_o,
    .m_axi_araddr_o,
    .m_axi_arlen_o,
    .m_axi_arsize_o,
    .m_axi_arvalid_o,
    .m_axi_arready_i,
    .busy_o(read_busy)
  );

  dma_write #(
    .HostDataWidth(HostDataWidth)
  ) u_write (
    .clk_i (clk),
    .rst_ni,
    .word_i,
    .word_valid_i,
    .word_ready_o,
    .aw_addr_i,
    .aw_len_i,
    .aw_valid_i,
    .aw_ready_o,
    .w_data_i,
    .w_strb_i,
    .w_valid_i,
    .w_ready_o,
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
    .busy_o(write_busy)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      r_valid_o    <= '0;
      word_done_o  <= '0;
      burst_done_o <= 1'b0;
    end else begin
      r_valid_o <= '0;
      if (m_axi_rvalid_i) begin
        r_valid_o[0] <= m_axi_rid_i == ID_RX_DESC;
        r_valid_o[1] <= m_axi_rid_i == ID_TX_DESC;
        r_valid_o[2] <= m_axi_rid_i == ID_RX_RING;
        r_valid_o[3] <= m_axi_rid_i == ID_TX_RING;
        r_valid_o[4] <= m_axi_rid_i == ID_TX_DATA;
        r_data_o     <= m_axi_rdata_i;
        r_last_o     <= m_axi_rlast_i;
        r_error_o    <= m_axi_rresp_i != RESP_OKAY;
      end
      word_done_o  <= '0;
      burst_done_o <= 1'b0;
      if (m_axi_bvalid_i) begin
        word_done_o[0] <= m_axi_bid_i == ID_MSIX;
        word_done_o[1] <= m_axi_bid_i == ID_RX_RING;
        word_done_o[2] <= m_axi_bid_i == ID_TX_RING;
        burst_done_o   <= m_axi_bid_i == ID_RX_DATA;
        b_error_o      <= m_axi_bresp_i != RESP_OKAY;
      end
    end
  end

  assign busy_o = read_busy || write_busy || r_valid_o != '0 || word_done_o != '0 || burst_done_o;

endmodule
