// Transmit arbiter: one packet at a time from the queues' streams, round robin.
//
// A queue has its turn from the cycle in which the first beat of a packet is offered to its tlast; there
// is no idle cycle between packets, and each other queue has one turn at the most before it. tx_dma offers a packet when it has the whole of it, or as much as it can hold: so one
// that is waited for can only be longer than that, and the wait ends with an abort (tlast with
// tuser) at the latest when the queue is stopped.
// The path from m_axis to s_axis is combinational in both directions: the FIFO of each tx_dma and
// the store behind, whose tready hangs on state only, cut it.
// The clock may stand while no stream is valid.
module tx_arb #(
  parameter int unsigned Streams = 1
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  input  logic [63:0]        s_axis_tdata_i [Streams],
  input  logic [7:0]         s_axis_tkeep_i [Streams],
  input  logic [Streams-1:0] s_axis_tvalid_i,
  input  logic [Streams-1:0] s_axis_tlast_i,
  input  logic [Streams-1:0] s_axis_tuser_i,
  output logic [Streams-1:0] s_axis_tready_o,

  output logic [63:0]        m_axis_tdata_o,
  output logic [7:0]         m_axis_tkeep_o,
  output logic               m_axis_tvalid_o,
  output logic               m_axis_tlast_o,
  output logic               m_axis_tuser_o,
  input  logic               m_axis_tready_i
);

  localparam int unsigned IndexW = Streams > 1 ? $clog2(Streams) : 1;

  logic               open_q;   // a packet was offered and has not ended: a beat that waits stays
  logic [Streams-1:0] owner_q;  // whose
  logic [IndexW-1:0]  index_q;
  logic [Streams-1:0] next;
  logic [IndexW-1:0]  next_index;

  wire [Streams-1:0] chosen = open_q ? owner_q : next;
  wire [IndexW-1:0]  index  = open_q ? index_q : next_index;

  rr_arbiter #(
    .Clients(Streams)
  ) u_arbiter (
    .clk_i,
    .rst_ni,
    .valid_i(s_axis_tvalid_i),
    .take_i (m_axis_tvalid_o && !open_q),
    .grant_o(next),
    .index_o(next_index)
  );

  assign m_axis_tvalid_o = (s_axis_tvalid_i & chosen) != '0;
  assign m_axis_tlast_o  = (s_axis_tlast_i & chosen) != '0;
  assign m_axis_tuser_o  = (s_axis_tuser_i & chosen) != '0;
  assign m_axis_tdata_o  = s_axis_tdata_i[index];
  assign m_axis_tkeep_o  = s_axis_tkeep_i[index];
  assign s_axis_tready_o = m_axis_tready_i ? chosen : '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      open_q <= 1'b0;
    end else if (m_axis_tvalid_o) begin
      open_q  <= !(m_axis_tlast_o && m_axis_tready_i);
      owner_q <= chosen;
      index_q <= index;
    end
  end

endmodule
