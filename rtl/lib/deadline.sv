// Deadlines of blocks that sleep: finds the earliest of N, wakes whose time has come, and tells the
// outside for how long the clock may stand.
//
// cycle_i counts clock cycles, also those in which the device's clock stood; it wraps after 2^48.
// set_i[n], one cycle: client n wants to be woken at deadline_i[n], at most 2^47 - 1 cycles ahead; a
// deadline that it had is replaced. clear_i[n], one cycle: it does not any more; set_i wins.
// due_o[n] pulses once, not before the deadline and at most 2^SlotW + 1 cycles behind it: client n is
// looked at in each cycle whose number is n modulo 2^SlotW, so that the moment does not depend on how
// long the clock stood. A deadline that has passed already is due at the next look. A pulse may still come in the
// cycle after a clear or a replacement.
// timer_o: for so many cycles from now on nothing happens here, saturating; all ones when nothing is
// armed. busy_o = 1: state changes in the next cycle. The block sleeps while nothing is armed.
module deadline #(
  parameter int unsigned N = 2
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic [47:0]        cycle_i,

  input  logic [N-1:0]       set_i,
  input  logic [N-1:0][47:0] deadline_i,
  input  logic [N-1:0]       clear_i,
  output logic [N-1:0]       due_o,

  output logic [31:0]        timer_o,
  output logic               busy_o
);

  localparam int unsigned SlotW = N > 1 ? $clog2(N) : 1;

  logic [N-1:0] armed_q;
  logic [47:0]  deadline_q [N];
  logic         found_q;     // earliest_q is that of armed_q
  logic [47:0]  earliest_q;
  logic [47:0]  now_q;       // the newest edge's cycle_i

  logic clk;
  wire  change = set_i != '0 || (clear_i & armed_q) != '0;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || change || armed_q != '0 || due_o != '0),
    .clk_o(clk)
  );

  wire [47:0] to_go = earliest_q - now_q;
  always_comb begin
    if (armed_q == '0) timer_o = '1;
    else if (!found_q || to_go[47] || to_go == '0) timer_o = '0;
    else if (to_go > 48'hffff_ffff) timer_o = 32'hffff_fffe;
    else timer_o = to_go[31:0] - 32'd1;
  end
  assign busy_o = change || due_o != '0 || (armed_q != '0 && timer_o == '0);

  always_ff @(posedge clk) begin
    automatic logic [SlotW-1:0] slot = N > 1 ? cycle_i[SlotW-1:0] : '0;
    now_q <= cycle_i;
    if (!rst_ni) begin
      armed_q <= '0;
      found_q <= 1'b0;
      due_o   <= '0;
    end else begin
      due_o <= '0;
      if (armed_q != '0 && !found_q) begin
        automatic logic        any = 1'b0;
        automatic logic [47:0] best = '0;
        for (int unsigned n = 0; n < N; n++) begin
          if (armed_q[n] && (!any || $signed(deadline_q[n] - best) < 0)) begin
            any  = 1'b1;
            best = deadline_q[n];
          end
        end
        earliest_q <= best;
        found_q    <= 1'b1;
      end
      if (32'(slot) < N && armed_q[slot] && $signed(cycle_i - deadline_q[slot]) >= 0) begin
        due_o[slot]   <= 1'b1;
        armed_q[slot] <= 1'b0;
        found_q       <= 1'b0;
      end
      for (int unsigned n = 0; n < N; n++) begin
        if (set_i[n]) begin
          armed_q[n]    <= 1'b1;
          deadline_q[n] <= deadline_i[n];
        end else if (clear_i[n]) begin
          armed_q[n] <= 1'b0;
        end
      end
      if (change) found_q <= 1'b0;
    end
  end

endmodule
