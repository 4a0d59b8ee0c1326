// Walks the headers of one IP packet and says which of its 16-bit words belong to which checksum.
//
// In: rx_l3_align's stream. Everything in an IP packet is aligned to 32 bits, so each word has two
// halves that belong to the transport checksum, to the IPv4 header checksum, to both or to none.
// Out, one cycle later: the sum of each half's two 16-bit lanes (bytes beyond the packet's length
// as zero) and the selections. Lane values are byte-swapped against network order, which a ones'
// complement sum does not mind (RFC 1071 2 B).
//
// ok_o, ipv4_o, protocol_o and l4_len_o speak of the whole packet and hold in the two cycles after
// rx_l3_align's end_o. ok_o: an unfragmented TCP or UDP packet that is complete in the frame, whose
// transport header is there and whose UDP length (RFC 768) equals what IP says; UDP without a
// checksum is not ok (IPv4: none was sent; IPv6: RFC 8200 8.1 forbids it). IPv6 extension headers
// that are followed: hop-by-hop (at the first place only), routing with no segments left (else the
// destination is not the pseudo-header's), destination options.
module rx_csum_parse
  import axis_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        valid_i,
  input  logic        first_i,
  input  logic        ipv6_i,
  input  logic [63:0] data_i,
  input  logic [3:0]  count_i,

  output logic        valid_o,
  output logic        first_o,
  output logic [16:0] sum_lo_o,   // lanes 0..3
  output logic [16:0] sum_hi_o,   // lanes 4..7
  output logic [1:0]  l4_sel_o,   // {hi, lo} in the transport checksum, with the addresses
  output logic [1:0]  hdr_sel_o,  // {hi, lo} in the IPv4 header checksum

  output logic        ok_o,
  output logic        ipv4_o,
  output logic [7:0]  protocol_o,
  output logic [15:0] l4_len_o    // bytes, transport header included
);

  localparam logic [7:0] IPPROTO_HOPOPTS = 8'd0;
  localparam logic [7:0] IPPROTO_TCP     = 8'd6;
  localparam logic [7:0] IPPROTO_UDP     = 8'd17;
  localparam logic [7:0] IPPROTO_ROUTING = 8'd43;
  localparam logic [7:0] IPPROTO_DSTOPTS = 8'd60;

  logic        ipv6_q;
  logic        bad_q;
  logic [2:0]  index_q;     // of the next word, stays at 6
  logic [16:0] left_q;      // bytes of the packet from the next word on
  logic [7:0]  hdr_left_q;  // IPv4: 32-bit words of the header; IPv6: 64-bit words of an extension
  logic [7:0]  protocol_q;
  logic [1:0]  l4_halves_q; // transport header halves seen, stays at 2
  logic [15:0] l4_len_q;
  logic [31:0] l4_second_q; // bytes 4..7 of the transport header

  // First word. RFC 791 3.1: version/IHL, TOS, total length, identification, flags and offset.
  wire [15:0] total_len = {data_i[23:16], data_i[31:24]};
  wire        fragment  = data_i[53:48] != 6'd0 || data_i[63:56] != 8'd0;
  // RFC 8200 3: version .. flow label, payload length, next header, hop limit.
  wire [15:0] payload_len = {data_i[39:32], data_i[47:40]};

  // Later words.
  wire whole = left_q >= 17'd8;
  wire [63:0] data = (first_i || whole) ? data_i : data_i & byte_mask(count_keep(left_q[3:0]));
  wire is_ext = protocol_q == IPPROTO_ROUTING || protocol_q == IPPROTO_DSTOPTS ||
                (protocol_q == IPPROTO_HOPOPTS && index_q == 3'd5);
  wire in_l4  = ipv6_q ? index_q >= 3'd5 && hdr_left_q == 8'd0 && !is_ext : hdr_left_q == 8'd0;
  wire hi_l4  = ipv6_q ? in_l4 : hdr_left_q <= 8'd1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_o <= 1'b0;
    end else begin
      valid_o <= valid_i && (first_i || left_q != 17'd0);
    end

    if (valid_i && first_i) begin
      ipv6_q      <= ipv6_i;
      index_q     <= 3'd1;
      l4_halves_q <= 2'd0;
      l4_sel_o    <= 2'b00;
      if (ipv6_i) begin
        bad_q      <= data_i[7:4] != 4'd6;
        left_q     <= 17'(payload_len) + 17'd32;
        hdr_left_q <= 8'd0;
        protocol_q <= data_i[55:48];
        hdr_sel_o  <= 2'b00;
      end else begin
        bad_q      <= data_i[7:4] != 4'd4 || data_i[3:0] < 4'd5 || fragment;
        left_q     <= (total_len > 16'd8) ? 17'(total_len) - 17'd8 : 17'd0;
        hdr_left_q <= 8'(data_i[3:0]) - 8'd2;
        hdr_sel_o  <= 2'b11;
      end
    end else if (valid_i && left_q != 17'd0) begin
      left_q <= whole ? left_q - 17'd8 : 17'd0;
      if (index_q != 3'd6) index_q <= index_q + 3'd1;
      // The frame ends before the packet does.
      if (count_i != 4'd8 && 17'(count_i) < left_q) bad_q <= 1'b1;

      if (ipv6_q) begin
        hdr_sel_o <= 2'b00;
        // Words 1..4 are the addresses, which is just what the pseudo-header has of them.
        l4_sel_o  <= (index_q < 3'd5 || in_l4) ? 2'b11 : 2'b00;
        if (index_q >= 3'd5 && !in_l4) begin
          if (hdr_left_q != 8'd0) begin
            hdr_left_q <= hdr_left_q - 8'd1;
          end else begin
            protocol_q <= data_i[7:0];
            hdr_left_q <= data_i[15:8];
            // RFC 8200 4.4: Segments Left
            if (protocol_q == IPPROTO_ROUTING && data_i[31:24] != 8'd0) bad_q <= 1'b1;
          end
        end
      end else begin
        if (index_q == 3'd1) protocol_q <= data_i[15:8];
        hdr_sel_o  <= {hdr_left_q > 8'd1, hdr_left_q != 8'd0};
        // Source address in the upper half of word 1, destination in the lower half of word 2.
        l4_sel_o   <= {index_q == 3'd1 || hi_l4, index_q == 3'd2 || in_l4};
        hdr_left_q <= hi_l4 ? 8'd0 : hdr_left_q - 8'd2;
      end

      if (hi_l4 && l4_halves_q != 2'd2) begin
        l4_halves_q <= in_l4 ? 2'd2 : 2'd1;
        l4_second_q <= (l4_halves_q == 2'd1) ? data[31:0] : data[63:32];
        // With less than 4 bytes left this wraps, but then a second half never comes.
        if (l4_halves_q == 2'd0) l4_len_q <= left_q[15:0] - (in_l4 ? 16'd0 : 16'd4);
      end
    end

    if (valid_i && (first_i || left_q != 17'd0)) begin
      first_o  <= first_i;
      sum_lo_o <= 17'(data[15:0]) + 17'(data[31:16]);
      sum_hi_o <= 17'(data[47:32]) + 17'(data[63:48]);
    end
  end

  wire tcp = protocol_q == IPPROTO_TCP && l4_len_q >= 16'd20;
  wire udp = protocol_q == IPPROTO_UDP && l4_len_q >= 16'd8 && l4_second_q[31:16] != 16'd0 &&
             {l4_second_q[7:0], l4_second_q[15:8]} == l4_len_q;

  assign ok_o       = !bad_q && left_q == 17'd0 && l4_halves_q == 2'd2 && (tcp || udp);
  assign ipv4_o     = !ipv6_q;
  assign protocol_o = protocol_q;
  assign l4_len_o   = l4_len_q;

endmodule
