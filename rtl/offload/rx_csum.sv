// Verifies TCP and UDP checksums of received frames (virtio 1.2, 5.1.6.4:
// VIRTIO_NET_HDR_F_DATA_VALID).
//
// The stream passes unaltered with a latency of LATENCY cycles, gaps included; there is no tready.
// csum_valid_o, valid with m_axis_tlast_o: 1 = the frame holds a whole TCP or UDP packet over IPv4
// or IPv6, its transport checksum is there and correct, and so is the IPv4 header's (RFC 1071, 791,
// 9293, 768, 8200 8.1). 0 says nothing more than that this device did not verify it: what is looked
// through (VLAN tags, options, extension headers) stands in rx_l3_align and rx_csum_parse.
// s_axis_tuser_i (with tlast: drop this frame) is carried along and not looked at.
// l3_*: rx_l3_align's stream, for others that look into the packet.
// busy_o: a beat or a verdict is on its way through.
module rx_csum (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  input  logic        s_axis_tuser_i,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  output logic        m_axis_tuser_o,
  output logic        csum_valid_o,

  output logic        l3_valid_o,
  output logic        l3_first_o,
  output logic        l3_ipv6_o,
  output logic [63:0] l3_data_o,
  output logic [3:0]  l3_count_o,
  output logic        l3_end_o,

  output logic        busy_o
);

  // Cycles: one more than the verdict below takes, for others who take l3_* into registers first.
  localparam int unsigned LATENCY = 8;

  ////////////////
  // Delay line //
  ////////////////

  // A small ring instead of a shift register: one write and one read per beat.
  logic [63:0]        delay_data [8];
  logic [9:0]         delay_ctrl [8];  // {tuser, tlast, tkeep}
  logic [2:0]         wptr_q, rptr_q;
  logic [LATENCY-1:0] valid_q;         // bit i: a beat came i + 1 cycles ago

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wptr_q  <= '0;
      rptr_q  <= '0;
      valid_q <= '0;
    end else begin
      valid_q <= {valid_q[LATENCY-2:0], s_axis_tvalid_i};
      if (s_axis_tvalid_i) wptr_q <= wptr_q + 3'd1;
      if (valid_q[LATENCY-2]) rptr_q <= rptr_q + 3'd1;
    end
    if (s_axis_tvalid_i) begin
      delay_data[wptr_q] <= s_axis_tdata_i;
      delay_ctrl[wptr_q] <= {s_axis_tuser_i, s_axis_tlast_i, s_axis_tkeep_i};
    end
    if (valid_q[LATENCY-2]) begin
      m_axis_tdata_o <= delay_data[rptr_q];
      {m_axis_tuser_o, m_axis_tlast_o, m_axis_tkeep_o} <= delay_ctrl[rptr_q];
    end
  end

  assign m_axis_tvalid_o = valid_q[LATENCY-1];
  assign busy_o          = valid_q != '0;

  //////////////////////////////////
  // Cycle 1, 2: align and parse  //
  //////////////////////////////////

  logic        l3_valid, l3_first, l3_ipv6, l3_end;
  logic [63:0] l3_data;
  logic [3:0]  l3_count;

  rx_l3_align u_align (
    .clk_i,
    .rst_ni,
    .s_axis_tdata_i,
    .s_axis_tkeep_i,
    .s_axis_tvalid_i,
    .s_axis_tlast_i,
    .valid_o(l3_valid),
    .first_o(l3_first),
    .ipv6_o (l3_ipv6),
    .data_o (l3_data),
    .count_o(l3_count),
    .end_o  (l3_end)
  );

  assign l3_valid_o = l3_valid;
  assign l3_first_o = l3_first;
  assign l3_ipv6_o  = l3_ipv6;
  assign l3_data_o  = l3_data;
  assign l3_count_o = l3_count;
  assign l3_end_o   = l3_end;

  logic        word_valid, word_first;
  logic [16:0] sum_lo, sum_hi;
  logic [1:0]  l4_sel, hdr_sel;
  logic        packet_ok, packet_ipv4;
  logic [7:0]  protocol;
  logic [15:0] l4_len;

  rx_csum_parse u_parse (
    .clk_i,
    .rst_ni,
    .valid_i   (l3_valid),
    .first_i   (l3_first),
    .ipv6_i    (l3_ipv6),
    .data_i    (l3_data),
    .count_i   (l3_count),
    .valid_o   (word_valid),
    .first_o   (word_first),
    .sum_lo_o  (sum_lo),
    .sum_hi_o  (sum_hi),
    .l4_sel_o  (l4_sel),
    .hdr_sel_o (hdr_sel),
    .ok_o      (packet_ok),
    .ipv4_o    (packet_ipv4),
    .protocol_o(protocol),
    .l4_len_o  (l4_len)
  );

  /////////////////////////
  // Cycle 3: accumulate //
  /////////////////////////

  // 64 KiB are 32,768 16-bit words: 31 bits hold every sum without folding. An IPv4 header has 30.
  logic [30:0] l4_acc_q;
  logic [20:0] hdr_acc_q;

  wire [16:0] l4_lo  = l4_sel[0] ? sum_lo : 17'd0;
  wire [16:0] l4_hi  = l4_sel[1] ? sum_hi : 17'd0;
  wire [16:0] hdr_hi = hdr_sel[1] ? sum_hi : 17'd0;

  always_ff @(posedge clk_i) begin
    if (word_valid) begin
      l4_acc_q <= (word_first ? 31'd0 : l4_acc_q) + 31'(l4_lo) + 31'(l4_hi);
      if (hdr_sel[0]) begin
        hdr_acc_q <= (word_first ? 21'd0 : hdr_acc_q) + 21'(sum_lo) + 21'(hdr_hi);
      end
    end
  end

  //////////////////////////
  // Cycles 4..6: verdict //
  //////////////////////////

  logic        end1_q, end2_q, end3_q, end4_q;
  logic [16:0] l4_fold_q, hdr_fold_q, pseudo_q;
  logic [17:0] l4_sum_q;
  logic        ok_q, ipv4_q, hdr_ok_q, verified_q;

  // Folded to 16 bits, a sum over data and its checksum is all ones (RFC 1071 1); all zeros cannot
  // be, as protocol and version numbers are in the sums.
  wire [16:0] l4_fold2  = 17'(l4_sum_q[15:0]) + 17'(l4_sum_q[17:16]);
  wire [15:0] hdr_fold2 = hdr_fold_q[15:0] + 16'(hdr_fold_q[16]);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {end1_q, end2_q, end3_q, end4_q} <= '0;
      verified_q                       <= 1'b0;
      csum_valid_o                     <= 1'b0;
    end else begin
      end1_q       <= l3_end;
      end2_q       <= end1_q;
      end3_q       <= end2_q;
      end4_q       <= end3_q;
      verified_q   <= end4_q && ok_q && hdr_ok_q && l4_fold2 == 17'h0_ffff;
      csum_valid_o <= verified_q;
    end
    if (end2_q) begin
      l4_fold_q  <= 17'(l4_acc_q[15:0]) + 17'(l4_acc_q[30:16]);
      hdr_fold_q <= 17'(hdr_acc_q[15:0]) + 17'(hdr_acc_q[20:16]);
      // What the pseudo-header has besides the addresses, in lane order like the sums.
      pseudo_q   <= 17'({l4_len[7:0], l4_len[15:8]}) + 17'({protocol, 8'h00});
      ok_q       <= packet_ok;
      ipv4_q     <= packet_ipv4;
    end
    if (end3_q) begin
      l4_sum_q <= 18'(l4_fold_q) + 18'(pseudo_q);
      hdr_ok_q <= !ipv4_q || hdr_fold2 == 16'hffff;
    end
  end

endmodule
