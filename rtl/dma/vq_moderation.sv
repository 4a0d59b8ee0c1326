// Notification moderation of one virtqueue (virtio 5.1.6.5.8, VIRTIO_NET_F_NOTF_COAL): when the driver
// is to be asked whether it wants to know.
//
// packets_i: packets whose used descriptors are written in this cycle. hold_o = 1: not yet. It falls
// when max_packets have come since the last look, or max_usecs after the first of them, and is 0 while
// either limit is 0. look_i, one cycle: a look begins and takes all packets so far, packets_i of its own
// cycle not included. New limits count at once, also for packets that wait.
// The timer is one client of deadline.sv: timer_set_o with timer_deadline_o, timer_clear_o, due_i; a
// pulse that belongs to a deadline of before is told from a true one by the time. cycle_i as there.
// The timer's outputs come a cycle late, from registers: nothing hangs on cycle_i in between, which
// changes in every cycle.
// enable_i = 0: everything is forgotten. busy_o = 1: state changes without an input.
module vq_moderation
  import nic_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        enable_i,

  input  coal_cfg_t   coal_i,
  input  logic [47:0] cycle_i,
  input  logic [15:0] packets_i,
  input  logic        look_i,
  output logic        hold_o,

  output logic        timer_set_o,
  output logic [47:0] timer_deadline_o,
  output logic        timer_clear_o,
  input  logic        due_i,

  output logic        busy_o
);

  // 156.25 cycles are a microsecond.
  localparam int unsigned CYCLES_PER_4_USECS = 625;

  logic [31:0] packets_q;   // since the last look, saturating
  logic        armed_q;     // a deadline is set
  logic [31:0] usecs_q;     // the limit that it was made from
  logic [47:0] first_q;     // when the first packet came
  logic        expired_q;

  wire  moderated = coal_i.max_packets != '0 && coal_i.max_usecs != '0;
  assign hold_o = moderated && packets_q < coal_i.max_packets && !expired_q;

  wire [32:0] sum   = (look_i ? 33'd0 : {1'b0, packets_q}) + 33'(packets_i);
  wire        first = packets_i != '0 && (look_i || packets_q == '0);
  // Limits that changed while packets wait.
  wire        again = moderated && packets_q != '0 && !expired_q && !look_i &&
                      (!armed_q || usecs_q != coal_i.max_usecs);

  /* verilator lint_off UNUSEDSIGNAL */
  wire [41:0] quarters = coal_i.max_usecs * 42'(CYCLES_PER_4_USECS);
  /* verilator lint_on UNUSEDSIGNAL */
  wire  set    = enable_i && ((first && moderated) || again);
  wire  clear  = armed_q && (look_i || !enable_i || !moderated) && !set;
  assign busy_o = again || clear || timer_set_o || timer_clear_o;

  always_ff @(posedge clk_i) begin
    timer_set_o   <= rst_ni && set;
    timer_clear_o <= rst_ni && clear;
    if (set) timer_deadline_o <= (first ? cycle_i : first_q) + {8'b0, quarters[41:2]};
    if (!rst_ni || !enable_i) begin
      packets_q <= '0;
      armed_q   <= 1'b0;
      expired_q <= 1'b0;
    end else begin
      packets_q <= sum[32] ? '1 : sum[31:0];
      if (first) first_q <= cycle_i;
      if (set) begin
        armed_q <= 1'b1;
        usecs_q <= coal_i.max_usecs;
      end else if (clear) begin
        armed_q <= 1'b0;
      end
      if (look_i) begin
        expired_q <= 1'b0;
      end else if (due_i && armed_q && !set && $signed(cycle_i - timer_deadline_o) >= 0) begin
        expired_q <= packets_q != '0;
        armed_q   <= 1'b0;
      end
    end
  end

endmodule
