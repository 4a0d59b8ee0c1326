// AXI4 writes of the master: shares AW and W among the clients.
//
// Word clients write one beat of 1, 2, 4 or 8 bytes: MSI-X, each virtqueue, and the answers of the
// control queue; round robin. The receive DMA writes bursts, and offers a burst only when all its beats
// are there, so W is never held up inside a burst.
// AW and W of one transaction enter the channel together and in the same order on both, so a write that
// is issued later is never seen earlier on either: an MSI-X message stays behind the data that it
// announces (PCI posted ordering). Word clients go first: each of their writes follows from a burst
// that has already gone, so they cannot starve it.
module dma_write
  import nic_pkg::*;
#(
  parameter  int unsigned NumQueues     = 3,
  parameter  int unsigned HostDataWidth = 128,
  localparam int unsigned StrbW         = HostDataWidth / 8,
  localparam int unsigned Words         = NumQueues + 2
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  // Word clients: 0 MSI-X, 1 + q virtqueue q, the last: answers of the control queue
  input  word_write_t              word_i [Words],
  input  logic [Words-1:0]         word_valid_i,
  output logic [Words-1:0]         word_ready_o,

  // Receive data bursts
  input  logic [2:0]               aw_pair_i,      // whose
  input  logic [63:0]              aw_addr_i,
  input  logic [3:0]               aw_len_i,
  input  logic                     aw_valid_i,
  output logic                     aw_ready_o,
  input  logic [HostDataWidth-1:0] w_data_i,
  input  logic [StrbW-1:0]         w_strb_i,
  /* verilator lint_off UNUSEDSIGNAL */
  input  logic                     w_valid_i,      // only asserted upon: see above
  /* verilator lint_on UNUSEDSIGNAL */
  output logic                     w_ready_o,

  output axi_id_t                  m_axi_awid_o,
  output logic [63:0]              m_axi_awaddr_o,
  output logic [7:0]               m_axi_awlen_o,
  output logic [2:0]               m_axi_awsize_o,
  output logic                     m_axi_awvalid_o,
  input  logic                     m_axi_awready_i,
  output logic [HostDataWidth-1:0] m_axi_wdata_o,
  output logic [StrbW-1:0]         m_axi_wstrb_o,
  output logic                     m_axi_wlast_o,
  output logic                     m_axi_wvalid_o,
  input  logic                     m_axi_wready_i,

  output logic                     busy_o
);

  localparam logic [2:0] FULL_SIZE = 3'($clog2(StrbW));
  localparam int unsigned LaneW    = $clog2(StrbW);  // address bits inside a beat
  localparam int unsigned IndexW   = $clog2(Words);

  typedef struct packed {
    axi_id_t     id;
    logic [63:0] addr;
    logic [3:0]  len;
    logic [2:0]  size;
  } aw_t;
  typedef struct packed {
    logic [HostDataWidth-1:0] data;
    logic [StrbW-1:0]         strb;
    logic                     last;
  } w_t;

  logic       in_burst_q;   // beats of the current burst are still to come
  logic [3:0] beats_q;      // how many, minus 1

  aw_t  aw, aw_out;
  w_t   w, w_out;
  logic aw_push, aw_room, w_push, w_room;

  logic [Words-1:0]  choice;
  logic [IndexW-1:0] pick;
  word_write_t       word;
  wire word_any   = word_valid_i != '0;
  wire free       = !in_burst_q && aw_room && w_room;
  wire word_fire  = free && word_any;
  wire burst_fire = free && !word_any && aw_valid_i;
  rr_arbiter #(
    .Clients(Words)
  ) u_arbiter (
    .clk_i,
    .rst_ni,
    .valid_i(word_valid_i),
    .take_i (word_fire),
    .grant_o(choice),
    .index_o(pick)
  );
  assign word         = word_i[pick];
  assign word_ready_o = word_fire ? choice : '0;

  // Virtqueue 0 is word client 1.
  /* verilator lint_off UNUSEDSIGNAL */
  wire [7:0] queue = 8'(pick) - 8'd1;
  /* verilator lint_on UNUSEDSIGNAL */
  axi_id_t word_id;
  always_comb begin
    if (pick == '0) word_id = ID_MSIX;
    else if (queue == 8'(NumQueues)) word_id = {ID_DATA, ID_CTRL};
    else if (queue == 8'(NumQueues - 1)) word_id = {ID_RING, ID_CTRL};
    else word_id = {ID_RING, queue[4:0]};
  end
  logic [7:0] word_bytes;
  always_comb begin
    unique case (word.size[1:0])
      2'd0: word_bytes = 8'h01;
      2'd1: word_bytes = 8'h03;
      2'd2: word_bytes = 8'h0f;
      2'd3: word_bytes = 8'hff;
    endcase
  end

  always_comb begin
    aw = '{id: {ID_DATA, 1'b0, aw_pair_i, 1'b0}, addr: aw_addr_i, len: aw_len_i, size: FULL_SIZE};
    w  = '{data: w_data_i, strb: w_strb_i, last: in_burst_q ? beats_q == '0 : aw_len_i == '0};
    if (word_fire) begin
      aw = '{id: word_id, addr: word.addr, len: '0, size: word.size};
      w  = '{
        data: {(HostDataWidth / 64) {word.data}},
        strb: StrbW'(word_bytes) << word.addr[LaneW-1:0],
        last: 1'b1
      };
    end
  end

  assign aw_push    = word_fire || burst_fire;
  assign w_push     = aw_push || (in_burst_q && w_room);
  assign aw_ready_o = burst_fire;
  assign w_ready_o  = burst_fire || (in_burst_q && w_room);

  /* verilator lint_off UNUSEDSIGNAL */
  logic [1:0] aw_count, w_count;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width($bits(aw_t)),
    .Depth(2)
  ) u_aw (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (aw),
    .valid_i(aw_push),
    .ready_o(aw_room),
    .data_o (aw_out),
    .valid_o(m_axi_awvalid_o),
    .ready_i(m_axi_awready_i),
    .count_o(aw_count)
  );
  fifo #(
    .Width($bits(w_t)),
    .Depth(2)
  ) u_w (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (w),
    .valid_i(w_push),
    .ready_o(w_room),
    .data_o (w_out),
    .valid_o(m_axi_wvalid_o),
    .ready_i(m_axi_wready_i),
    .count_o(w_count)
  );

  assign m_axi_awid_o   = aw_out.id;
  assign m_axi_awaddr_o = aw_out.addr;
  assign m_axi_awlen_o  = {4'b0, aw_out.len};
  assign m_axi_awsize_o = aw_out.size;
  assign m_axi_wdata_o  = w_out.data;
  assign m_axi_wstrb_o  = w_out.strb;
  assign m_axi_wlast_o  = w_out.last;

  assign busy_o = m_axi_awvalid_o || m_axi_wvalid_o || in_burst_q || word_any || aw_valid_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      in_burst_q <= 1'b0;
    end else if (burst_fire) begin
      in_burst_q <= aw_len_i != '0;
      beats_q    <= aw_len_i - 4'd1;
    end else if (in_burst_q && w_room) begin
      in_burst_q <= beats_q != '0;
      beats_q    <= beats_q - 4'd1;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && (burst_fire || (in_burst_q && w_room))) begin
      assert (w_valid_i)
      else $fatal(1, "dma_write: burst offered before all its beats were there");
    end
  end
`endif

endmodule
