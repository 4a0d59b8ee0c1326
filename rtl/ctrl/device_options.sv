// What is chosen for a card from outside, taken during reset and constant from then on.
//
// The outputs are registers of a clock that runs while rst_ni = 0 only, so that in simulation nothing
// behind them is evaluated for them. offered_o is what cfg_features_i asks for of Built, without what
// lacks a requirement (5.1.3.1), and without MQ for a card of one pair, which has nothing to choose.
// Assumes 1 <= cfg_queue_pairs_i <= QueuePairs and 68 <= cfg_mtu_i <= 9202.
module device_options
  import virtio_pkg::*;
#(
  parameter int unsigned QueuePairs = 1,
  parameter logic [63:0] Built      = '1  // feature bits
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic [63:0] cfg_features_i,     // feature bits
  input  logic [47:0] cfg_mac_i,          // bits 7:0 = first octet
  input  logic [3:0]  cfg_queue_pairs_i,
  input  logic [15:0] cfg_mtu_i,          // bytes

  output logic [63:0] offered_o,          // feature bits
  output logic [3:0]  queue_pairs_o,
  output logic [47:0] mac_o,
  output logic [15:0] mtu_o,              // bytes
  output logic [15:0] max_frame_o         // bytes, without FCS
);

  localparam int unsigned HeaderBytes = 18;  // Ethernet header with one VLAN tag

  logic clk;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni),
    .clk_o(clk)
  );

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      automatic logic [63:0] chosen = cfg_features_i & Built;
      if (cfg_queue_pairs_i == 4'd1) chosen[F_NET_MQ] = 1'b0;
      offered_o     <= with_requirements(with_requirements(chosen));
      queue_pairs_o <= cfg_queue_pairs_i;
      mac_o         <= cfg_mac_i;
      mtu_o         <= cfg_mtu_i;
      max_frame_o   <= cfg_mtu_i + 16'(HeaderBytes);
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      assert (cfg_queue_pairs_i != '0 && 32'(cfg_queue_pairs_i) <= QueuePairs)
      else $fatal(1, "nic: cfg_queue_pairs_i must be 1..QueuePairs");
    end
  end
`endif

endmodule
