// Cuts the IPv4 or IPv6 packet out of an Ethernet frame and shifts it so that its first byte is
// lane 0: no tag, or one or two VLAN tags (IEEE 802.1Q: TPID 0x8100 or 0x88a8).
//
// In: the receive stream without tready (gaps allowed). Out, one cycle later: the packet in words
// of 8 bytes with everything that follows it in the frame (Ethernet padding). A word that the last
// beat does not complete follows one cycle after it, in the slot of the next frame's first beat,
// which never holds any of a packet. end_o: two cycles after the frame's last beat, so never before
// the last word; only for frames that had a first word. The next first_o comes 2 cycles after it at
// the earliest.
module rx_l3_align
  import axis_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,

  output logic        valid_o,
  output logic        first_o,
  output logic        ipv6_o,   // with valid_o
  output logic [63:0] data_o,   // bytes beyond count_o are undefined
  output logic [3:0]  count_o,  // bytes, 1..8
  output logic        end_o
);

  // EtherTypes as they lie in the lanes: first octet in the low byte.
  localparam logic [15:0] ETH_P_IP     = 16'h0008;
  localparam logic [15:0] ETH_P_IPV6   = 16'hdd86;
  localparam logic [15:0] ETH_P_8021Q  = 16'h0081;
  localparam logic [15:0] ETH_P_8021AD = 16'ha888;

  function automatic logic is_ip(input logic [15:0] ethertype);
    return ethertype == ETH_P_IP || ethertype == ETH_P_IPV6;
  endfunction

  function automatic logic is_vlan(input logic [15:0] ethertype);
    return ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD;
  endfunction

  logic [1:0]  beat_q;    // index of the next beat, stays at 3
  logic        tagged_q;  // outer type was a VLAN's: decide in beat 2
  logic        ip_q;      // this frame carries a packet
  logic        ipv6_q;
  logic        odd_q;     // one tag: the packet begins in lane 2, else in lane 6
  logic        start_q;   // the next word is the first
  logic        flush_q;   // bytes of the last beat are left
  logic [3:0]  flush_count_q;
  logic        last_q;
  logic [47:0] prev_q;    // lanes 2..7 of the beat before

  wire [15:0] outer = s_axis_tdata_i[47:32];  // beat 1: bytes 12, 13
  wire [15:0] inner = s_axis_tdata_i[15:0];   // beat 2: bytes 16, 17
  wire [15:0] third = s_axis_tdata_i[47:32];  // beat 2: bytes 20, 21

  // Lanes of this beat that complete a word begun by the one before.
  wire [3:0]  need  = odd_q ? 4'd2 : 4'd6;
  wire [3:0]  bytes = s_axis_tlast_i ? keep_count(s_axis_tkeep_i) : 4'd8;
  wire        emit  = s_axis_tvalid_i && beat_q[1] && ip_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_q  <= 2'd0;
      ip_q    <= 1'b0;
      flush_q <= 1'b0;
      last_q  <= 1'b0;
      valid_o <= 1'b0;
      end_o   <= 1'b0;
    end else begin
      flush_q <= 1'b0;
      last_q  <= s_axis_tvalid_i && s_axis_tlast_i;
      valid_o <= emit || flush_q;
      // ip_q still is the ended frame's; a frame that ended before its first word has start_q set.
      end_o   <= last_q && ip_q && !start_q;

      if (s_axis_tvalid_i) begin
        beat_q <= s_axis_tlast_i ? 2'd0 : (beat_q == 2'd3) ? 2'd3 : beat_q + 2'd1;
        unique case (beat_q)
          2'd0: ip_q <= 1'b0;
          2'd1: begin
            ip_q     <= is_ip(outer);
            ipv6_q   <= outer == ETH_P_IPV6;
            tagged_q <= is_vlan(outer);
            odd_q    <= 1'b0;
            start_q  <= 1'b1;
          end
          2'd2: begin
            tagged_q <= 1'b0;
            if (tagged_q) begin
              ip_q   <= is_ip(inner) || (is_vlan(inner) && is_ip(third));
              ipv6_q <= inner == ETH_P_IPV6 || (is_vlan(inner) && third == ETH_P_IPV6);
              odd_q  <= is_ip(inner);
            end
          end
          default: ;
        endcase
        if (emit) begin
          start_q       <= 1'b0;
          flush_q       <= s_axis_tlast_i && bytes > need;
          flush_count_q <= bytes - need;
        end
      end
    end

    if (s_axis_tvalid_i) prev_q <= s_axis_tdata_i[63:16];
    if (emit || flush_q) begin
      data_o  <= odd_q ? {s_axis_tdata_i[15:0], prev_q} : {s_axis_tdata_i[47:0], prev_q[47:32]};
      count_o <= flush_q ? flush_count_q : (bytes >= need) ? 4'd8 : bytes + 4'd8 - need;
      first_o <= start_q;
      ipv6_o  <= ipv6_q;
    end
  end

endmodule
