// Collects the metas at the head of the receive store into groups of frames that become one.
//
// In: the store's metas. Out, valid/ready: a group, told before its first word is needed. A frame
// that is not mergeable, or that no segment can follow, goes on at once. Otherwise the group waits
// for the next meta: a frame that continues it joins, any other ends it. With nothing behind it in
// the store it waits until due_i, or hurry_i. So only frames that follow each other in the store are
// merged, and waiting never holds back other traffic.
// The timer is one client of lib/deadline.sv: set_o with deadline_o when a group begins to wait,
// clear_o when it waits no longer, both a cycle late, from registers; due_i, of which one that belongs
// to a deadline of before is told by the time. The clock must run when due_i comes.
// coalesced_o pulses for each frame of a group of two or more, lro_o for each such group.
module rx_coal_group
  import rx_flow_pkg::*;
#(
  parameter int unsigned Patience = 3125  // cycles that a group waits for the next meta
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        enable_i,      // else no meta is taken
  input  logic        hurry_i,       // nothing waits

  input  logic        meta_valid_i,
  input  logic [13:0] meta_len_i,
  input  rx_meta_t    meta_i,
  output logic        meta_ready_o,

  output coal_group_t group_o,
  output logic        group_valid_o,
  input  logic        group_ready_i,

  output logic        coalesced_o,
  output logic        lro_o,
  input  logic [47:0] cycle_i,
  output logic        set_o,
  output logic [47:0] deadline_o,
  output logic        clear_o,
  input  logic        due_i,

  output logic        idle_o,        // holds nothing
  output logic        busy_o
);

  typedef enum logic [1:0] {EMPTY, OPEN, WHOLE} state_e;
  state_e      state_q;
  coal_group_t group_q;
  logic        due_q;
  wire        joins   = state_q == OPEN && meta_valid_i && meta_i.coal.mergeable &&
                        meta_i.coal.continues;
  wire        ends    = state_q == OPEN && !joins && (meta_valid_i || due_q || hurry_i);
  wire        begins  = state_q == EMPTY && enable_i && meta_valid_i;
  wire        waits   = meta_i.coal.mergeable && !meta_i.coal.last;
  wire        takes   = group_valid_o && group_ready_i;

  assign meta_ready_o  = (state_q == EMPTY && enable_i) || joins;
  assign group_o       = group_q;
  assign group_valid_o = state_q == WHOLE;

  // The first frame of a group is counted when the group is told.
  assign lro_o       = takes && group_q.more != '0;
  assign coalesced_o = joins || lro_o;

  wire   closes  = joins ? meta_i.coal.last || due_q : ends;

  assign idle_o  = state_q == EMPTY && !set_o && !clear_o;
  assign busy_o  = begins || joins || ends || due_q || set_o || clear_o ||
                   (state_q == WHOLE && group_ready_i);

  always_ff @(posedge clk_i) begin
    set_o   <= rst_ni && begins && waits;
    clear_o <= rst_ni && closes;
    due_q   <= rst_ni && due_i && state_q == OPEN && $signed(cycle_i - deadline_o) >= 0;
    if (begins && waits) deadline_o <= cycle_i + 48'(Patience);
    if (!rst_ni) begin
      state_q <= EMPTY;
    end else begin
      unique case (state_q)
        EMPTY:   if (begins) state_q <= waits ? OPEN : WHOLE;
        OPEN:    if (closes) state_q <= WHOLE;
        default: if (group_ready_i) state_q <= EMPTY;
      endcase
    end
    if (begins || joins) begin
      automatic logic [6:0]  hdr = header_bytes(meta_i.coal.tags, meta_i.coal.ipv6,
                                                meta_i.coal.options);
      automatic logic [15:0] payload = 16'(meta_len_i) - 16'(hdr);
      if (begins) begin
        group_q.meta <= meta_i;
        group_q.len  <= meta_len_i;
      end
      group_q.last_len <= meta_len_i;
      group_q.more     <= begins ? '0 : group_q.more + 16'd1;
      group_q.payload  <= (begins ? '0 : group_q.payload) + payload;
      group_q.psh      <= meta_i.coal.psh;
    end
  end

endmodule
