// MAC control sublayer, transmit side (IEEE 802.3 Annex 31B): holds frames back while the peer wants
// a pause, and tells the peer to pause.
//
// Frames go through in the same cycle. pause_i, a pulse with quanta_i, starts or replaces the pause:
// no frame begins for so many times 512 bit times (8 cycles), counted from that cycle; 0 ends it. A
// frame that has begun is completed (31B.3.2). The first frame behind a pause may be a cycle late.
// xoff_i: as long as it is set, the peer is to be quiet: a PAUSE with the longest time goes out
// between two frames, again when half of that time is over, and one with time 0 when xoff_i falls.
// These do not wait for a pause of ours (31B.3.1). sent_o pulses for each.
// cycle_i counts clock cycles, also those in which this clock stood; only flip-flops see it, because
// it changes in every cycle.
// busy_o = 0: no state changes before an input does. While xoff_i is set it stays 1.
module mac_pause_tx (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic [47:0] cycle_i,
  input  logic [47:0] station_i,       // source address, bits 7:0 = first octet on the wire

  input  logic        pause_i,
  input  logic [15:0] quanta_i,
  input  logic        xoff_i,

  input  logic [63:0] s_axis_tdata_i,
  input  logic [7:0]  s_axis_tkeep_i,
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_tlast_i,
  output logic        s_axis_tready_o,

  output logic [63:0] m_axis_tdata_o,
  output logic [7:0]  m_axis_tkeep_o,
  output logic        m_axis_tvalid_o,
  output logic        m_axis_tlast_o,
  input  logic        m_axis_tready_i,

  output logic        sent_o,
  output logic        busy_o
);

  import mac_control_pkg::*;

  localparam int unsigned QUANTUM = 3;           // log2 of cycles
  localparam logic [47:0] REFRESH = 48'd262140;  // cycles, half of the longest time

  typedef enum logic [1:0] {
    BETWEEN,
    FRAME,
    PAUSE
  } state_e;

  state_e      state_q;
  logic        paused_q;
  logic [47:0] until_q;
  logic        want_q;     // xoff_i: no path from the receiver's clock into that of frames
  logic        told_q;     // the peer's pause is on
  logic        again_q;    // and has to be renewed
  logic [47:0] refresh_q;
  logic [1:0]  word_q;     // of the PAUSE frame
  logic        xoff_q;     // what it says

  // A moment in time has come when it is at most half the counter's turn ago.
  function automatic logic is_over(input logic [47:0] moment, input logic [47:0] now);
    return (now - moment) < 48'h8000_0000_0000;
  endfunction

  wire tell = want_q != told_q || again_q;

  wire send_pause = state_q == PAUSE || (state_q == BETWEEN && tell);
  wire send_frame = state_q == FRAME || (state_q == BETWEEN && !tell && !paused_q && s_axis_tvalid_i);
  wire xoff       = state_q == PAUSE ? xoff_q : want_q;

  assign s_axis_tready_o = send_frame && m_axis_tready_i;
  assign m_axis_tvalid_o = send_pause || (send_frame && s_axis_tvalid_i);

  // 31B.1: destination, source, type, opcode, time; the MAC pads.
  always_comb begin
    m_axis_tdata_o = s_axis_tdata_i;
    m_axis_tkeep_o = s_axis_tkeep_i;
    m_axis_tlast_o = s_axis_tlast_i;
    if (send_pause) begin
      unique case (state_q == PAUSE ? word_q : 2'd0)
        2'd0:    m_axis_tdata_o = {station_i[15:0], PAUSE_ADDRESS};
        2'd1:    m_axis_tdata_o = {OPCODE_PAUSE, MAC_CONTROL, station_i[47:16]};
        default: m_axis_tdata_o = {48'd0, {16{xoff}}};
      endcase
      m_axis_tlast_o = state_q == PAUSE && word_q == 2'd2;
      m_axis_tkeep_o = m_axis_tlast_o ? 8'h03 : 8'hff;
    end
  end

  wire taken = m_axis_tvalid_o && m_axis_tready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q  <= BETWEEN;
      paused_q <= 1'b0;
      want_q   <= 1'b0;
      told_q   <= 1'b0;
      again_q  <= 1'b0;
      sent_o   <= 1'b0;
    end else begin
      want_q <= xoff_i;
      sent_o <= send_pause && taken && m_axis_tlast_o;
      if (taken && m_axis_tlast_o) state_q <= BETWEEN;
      else if (send_pause) state_q <= PAUSE;
      else if (send_frame) state_q <= FRAME;
      if (pause_i) paused_q <= quanta_i != '0;
      else if (paused_q && is_over(until_q, cycle_i)) paused_q <= 1'b0;
      if (state_q == BETWEEN && tell) begin
        told_q  <= want_q;
        again_q <= 1'b0;
      end else if (told_q && is_over(refresh_q, cycle_i)) begin
        again_q <= 1'b1;
      end
    end
    if (pause_i) until_q <= cycle_i + (48'(quanta_i) << QUANTUM);
    if (state_q == BETWEEN) begin
      word_q <= 2'(taken);
      xoff_q <= want_q;
      if (tell) refresh_q <= cycle_i + REFRESH;
    end else if (taken) begin
      word_q <= word_q + 2'd1;
    end
  end

  assign busy_o = state_q != BETWEEN || pause_i || xoff_i != want_q || tell || told_q || sent_o;

endmodule
