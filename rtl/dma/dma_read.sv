// AXI4 read requests of the master: shares AR among the clients.
//
// Clients: of each queue its descriptor bursts, its event structure reads and its data, in this order
// of kinds: client = kind * NumQueues + queue, and {kind, queue} is its AXI ID (nic_pkg). Each
// reserves room before it asks, and may have data back in any order relative to the others. Round
// robin, one request per two cycles.
module dma_read
  import nic_pkg::*;
#(
  parameter  int unsigned NumQueues     = 3,
  parameter  int unsigned HostDataWidth = 128,
  localparam int unsigned Clients       = 3 * NumQueues
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic [63:0]        ar_addr_i [Clients],
  input  logic [7:0]         ar_len_i  [Clients],  // beats - 1
  input  logic [Clients-1:0] ar_valid_i,
  output logic [Clients-1:0] ar_ready_o,

  output axi_id_t            m_axi_arid_o,
  output logic [63:0]        m_axi_araddr_o,
  output logic [7:0]         m_axi_arlen_o,
  output logic [2:0]         m_axi_arsize_o,
  output logic               m_axi_arvalid_o,
  input  logic               m_axi_arready_i,

  output logic               busy_o
);

  localparam int unsigned IndexW = $clog2(Clients);
  localparam logic [2:0] FULL_SIZE = 3'($clog2(HostDataWidth / 8));
  localparam logic [2:0] DESC_SIZE = HostDataWidth == 64 ? 3'd3 : 3'd4;
  localparam logic [2:0] WORD_SIZE = 3'd2;

  logic        valid_q;
  axi_id_t     id_q;
  logic [63:0] addr_q;
  logic [7:0]  len_q;
  logic [2:0]  size_q;

  logic [Clients-1:0] choice;
  logic [IndexW-1:0]  pick;
  wire grant = !valid_q && ar_valid_i != '0;
  rr_arbiter #(
    .Clients(Clients)
  ) u_arbiter (
    .clk_i,
    .rst_ni,
    .valid_i(ar_valid_i),
    .take_i (grant),
    .grant_o(choice),
    .index_o(pick)
  );
  assign ar_ready_o = grant ? choice : '0;

  wire [2:0] kind = pick < IndexW'(NumQueues)     ? ID_DESC :
                    pick < IndexW'(2 * NumQueues) ? ID_RING : ID_DATA;
  /* verilator lint_off UNUSEDSIGNAL */
  wire [7:0] queue = 8'(pick) - (kind == ID_DESC ? 8'd0 : kind == ID_RING ? 8'(NumQueues) :
                                 8'(2 * NumQueues));
  /* verilator lint_on UNUSEDSIGNAL */

  assign m_axi_arid_o    = id_q;
  assign m_axi_araddr_o  = addr_q;
  assign m_axi_arlen_o   = len_q;
  assign m_axi_arsize_o  = size_q;
  assign m_axi_arvalid_o = valid_q;
  assign busy_o          = valid_q || ar_valid_i != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else begin
      if (m_axi_arready_i) valid_q <= 1'b0;
      if (grant) begin
        valid_q <= 1'b1;
        addr_q  <= ar_addr_i[pick];
        len_q   <= ar_len_i[pick];
        size_q  <= kind == ID_DESC ? DESC_SIZE : kind == ID_RING ? WORD_SIZE : FULL_SIZE;
        id_q    <= {kind, queue == 8'(NumQueues - 1) ? ID_CTRL : queue[4:0]};
      end
    end
  end

endmodule
