// A device reset and what was received before it: the next driver, who may have negotiated other
// features, is told nothing of it.
//
// reset_i (pulse; the queues are off already) empties the receive store at once (flush_o), and a frame
// that is on its way into it is not stored. A frame whose meta has left the store comes out: until
// drained_i says that there is none any more, hold_o keeps what came later in the store, and off_o
// the queues off, so that rx_dma drops it. That takes as long as the longest group of coalesced
// frames has words. What was in the store is counted here, a frame a cycle (disabled_o), in cycles in
// which rx_dma counts none (disabled_i).
// busy_o = 1: the clock must run, as it must with reset_i and when drained_i changes.
module rx_purge #(
  parameter int unsigned MaxFrames = 256,  // in the store, besides the one at its output
  localparam int unsigned CountW   = $clog2(MaxFrames) + 1
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              reset_i,

  // What goes into the store
  input  logic              s_axis_tvalid_i,
  input  logic              s_axis_tlast_i,
  input  logic              s_axis_tuser_i,  // with tlast: dropped and counted elsewhere
  input  logic [CountW-1:0] free_frames_i,   // packet_fifo's free_metas_o and meta_valid_o
  input  logic              frame_valid_i,

  output logic              flush_o,
  output logic              hold_o,
  output logic              off_o,
  input  logic              drained_i,       // no frame between the store and its buffers or its end

  input  logic              disabled_i,      // pulses
  output logic              disabled_o,
  output logic              busy_o
);

  logic            inside_q;  // in the middle of a frame into the store
  logic            cut_q;     // of one that a reset does not let in
  logic [CountW:0] owed_q;    // dropped frames that are not counted yet

  wire             ends = s_axis_tvalid_i && s_axis_tlast_i;
  // Of which the reset keeps the end, or all the rest, out of the store, and that is good.
  wire             lost = ends && !s_axis_tuser_i && (reset_i || cut_q);
  wire [CountW:0]  held = (CountW + 1)'(MaxFrames) - {1'b0, free_frames_i} +
                          (CountW + 1)'(frame_valid_i);

  assign flush_o    = reset_i;
  assign hold_o     = reset_i || off_o;
  assign disabled_o = owed_q != '0 && !disabled_i;
  assign busy_o     = owed_q != '0 || (off_o && drained_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      inside_q <= 1'b0;
      cut_q    <= 1'b0;
      off_o    <= 1'b0;
      owed_q   <= '0;
    end else begin
      if (s_axis_tvalid_i) inside_q <= !s_axis_tlast_i;
      if (reset_i) cut_q <= s_axis_tvalid_i ? !s_axis_tlast_i : inside_q;
      else if (ends) cut_q <= 1'b0;
      if (reset_i) off_o <= 1'b1;
      else if (drained_i) off_o <= 1'b0;
      if (reset_i || lost || disabled_o) begin
        owed_q <= owed_q + (reset_i ? held : '0) + (CountW + 1)'(lost) - (CountW + 1)'(disabled_o);
      end
    end
  end

endmodule
