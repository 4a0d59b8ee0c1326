// The descriptor read port of one virtqueue, shared by vq_fetch (0) and vq_indirect (1).
//
// Requests: bursts of whole descriptors, valid/ready, passed on in the cycle in which they come; ring
// before tables. They use one AXI ID, so their data comes back in order; up to 8 bursts may be under
// way. Data: one descriptor at a time, however wide the bus is: seen_o says whose it is, last_o that
// the burst ends, error_o that a beat of it came with an error.
module vq_read
  import virtio_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic [63:0]              addr_i [2],   // a multiple of 16
  input  logic [4:0]               count_i [2],  // descriptors, 1..16, none behind a 4 KiB boundary
  input  logic [1:0]               valid_i,
  output logic [1:0]               ready_o,

  output logic [63:0]              ar_addr_o,
  output logic [7:0]               ar_len_o,     // beats - 1
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_last_i,
  input  logic                     r_valid_i,

  output pvirtq_desc_t             desc_o,
  output logic [1:0]               seen_o,       // pulses
  output logic                     last_o,
  output logic                     error_o,

  output logic                     idle_o        // no answer is awaited
);

  localparam int unsigned LaneW = HostDataWidth > 128 ? $clog2(HostDataWidth / 128) : 1;

  typedef struct packed {
    logic             client;
    logic [LaneW-1:0] lane;    // of the first descriptor in a wider bus
  } owner_t;

  wire    client = !valid_i[0];
  owner_t owner;
  /* verilator lint_off UNUSEDSIGNAL */
  owner_t owner_out;  // the lane: wider buses only
  /* verilator lint_on UNUSEDSIGNAL */
  logic   owner_ready, owner_valid;
  assign owner.client = client;
  assign owner.lane   = addr_i[client][4 +: LaneW];

  /* verilator lint_off UNUSEDSIGNAL */
  logic [3:0] owner_count;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width($bits(owner_t)),
    .Depth(8)
  ) u_owner (
    .clk_i,
    .rst_ni,
    .flush_i(1'b0),
    .data_i (owner),
    .valid_i(ar_valid_o && ar_ready_i),
    .ready_o(owner_ready),
    .data_o (owner_out),
    .valid_o(owner_valid),
    .ready_i(r_valid_i && r_last_i),
    .count_o(owner_count)
  );

  assign ar_valid_o = valid_i != '0 && owner_ready;
  assign ar_addr_o  = addr_i[client];
  assign ar_len_o   = HostDataWidth == 64 ? {2'b0, count_i[client], 1'b0} - 8'd1
                                          : {3'b0, count_i[client]} - 8'd1;
  always_comb begin
    ready_o         = '0;
    ready_o[client] = ar_ready_i && owner_ready;
  end
  assign idle_o = !owner_valid;

  logic whole;
  if (HostDataWidth == 64) begin : gen_two_beats
    logic [63:0] low_q;
    logic        high_q, error_q;
    assign desc_o  = {r_data_i, low_q};
    assign whole   = high_q || r_error_i;  // an error is told at once, and once more
    assign error_o = r_error_i || error_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) high_q <= 1'b0;
      else if (r_valid_i) high_q <= !high_q;
      if (r_valid_i) begin
        low_q   <= r_data_i;
        error_q <= r_error_i && !high_q;
      end
    end
  end else if (HostDataWidth == 128) begin : gen_one_beat
    assign desc_o  = r_data_i;
    assign whole   = 1'b1;
    assign error_o = r_error_i;
  end else begin : gen_lane
    // 16-byte beats walk through the lanes of the wider bus.
    logic [LaneW-1:0] beat_q;
    wire  [LaneW-1:0] lane = owner_out.lane + beat_q;
    assign desc_o  = r_data_i[lane*128 +: 128];
    assign whole   = 1'b1;
    assign error_o = r_error_i;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) beat_q <= '0;
      else if (r_valid_i) beat_q <= r_last_i ? '0 : beat_q + LaneW'(1);
    end
  end
  assign last_o = r_last_i;
  assign seen_o = !(r_valid_i && whole) ? 2'b00 : owner_out.client ? 2'b10 : 2'b01;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!r_valid_i || owner_valid)
      else $fatal(1, "vq_read: data that was not asked for");
    end
  end
`endif

endmodule
