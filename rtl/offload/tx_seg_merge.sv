// Puts header words and payload words together to a stream without holes.
//
// For each piece in turn: its header words, the last of which holds rest_i bytes (an even number),
// then its payload, whose first byte is in lane lane_i of the first of its payload words. One output
// beat per cycle while header and payload words are there, also from one piece to the next.
module tx_seg_merge
  import axis_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  logic [13:0] payload_i,      // bytes
  input  logic [2:0]  lane_i,
  input  logic        plain_i,        // no header words; payload_i is not 0
  input  logic        piece_valid_i,
  output logic        piece_ready_o,

  input  logic [63:0] hdr_data_i,
  input  logic [2:0]  hdr_rest_i,     // bytes in the last word, 0: all 8
  input  logic        hdr_last_i,
  input  logic        hdr_valid_i,
  output logic        hdr_ready_o,

  input  logic [63:0] data_i,
  input  logic        data_valid_i,
  output logic        data_ready_o,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  input  logic        m_axis_tready_i,

  output logic        busy_o
);

  logic        active_q;
  logic        header_q;       // header words come first
  logic [13:0] left_q;         // bytes of payload
  logic [2:0]  lane_q;         // of the next one, in held_q
  logic        held_valid_q;
  logic [63:0] held_q;         // payload word that was begun
  logic        out_ready;

  // ---- what the beat is made of -----------------------------------------------------------------------
  wire [3:0] head    = !header_q ? 4'd0 : (hdr_last_i && hdr_rest_i != '0) ? {1'b0, hdr_rest_i} : 4'd8;
  wire [3:0] space   = 4'd8 - head;
  wire [3:0] body    = left_q < 14'(space) ? left_q[3:0] : space;
  wire [3:0] reach   = {1'b0, lane_q} + body;         // beyond 8: into the next word
  wire       more    = left_q > 14'(body);
  wire       here    = body == '0 || (held_valid_q && (reach <= 4'd8 || data_valid_i));
  wire       emit    = active_q && out_ready && (!header_q || hdr_valid_i) && here;
  wire       last    = !more && (!header_q || hdr_last_i);
  wire       through = body != '0 && reach >= 4'd8;   // the held word is used up

  /* verilator lint_off UNUSEDSIGNAL */
  wire [127:0] window = {data_i, held_q} >> {lane_q, 3'b000};
  /* verilator lint_on UNUSEDSIGNAL */
  wire [63:0]  data   = head == '0 ? window[63:0]
                      : (hdr_data_i & byte_mask(count_keep(head))) |
                        (head[3] ? '0 : window[63:0] << {head[2:0], 3'b000});

  // A word is held when there are bytes of this piece left in it.
  wire load = active_q && data_valid_i && left_q != '0 &&
              ((emit && through && (more || reach > 4'd8)) || (!held_valid_q && !emit) ||
               (!held_valid_q && emit && body == '0));
  assign data_ready_o  = load;
  assign hdr_ready_o   = emit && header_q;
  assign piece_ready_o = !active_q || (emit && last);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      active_q     <= 1'b0;
      held_valid_q <= 1'b0;
    end else begin
      if (piece_ready_o) active_q <= piece_valid_i;
      if (emit && last) held_valid_q <= 1'b0;
      else if (load) held_valid_q <= 1'b1;
      else if (emit && through) held_valid_q <= 1'b0;
    end
    if (piece_ready_o) begin
      header_q <= !plain_i;
      left_q   <= payload_i;
      lane_q   <= lane_i;
    end else if (emit) begin
      if (hdr_last_i) header_q <= 1'b0;
      left_q <= left_q - 14'(body);
      lane_q <= reach[2:0];
    end
    if (load) held_q <= data_i;
  end

  logic [1:0] waiting;
  fifo #(
    .Width(73),
    .Depth(2)
  ) u_out (
    .clk_i,
    .rst_ni,
    .flush_i,
    .data_i ({last, count_keep(head + body), data}),
    .valid_i(emit),
    .ready_o(out_ready),
    .data_o ({m_axis_tlast_o, m_axis_tkeep_o, m_axis_tdata_o}),
    .valid_o(m_axis_tvalid_o),
    .ready_i(m_axis_tready_i),
    .count_o(waiting)
  );

  assign busy_o = active_q || waiting != '0;

endmodule
