// Store for whole frames: a ring of 64-bit words in block RAM with commit and abort, and beside it
// a ring of one meta entry per frame.
//
// Write side (AXI4-Stream without tready, because a MAC cannot wait): all beats but the last are
// full, tkeep of the last one is contiguous from bit 0 and not zero. s_meta_i belongs to the beat
// with tlast. That beat commits the frame; with tuser it aborts it, and nothing of it is ever seen.
// A frame that finds no room (words or metas), or is longer than MAX_FRAME_WORDS, is aborted at
// once and the rest of it ignored; drop_o pulses in the cycle after its tlast (not when tuser was
// set too). A source that can wait may offer a beat only while ready_o = 1 and so never loses a
// frame that fits. free_words_o and free_metas_o are exact in the cycle in which they are read.
//
// Read side: two streams, both first-word-fall-through from registers, one item per cycle
// sustained, valid never depends on ready.
//   meta_*  one entry per committed frame, in order: its length in bytes, and what s_meta_i was
//   data_*  the words of committed frames, in order and without any mark between frames: a frame
//           has (meta_len_o + 7) / 8 words, and bytes beyond its length in the last one are
//           undefined
// They may be popped independently, but with FlushKeepsOpen a frame's meta must be popped before
// (or in the same cycle as) its first word. No word is shown before its frame's commit. Meta and
// first word become valid 2 cycles after tlast was offered. While words of committed frames are
// left, data_valid_o stays up: a frame can be sent without gaps.
//
// flush_i, one cycle: everything is forgotten; what is left of a frame that is being written is
// ignored until its tlast (without drop_o); a beat offered in that cycle is lost. With
// FlushKeepsOpen the words of a frame whose meta was popped before survive; in the flush's own cycle
// no meta may be popped.
//
// busy_o = 1: the state will change without any input (read-ahead, drop_o), so the clock must run.
module packet_fifo
  import axis_pkg::*;
