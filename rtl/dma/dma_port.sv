// The AXI4 master: dma_read, dma_write and dma_watch behind one clock gate, and the responses
// registered once.
//
// Responses are taken in the cycle in which they come (rready = bready = 1: every client reserved
// room) and shown to the clients one cycle later, so that no client's logic hangs on an input pin.
// lost_o: completions of a queue (or, the last bit, of MSI-X) have not come for a long time, see
// dma_watch.
module dma_port
  import nic_pkg::*;
#(
  parameter  int unsigned QueuePairs    = 1,
  parameter  int unsigned HostDataWidth = 128,
  parameter  int unsigned WatchPeriod   = 65536,  // cycles, a power of two, see dma_watch
  localparam int unsigned NumQueues     = 2 * QueuePairs + 1,
  localparam int unsigned Readers       = 3 * NumQueues,
  localparam int unsigned Words         = NumQueues + 2,
  localparam int unsigned StrbW         = HostDataWidth / 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  /* verilator lint_off UNUSEDSIGNAL */
  input  logic [47:0]              cycle_i,  // counts cycles; may jump while busy_o = 0
  /* verilator lint_on UNUSEDSIGNAL */

  // Read clients, see dma_read
  input  logic [63:0]              ar_addr_i [Readers],
  input  logic [7:0]               ar_len_i  [Readers],
  input  logic [Readers-1:0]       ar_valid_i,
  output logic [Readers-1:0]       ar_ready_o,
  output logic [Readers-1:0]       r_valid_o,
  output logic [HostDataWidth-1:0] r_data_o,
  output logic                     r_last_o,
  output logic                     r_error_o,

  // Write clients, see dma_write
  input  word_write_t              word_i [Words],
  input  logic [Words-1:0]         word_valid_i,
  output logic [Words-1:0]         word_ready_o,
  output logic [Words-1:0]         word_done_o,
  input  logic [2:0]               aw_pair_i,
  input  logic [63:0]              aw_addr_i,
  input  logic [3:0]               aw_len_i,
  input  logic                     aw_valid_i,
  output logic                     aw_ready_o,
  input  logic [HostDataWidth-1:0] w_data_i,
  input  logic [StrbW-1:0]         w_strb_i,
  input  logic                     w_valid_i,
  output logic                     w_ready_o,
  output logic [QueuePairs-1:0]    burst_done_o,  // by pair
  output logic                     b_error_o,     // with word_done_o or burst_done_o

  // AXI4 master
  output axi_id_t                  m_axi_awid_o,
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
  input  axi_id_t                  m_axi_bid_i,
  input  logic [1:0]               m_axi_bresp_i,
  input  logic                     m_axi_bvalid_i,
  output logic                     m_axi_bready_o,
  output axi_id_t                  m_axi_arid_o,
  output logic [63:0]              m_axi_araddr_o,
  output logic [7:0]               m_axi_arlen_o,
  output logic [2:0]               m_axi_arsize_o,
  output logic [1:0]               m_axi_arburst_o,
  output logic                     m_axi_arvalid_o,
  input  logic                     m_axi_arready_i,
  input  axi_id_t                  m_axi_rid_i,
  input  logic [HostDataWidth-1:0] m_axi_rdata_i,
  input  logic [1:0]               m_axi_rresp_i,
  input  logic                     m_axi_rlast_i,
  input  logic                     m_axi_rvalid_i,
  output logic                     m_axi_rready_o,

  output logic [NumQueues:0]       lost_o,
  output logic                     busy_o
);

  localparam int unsigned ClientW = $clog2(NumQueues + 1);

  logic watch_busy;
  logic read_busy, write_busy, clk;

  assign m_axi_arburst_o = 2'b01;  // INCR
  assign m_axi_awburst_o = 2'b01;
  assign m_axi_rready_o  = 1'b1;
  assign m_axi_bready_o  = 1'b1;

  // A period of the watch ends when the time is a multiple of it. While the clock stands nothing is
  // outstanding, or lost already.
  logic period_q, watch_wake;
  always_ff @(posedge clk_i) period_q <= rst_ni && cycle_i[$clog2(WatchPeriod)-1:0] == '0;

  wire b_shown = word_done_o != '0 || burst_done_o != '0;
  wire shown   = r_valid_o != '0 || b_shown;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || read_busy || write_busy || shown ||
           period_q || watch_wake),
    .clk_o(clk)
  );

  dma_read #(
    .NumQueues    (NumQueues),
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
    .NumQueues    (NumQueues),
    .HostDataWidth(HostDataWidth)
  ) u_write (
    .clk_i (clk),
    .rst_ni,
    .word_i,
    .word_valid_i,
    .word_ready_o,
    .aw_pair_i,
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

  // ---- responses ------------------------------------------------------------------------------------
  // IDs are decoded inside the processes: logic on input pins would be evaluated all the time.
  // The queue in an ID.
  function automatic logic [7:0] queue_of(logic [4:0] id);
    return id == ID_CTRL ? 8'(NumQueues - 1) : 8'(id);
  endfunction

  logic clk_responses;
  clock_gate u_gate_responses (
    .clk_i,
    .en_i (!rst_ni || m_axi_rvalid_i || m_axi_bvalid_i || shown),
    .clk_o(clk_responses)
  );
  always_ff @(posedge clk_responses) begin
    automatic logic [7:0] first = m_axi_rid_i[7:5] == ID_DESC ? 8'd0 :
                                  m_axi_rid_i[7:5] == ID_RING ? 8'(NumQueues) : 8'(2 * NumQueues);
    r_valid_o <= rst_ni && m_axi_rvalid_i ? Readers'(1) << (first + queue_of(m_axi_rid_i[4:0])) : '0;
    if (m_axi_rvalid_i) begin
      r_data_o  <= m_axi_rdata_i;
      r_last_o  <= m_axi_rlast_i;
      r_error_o <= m_axi_rresp_i != RESP_OKAY;
    end
  end

  always_ff @(posedge clk_responses) begin
    word_done_o  <= '0;
    burst_done_o <= '0;
    if (rst_ni && m_axi_bvalid_i) begin
      if (m_axi_bid_i == ID_MSIX) begin
        word_done_o <= Words'(1);
      end else if (m_axi_bid_i[7:5] == ID_RING) begin
        word_done_o <= Words'(2) << queue_of(m_axi_bid_i[4:0]);
      end else if (m_axi_bid_i[4:0] == ID_CTRL) begin
        word_done_o <= Words'(1) << (Words - 1);
      end else begin
        burst_done_o <= QueuePairs'(1) << m_axi_bid_i[3:1];
      end
      b_error_o <= m_axi_bresp_i != RESP_OKAY;
    end
  end

  // ---- what is outstanding --------------------------------------------------------------------------
  logic [NumQueues:0] read_done, write_done;  // by queue, then MSI-X
  always_comb begin
    read_done = '0;
    if (r_valid_o != '0 && r_last_o) begin
      read_done[NumQueues-1:0] = r_valid_o[0 +: NumQueues] | r_valid_o[NumQueues +: NumQueues] |
                                 r_valid_o[2*NumQueues +: NumQueues];
    end
  end
  always_comb begin
    write_done = '0;
    if (b_shown) begin
      write_done = {word_done_o[0], word_done_o[NumQueues:1]};
      write_done[NumQueues-1] |= word_done_o[Words-1];
      for (int unsigned p = 0; p < QueuePairs; p++) write_done[2*p] |= burst_done_o[p];
    end
  end
  dma_watch #(
    .Clients(NumQueues + 1)
  ) u_watch (
    .clk_i       (clk),
    .rst_ni,
    .period_i    (period_q),
    .ar_valid_i  (m_axi_arvalid_o),
    .ar_ready_i  (m_axi_arready_i),
    .ar_client_i (ClientW'(queue_of(m_axi_arid_o[4:0]))),
    .aw_valid_i  (m_axi_awvalid_o),
    .aw_ready_i  (m_axi_awready_i),
    .aw_client_i (m_axi_awid_o == ID_MSIX ? ClientW'(NumQueues) : ClientW'(queue_of(m_axi_awid_o[4:0]))),
    .read_done_i (read_done),
    .write_done_i(write_done),
    .lost_o,
    .wake_o      (watch_wake),
    .busy_o      (watch_busy)
  );

  assign busy_o = read_busy || write_busy || shown || watch_busy || watch_wake;

`ifndef SYNTHESIS
  initial begin
    assert (WatchPeriod >= 4 && (WatchPeriod & (WatchPeriod - 1)) == 0)
    else $fatal(1, "dma_port: WatchPeriod must be a power of two");
  end
`endif

endmodule
