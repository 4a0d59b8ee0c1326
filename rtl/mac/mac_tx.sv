// Transmit MAC: a stream of frames to XGMII, with preamble, padding, FCS and inter-frame gap.
//
// Input: beats of a frame without FCS, all full but the last. tready depends on state only. Once a
// frame has begun tvalid must stay; if it does not, the frame is ended with error characters and a
// wrong FCS, the rest of it is swallowed, and stat_o.underrun tells.
// Output: registered; frames start in lane 0 or 4. Frames shorter than 60 bytes are padded with
// zeros. The gap between frames that wait for each other is 12 octets on average, 9 to 15 each,
// by a deficit idle count of at most 3 (IEEE 802.3 46.3.1.4); it counts from the last FCS octet to
// the next start, terminate included.
// busy_o = 0: the output is idle and has forgotten the last frame, so it does not matter how many
// idle cycles pass.
module mac_tx
  import nic_pkg::*;
  import xgmii_pkg::*;
(
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic [63:0]  s_axis_tdata_i,
  input  logic [7:0]   s_axis_tkeep_i,
  input  logic         s_axis_tvalid_i,
  input  logic         s_axis_tlast_i,
  output logic         s_axis_tready_o,

  output logic [63:0]  xgmii_txd_o,
  output logic [7:0]   xgmii_txc_o,

  output logic         busy_o,
  output mac_tx_stat_t stat_o
);

  // Index of the word that holds bytes 56 to 59, the last of the shortest frame (802.3 3.2.8).
  localparam logic [10:0] LastMinWord  = 11'd7;
  localparam logic [3:0]  LastMinBytes = 4'd4;

  typedef enum logic [2:0] {
    StIdle,   // waits for a frame; sends the preamble
    StData,   // takes one beat a cycle
    StPad,    // sends zeros up to 60 bytes
    StGap,    // one or two words between the last of a frame and the next preamble
    StDrain   // after an underrun: swallows the rest of the frame
  } state_e;

  //////////////////////////////////////////////////////
  // Stage 1: preamble, data, padding                 //
  //////////////////////////////////////////////////////

  state_e      state_q, state_d;
  logic [10:0] index_q;       // word of the frame that comes next
  logic        gap_more_q;    // the gap has a second word
  // Place of the next frame. The frame before decides it for a start without pause; a later start
  // is in lane 0 and owes nothing.
  logic        lane4_q;       // starts in lane 4
  logic [1:0]  deficit_q;     // octets by which earlier gaps fell short of 12

  logic        start, full, tail, underrun;
  logic [3:0]  bytes;         // octets of the frame in the tail word, 1..8
  logic [63:0] word;
  logic        short_frame;

  assign short_frame = index_q < LastMinWord;

  always_comb begin
    state_d  = state_q;
    start    = 1'b0;
    full     = 1'b0;
    tail     = 1'b0;
    underrun = 1'b0;
    bytes    = LastMinBytes;
    word     = '0;
    unique case (state_q)
      StIdle: begin
        if (s_axis_tvalid_i) begin
          start   = 1'b1;
          state_d = StData;
        end
      end
      StData: begin
        if (!s_axis_tvalid_i) begin
          underrun = 1'b1;
          tail     = 1'b1;
          state_d  = StDrain;
        end else if (!s_axis_tlast_i) begin
          full = 1'b1;
          word = s_axis_tdata_i;
        end else begin
          word = keep_bytes(s_axis_tdata_i, s_axis_tkeep_i);
          if (short_frame) begin
            full    = 1'b1;
            state_d = StPad;
          end else begin
            tail    = 1'b1;
            bytes   = count_bytes(s_axis_tkeep_i);
            if (index_q == LastMinWord && bytes < LastMinBytes) bytes = LastMinBytes;
            state_d = StGap;
          end
        end
      end
      StPad: begin
        full = short_frame;
        tail = !short_frame;
        if (tail) state_d = StGap;
      end
      StGap: begin
        if (!gap_more_q) state_d = StIdle;
      end
      default: begin  // StDrain
        if (s_axis_tvalid_i && s_axis_tlast_i) state_d = StGap;
      end
    endcase
  end

  assign s_axis_tready_o = state_q == StData || state_q == StDrain;

  // Gap. In units of four octets, from the word of the tail: the frame with its FCS ends at
  // lane4 + 1 + bytes / 4, with bytes % 4 octets more. Without these a gap of 12 fits. With them it
  // is rounded down, which adds them to the deficit, or up to the next start position, which takes
  // the rest to four away from it.
  logic [1:0] excess;
  logic [2:0] deficit_down;
  logic       round_up;
  logic [1:0] next_start;  // of the next frame, in units of four octets, beyond the shortest gap

  assign excess       = bytes[1:0];
  assign deficit_down = {1'b0, deficit_q} + {1'b0, excess};
  assign round_up     = deficit_down[2];
  assign next_start   = {1'b0, lane4_q} + bytes[3:2] + {1'b0, round_up};

  logic [63:0] word1_q;
  logic        start1_q, full1_q, tail1_q, bad1_q;
  logic        lane4_1_q;
  logic [3:0]  bytes1_q;

  always_ff @(posedge clk_i) begin
    if (start) lane4_1_q <= lane4_q;
    if (full || tail) word1_q <= word;
    if (tail) bytes1_q <= bytes;
    if (tail) bad1_q <= underrun;
    if (start) index_q <= '0;
    else if (full) index_q <= index_q + 11'd1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q    <= StIdle;
      lane4_q    <= 1'b0;
      deficit_q  <= '0;
      gap_more_q <= 1'b0;
      start1_q   <= 1'b0;
      full1_q    <= 1'b0;
      tail1_q    <= 1'b0;
    end else begin
      state_q  <= state_d;
      start1_q <= start;
      full1_q  <= full;
      tail1_q  <= tail;
      if (tail && !underrun) begin
        // deficit_down - 4 has the same two low bits.
        deficit_q  <= deficit_down[1:0];
        lane4_q    <= next_start[0];
        gap_more_q <= next_start[1];
      end else if (tail || (state_q == StIdle && !start)) begin
        deficit_q  <= '0;
        lane4_q    <= 1'b0;
        gap_more_q <= 1'b1;  // read in StGap only
      end else if (state_q == StGap) begin
        gap_more_q <= 1'b0;
      end
    end
  end

  function automatic logic [63:0] keep_bytes(logic [63:0] data, logic [7:0] keep);
    unique case (keep)
      8'h01:   return {56'd0, data[7:0]};
      8'h03:   return {48'd0, data[15:0]};
      8'h07:   return {40'd0, data[23:0]};
      8'h0f:   return {32'd0, data[31:0]};
      8'h1f:   return {24'd0, data[39:0]};
      8'h3f:   return {16'd0, data[47:0]};
      8'h7f:   return {8'd0, data[55:0]};
      default: return data;
    endcase
  endfunction

  function automatic logic [3:0] count_bytes(logic [7:0] keep);
    unique case (keep)
      8'h01:   return 4'd1;
      8'h03:   return 4'd2;
      8'h07:   return 4'd3;
      8'h0f:   return 4'd4;
      8'h1f:   return 4'd5;
      8'h3f:   return 4'd6;
      8'h7f:   return 4'd7;
      default: return 4'd8;
    endcase
  endfunction

  //////////////////////////////////////////////////////
  // Stage 2: CRC                                     //
  //////////////////////////////////////////////////////

  logic [31:0] crc;

  mac_crc32 u_crc32 (
    .clk_i,
    .rst_ni,
    .init_i       (start1_q),
    .word_i       (word1_q),
    .word_valid_i (full1_q),
    .tail_valid_i (tail1_q),
    .tail_bytes_i (bytes1_q),
    .crc_o        (crc)
  );

  logic [63:0] word2_q, word3_q;
  logic        start2_q, full2_q, tail2_q, start3_q, full3_q, tail3_q;

  always_ff @(posedge clk_i) begin
    if (full1_q || tail1_q) word2_q <= word1_q;
    if (full2_q || tail2_q) word3_q <= word2_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {start2_q, full2_q, tail2_q} <= '0;
      {start3_q, full3_q, tail3_q} <= '0;
    end else begin
      {start2_q, full2_q, tail2_q} <= {start1_q, full1_q, tail1_q};
      {start3_q, full3_q, tail3_q} <= {start2_q, full2_q, tail2_q};
    end
  end

  //////////////////////////////////////////////////////
  // Stage 3: FCS, terminate, start lane              //
  //////////////////////////////////////////////////////

  logic encode_busy;

  mac_tx_encode u_encode (
    .clk_i,
    .rst_ni,
    .start_i     (start3_q),
    .lane4_i     (lane4_1_q),
    .full_i      (full3_q),
    .tail_i      (tail3_q),
    .bytes_i     (bytes1_q),
    .bad_i       (bad1_q),
    .word_i      (word3_q),
    .crc_i       (crc),
    .xgmii_txd_o,
    .xgmii_txc_o,
    .busy_o      (encode_busy)
  );

  mac_tx_stat_t stat_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      stat_q <= '0;
    end else begin
      stat_q.sent     <= tail && !underrun;
      stat_q.underrun <= tail && underrun;
      if (tail) stat_q.bytes <= {index_q, 3'd0} + {10'd0, bytes};
    end
  end

  assign stat_o = stat_q;
  assign busy_o = state_q != StIdle || lane4_q || deficit_q != '0 || start1_q || full1_q || tail1_q
                || start2_q || full2_q || tail2_q || encode_busy;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && s_axis_tvalid_i && s_axis_tready_o && state_q == StData) begin
      assert (s_axis_tlast_i || s_axis_tkeep_i == 8'hff)
        else $fatal(1, "mac_tx: beat that is not full before the last");
      assert ((s_axis_tkeep_i & (s_axis_tkeep_i + 8'd1)) == '0 && s_axis_tkeep_i[0])
        else $fatal(1, "mac_tx: tkeep not contiguous from byte 0");
      assert (index_q < 11'd2047) else $fatal(1, "mac_tx: frame longer than 16383 bytes");
    end
  end
`endif

endmodule