#(
  parameter int unsigned Depth          = 2048,       // words of 64 bits, a power of two, >= 16
  parameter int unsigned MetaDepth      = Depth / 8,  // frames, a power of two, >= 2
  parameter int unsigned MetaWidth      = 1,          // bits
  parameter bit          FlushKeepsOpen = 1'b0,
  localparam int unsigned CountW     = $clog2(Depth) + 1,
  localparam int unsigned MetaCountW = $clog2(MetaDepth) + 1
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  flush_i,

  input  logic [63:0]           s_axis_tdata_i,
  input  logic [7:0]            s_axis_tkeep_i,
  input  logic                  s_axis_tvalid_i,
  input  logic                  s_axis_tlast_i,
  input  logic                  s_axis_tuser_i,  // with tlast: abort
  input  logic [MetaWidth-1:0]  s_meta_i,        // with tlast
  output logic                  ready_o,         // a beat offered now will be stored
  output logic [CountW-1:0]     free_words_o,    // 0..Depth
  output logic [MetaCountW-1:0] free_metas_o,    // 0..MetaDepth
  output logic                  drop_o,          // pulse: a frame found no room

  output logic                  meta_valid_o,
  output logic [13:0]           meta_len_o,      // bytes
  output logic [MetaWidth-1:0]  meta_data_o,
  input  logic                  meta_ready_i,

  output logic                  data_valid_o,
  output logic [63:0]           data_o,
  input  logic                  data_ready_i,

  output logic                  busy_o
);

  localparam int unsigned AddrW     = $clog2(Depth);
  localparam int unsigned MetaAddrW = $clog2(MetaDepth);

  // meta_len_o has 14 bits: 2047 full words are the longest frame that it can tell.
  localparam int unsigned MAX_FRAME_WORDS = (Depth < 2047) ? Depth : 2047;

  // Pointers are free-running with one bit more than the address.
  logic [CountW-1:0]     wptr_q;    // next word to write
  logic [CountW-1:0]     commit_q;  // end of the last committed frame
  logic [CountW-1:0]     rptr_q;    // next word to read from the RAM
  logic [MetaCountW-1:0] meta_wptr_q, meta_rptr_q;
  logic                  data_valid_q, meta_valid_q;
  logic                  ignore_q;    // swallow beats until tlast
  logic                  overflow_q;  // ignore_q because there was no room
  logic                  drop_q;

  wire [CountW-1:0]     used_words  = wptr_q - rptr_q;
  wire [MetaCountW-1:0] used_metas  = meta_wptr_q - meta_rptr_q;
  wire [CountW-1:0]     frame_words = wptr_q - commit_q;
  // Full: the pointers differ in the top bit only (a comparison is shorter than a subtraction).
  wire                  words_full  = (wptr_q ^ rptr_q) == CountW'(Depth);
  wire                  metas_full  = (meta_wptr_q ^ meta_rptr_q) == MetaCountW'(MetaDepth);

  assign ready_o      = !words_full && !metas_full;
  assign free_words_o = CountW'(Depth) - used_words;
  assign free_metas_o = MetaCountW'(MetaDepth) - used_metas;

  ////////////////
  // Write side //
  ////////////////

  wire abort  = s_axis_tlast_i && s_axis_tuser_i;
  wire room   = !words_full && !(metas_full && s_axis_tlast_i) &&
                frame_words != CountW'(MAX_FRAME_WORDS);
  wire store  = s_axis_tvalid_i && !ignore_q && room && !abort;
  wire commit = store && s_axis_tlast_i;

  wire [13:0] frame_len = 14'({frame_words, 3'b000}) + 14'(keep_count(s_axis_tkeep_i));

  ///////////////
  // Read side //
  ///////////////

  wire pop_data  = data_valid_q && data_ready_i;
  wire pop_meta  = meta_valid_q && meta_ready_i;
  // The RAM's output register is the first word: it is refilled when it is empty or being taken.
  wire read_data = rptr_q != commit_q && (!data_valid_q || data_ready_i);
  wire read_meta = meta_rptr_q != meta_wptr_q && (!meta_valid_q || meta_ready_i);

  // End of the last frame whose meta was popped: what a flush keeps.
  logic [CountW-1:0] open_end;
  // The read-ahead fetched the first word of a frame beyond that one.
  logic              ahead;

  if (FlushKeepsOpen) begin : gen_open_end
    logic [CountW-1:0] open_end_q;
    wire  [CountW-1:0] meta_words = CountW'((meta_len_o + 14'd7) >> 3);
    assign open_end = open_end_q;
    assign ahead    = rptr_q == (read_data ? open_end_q : open_end_q + CountW'(1));
    always_ff @(posedge clk_i) begin
      if (!rst_ni) open_end_q <= '0;
      else if (pop_meta) open_end_q <= open_end_q + meta_words;
    end
  end else begin : gen_no_open_end
    assign open_end = '0;
    assign ahead    = 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wptr_q       <= '0;
      commit_q     <= '0;
      rptr_q       <= '0;
      meta_wptr_q  <= '0;
      meta_rptr_q  <= '0;
      data_valid_q <= 1'b0;
      meta_valid_q <= 1'b0;
      ignore_q     <= 1'b0;
      overflow_q   <= 1'b0;
      drop_q       <= 1'b0;
    end else begin
      drop_q <= 1'b0;
      if (s_axis_tvalid_i) begin
        if (store) begin
          wptr_q <= wptr_q + CountW'(1);
          if (commit) begin
            commit_q    <= wptr_q + CountW'(1);
            meta_wptr_q <= meta_wptr_q + MetaCountW'(1);
          end
        end else begin
          wptr_q     <= commit_q;
          ignore_q   <= !s_axis_tlast_i;
          overflow_q <= !s_axis_tlast_i && (overflow_q || !ignore_q);
          drop_q     <= s_axis_tlast_i && !s_axis_tuser_i && (overflow_q || !ignore_q);
        end
      end

      if (read_data) begin
        rptr_q       <= rptr_q + CountW'(1);
        data_valid_q <= 1'b1;
      end else if (pop_data) begin
        data_valid_q <= 1'b0;
      end

      if (read_meta) begin
        meta_rptr_q  <= meta_rptr_q + MetaCountW'(1);
        meta_valid_q <= 1'b1;
      end else if (pop_meta) begin
        meta_valid_q <= 1'b0;
      end

      if (flush_i) begin
        wptr_q       <= open_end;
        commit_q     <= open_end;
        meta_wptr_q  <= '0;
        meta_rptr_q  <= '0;
        meta_valid_q <= 1'b0;
        drop_q       <= 1'b0;
        overflow_q   <= 1'b0;
        if (s_axis_tvalid_i) ignore_q <= !s_axis_tlast_i;
        else                 ignore_q <= ignore_q || frame_words != '0;
        if (ahead) begin
          rptr_q       <= open_end;
          data_valid_q <= 1'b0;
        end
      end
    end
  end

  ram_sdp #(
    .Width(64),
    .Depth(Depth)
  ) u_words (
    .clk_i,
    .we_i   (store),
    .waddr_i(wptr_q[AddrW-1:0]),
    .wdata_i(s_axis_tdata_i),
    .re_i   (read_data),
    .raddr_i(rptr_q[AddrW-1:0]),
    .rdata_o(data_o)
  );

  ram_sdp #(
    .Width(MetaWidth + 14),
    .Depth(MetaDepth)
  ) u_metas (
    .clk_i,
    .we_i   (commit),
    .waddr_i(meta_wptr_q[MetaAddrW-1:0]),
    .wdata_i({s_meta_i, frame_len}),
    .re_i   (read_meta),
    .raddr_i(meta_rptr_q[MetaAddrW-1:0]),
    .rdata_o({meta_data_o, meta_len_o})
  );

  assign data_valid_o = data_valid_q;
  assign meta_valid_o = meta_valid_q;
  assign drop_o       = drop_q;
  assign busy_o       = drop_q || (rptr_q != commit_q && !data_valid_q) ||
                        (meta_rptr_q != meta_wptr_q && !meta_valid_q);

`ifndef SYNTHESIS
  initial begin
    assert (Depth >= 16 && (Depth & (Depth - 1)) == 0)
    else $fatal(1, "packet_fifo: Depth must be a power of two, at least 16");
    assert (MetaDepth >= 2 && (MetaDepth & (MetaDepth - 1)) == 0)
    else $fatal(1, "packet_fifo: MetaDepth must be a power of two");
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      if (s_axis_tvalid_i && !abort) begin
        assert (s_axis_tlast_i ? s_axis_tkeep_i[0] : s_axis_tkeep_i == 8'hff)
        else $fatal(1, "packet_fifo: a beat that is neither full nor the last");
      end
      if (FlushKeepsOpen) begin
        assert (!(flush_i && pop_meta)) else $fatal(1, "packet_fifo: a meta popped by a flush");
      end
      assert (used_words <= CountW'(Depth) && used_metas <= MetaCountW'(MetaDepth))
      else $fatal(1, "packet_fifo: pointers out of step");
    end
  end
`endif

endmodule
