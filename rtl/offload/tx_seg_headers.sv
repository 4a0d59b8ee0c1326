// Makes the headers of each segment out of those of the super-frame.
//
// For a segment: words of struct virtio_net_hdr (NEEDS_CSUM, gso_type NONE) and the headers, one per
// cycle, the last one marked and filled up with garbage. Changed are IPv4 total length,
// identification and header checksum or IPv6 payload length; TCP sequence number and flags or UDP
// length; and the transport checksum field, which gets the pseudo-header's sum (virtio 1.2,
// 5.1.6.2). piece_o goes ahead: what the words belong to. Pieces with none set end here; a slot is
// given back (done_o) when nothing more will be read of its headers.
module tx_seg_headers
  import tx_seg_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        flush_i,

  input  seg_t        seg_i,
  input  logic        seg_valid_i,
  output logic        seg_ready_o,
  output logic        done_o,       // pulse

  // Header memory, registered read
  output logic        hdr_re_o,
  output slot_id_t    hdr_slot_o,
  output logic [5:0]  hdr_word_o,
  input  logic [63:0] hdr_data_i,

  output logic [13:0] payload_o,    // bytes
  output logic [2:0]  lane_o,       // of the first one in the first word of the ring
  output logic        plain_o,      // no header words
  output logic        piece_valid_o,
  input  logic        piece_ready_i,

  output logic [63:0] data_o,
  output logic [2:0]  rest_o,       // bytes in the last word, 0: all 8
  output logic        last_o,
  output logic        valid_o,
  input  logic        ready_i,

  output logic        busy_o
);

  import virtio_pkg::*;

  localparam logic [15:0] OFFSET_TCP = 16'd16;
  localparam logic [15:0] OFFSET_UDP = 16'd6;

  seg_t       seg_q;
  logic       active_q, read_q;
  logic [5:0] next_q, word_q;  // to be read, being read
  logic [2:0] waiting;
  logic       piece_room;

  wire [5:0] last_word = 6'((seg_q.headers - 9'd1) >> 3);
  wire       read      = active_q && waiting + 3'(read_q) < 3'd4;
  wire       finish    = read && next_q == last_word;
  wire       take      = seg_valid_i && seg_ready_o;

  // Gives its slot back at once; not together with the one before, as there is one pulse for it.
  wire       at_once   = seg_i.done && (seg_i.none || seg_i.plain);

  assign seg_ready_o = (!active_q || (finish && !at_once)) && piece_room;
  assign hdr_re_o    = read;
  assign hdr_slot_o  = seg_q.slot;
  assign hdr_word_o  = next_q;
  // The headers of a segment are read before those of the next frame are written over them: a slot
  // that is given back in this cycle is written in the next one at the earliest.
  assign done_o      = finish ? seg_q.done : take && at_once;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      active_q <= 1'b0;
      read_q   <= 1'b0;
    end else begin
      read_q <= read;
      if (take) active_q <= !seg_i.none && !seg_i.plain;
      else if (finish) active_q <= 1'b0;
    end
    if (take) begin
      seg_q  <= seg_i;
      next_q <= '0;
    end else if (read) begin
      next_q <= next_q + 6'd1;
    end
    if (read) word_q <= next_q;
  end

  //////////////////////////////////////////////////
  // Changed fields, one cycle behind the address //
  //////////////////////////////////////////////////

  /* verilator lint_off UNUSEDSIGNAL */
  seg_t s_q;       // of the word that is being changed
  /* verilator lint_on UNUSEDSIGNAL */
  logic last_q;
  always_ff @(posedge clk_i) begin
    if (read) begin
      s_q    <= seg_q;
      last_q <= next_q == last_word;
    end
  end

  function automatic logic [15:0] network(input logic [15:0] value);
    return {value[7:0], value[15:8]};
  endfunction

  logic [63:0] word;
  always_comb begin
    word = hdr_data_i;
    for (int unsigned i = 0; i < 4; i++) begin
      // Fields are at even positions.
      automatic logic [7:0]  at    = {word_q, 2'(i)};
      automatic logic [15:0] field = hdr_data_i[16*i +: 16];
      if (at == s_q.l3[8:1] + (s_q.ipv6 ? 8'd2 : 8'd1)) field = network(s_q.ip_len);
      if (!s_q.ipv6) begin
        if (at == s_q.l3[8:1] + 8'd2) field = network(s_q.id);
        if (at == s_q.l3[8:1] + 8'd5) field = network(s_q.ip_csum);
      end
      if (s_q.udp) begin
        if (at == s_q.l4[8:1] + 8'd2) field = network(s_q.l4_len);
        if (at == s_q.l4[8:1] + 8'd3) field = network(s_q.pseudo);
      end else begin
        if (at == s_q.l4[8:1] + 8'd2) field = network(s_q.seq[31:16]);
        if (at == s_q.l4[8:1] + 8'd3) field = network(s_q.seq[15:0]);
        if (at == s_q.l4[8:1] + 8'd6) field = network(s_q.flags);
        if (at == s_q.l4[8:1] + 8'd8) field = network(s_q.pseudo);
      end
      word[16*i +: 16] = field;
    end
    if (word_q == 6'd0) begin
      word = {16'(s_q.l4) - 16'(NET_HDR), 16'd0, 16'd0, 1'b0, NET_HDR_GSO_NONE,
              8'(1 << NET_HDR_F_NEEDS_CSUM)};
    end else if (word_q == 6'd1) begin
      word[31:0] = {16'd0, s_q.udp ? OFFSET_UDP : OFFSET_TCP};
    end
  end

  logic unused_ready;
  fifo #(
    .Width(68),
    .Depth(4)
  ) u_words (
    .clk_i,
    .rst_ni,
    .flush_i,
    .data_i ({last_q, s_q.headers[2:0], word}),
    .valid_i(read_q),
    .ready_o(unused_ready),  // room was there when the read began
    .data_o ({last_o, rest_o, data_o}),
    .valid_o,
    .ready_i,
    .count_o(waiting)
  );

  /* verilator lint_off UNUSEDSIGNAL */
  logic [1:0] pieces;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width(18),
    .Depth(2)
  ) u_pieces (
    .clk_i,
    .rst_ni,
    .flush_i,
    .data_i ({seg_i.plain, seg_i.lane, seg_i.payload}),
    .valid_i(take && !seg_i.none),
    .ready_o(piece_room),
    .data_o ({plain_o, lane_o, payload_o}),
    .valid_o(piece_valid_o),
    .ready_i(piece_ready_i),
    .count_o(pieces)
  );

  assign busy_o = active_q || read_q || valid_o || piece_valid_o;

endmodule
