// AXI4 read requests of the master: shares AR among the clients.
//
// Clients: descriptor bursts and event structure reads of both virtqueues, transmit data. Each has an
// AXI ID of its own, reserves room before it asks, and may have data back in any order relative to the
// others. Round robin, one request per two cycles.
module dma_read
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  // Indexed by client: 0 receive descriptors, 1 transmit descriptors, 2 receive events,
  // 3 transmit events, 4 transmit data
  input  logic [63:0] ar_addr_i [5],
  input  logic [7:0]  ar_len_i  [5],  // beats - 1
  input  logic [4:0]  ar_valid_i,
  output logic [4:0]  ar_ready_o,

  output logic [3:0]  m_axi_arid_o,
  output logic [63:0] m_axi_araddr_o,
  output logic [7:0]  m_axi_arlen_o,
  output logic [2:0]  m_axi_arsize_o,
  output logic        m_axi_arvalid_o,
  input  logic        m_axi_arready_i,

  output logic        busy_o
);

  localparam logic [2:0] FULL_SIZE = 3'($clog2(HostDataWidth / 8));
  localparam logic [2:0] DESC_SIZE = HostDataWidth == 64 ? 3'd3 : 3'd4;
  localparam logic [2:0] WORD_SIZE = 3'd2;

  logic [2:0]  last_q;  // client served last
  logic        valid_q;
  logic [3:0]  id_q;
  logic [63:0] addr_q;
  logic [7:0]  len_q;
  logic [2:0]  size_q;

  // The next client after the one served last.
  logic [2:0] pick;
  always_comb begin
    pick = last_q;
    for (int unsigned i = 5; i >= 1; i--) begin
      automatic logic [2:0] c = 3'((32'(last_q) + i) % 5);
      if (ar_valid_i[c]) pick = c;
    end
  end
  wire grant = !valid_q && ar_valid_i != '0;

  always_comb begin
    ar_ready_o = '0;
    ar_ready_o[pick] = grant;
  end

  assign m_axi_arid_o    = id_q;
  assign m_axi_araddr_o  = addr_q;
  assign m_axi_arlen_o   = len_q;
  assign m_axi_arsize_o  = size_q;
  assign m_axi_arvalid_o = valid_q;
  assign busy_o          = valid_q || ar_valid_i != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      last_q  <= '0;
    end else begin
      if (m_axi_arready_i) valid_q <= 1'b0;
      if (grant) begin
        valid_q <= 1'b1;
        last_q  <= pick;
        addr_q  <= ar_addr_i[pick];
        len_q   <= ar_len_i[pick];
        unique case (pick)
          3'd0:    {id_q, size_q} <= {ID_RX_DESC, DESC_SIZE};
          3'd1:    {id_q, size_q} <= {ID_TX_DESC, DESC_SIZE};
          3'd2:    {id_q, size_q} <= {ID_RX_RING, WORD_SIZE};
          3'd3:    {id_q, size_q} <= {ID_TX_RING, WORD_SIZE};
          default: {id_q, size_q} <= {ID_TX_DATA, FULL_SIZE};
        endcase
      end
    end
  end

endmodule
