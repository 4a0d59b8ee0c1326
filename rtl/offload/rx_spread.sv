// The receive queue of a frame while the driver has not configured RSS (virtio 5.1.6.5.5, MQ).
//
// A symmetric hash of addresses and ports, so that both directions of a flow, and all of its packets
// that are not fragments, have the same. It is spread over the pairs in use. What a transmit queue
// last had is not learnt (5.1.6.5.5: the device SHOULD): a network card has only the hash.
//
// In: rx_flow_parse's words and verdict, and rx_l3_align's end. Out, 5 cycles after end_i, for one
// cycle: the pair; 0 in all other cycles.
module rx_spread
  import rx_flow_pkg::*;
(
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic [3:0] pairs_i,  // 1..8

  input  logic       valid_i,
  /* verilator lint_off UNUSEDSIGNAL */
  input  flow_word_t word_i,
  input  flow_info_t info_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic       end_i,

  output logic [2:0] pair_o
);

  function automatic logic [15:0] halves(input logic [31:0] half);
    return half[15:0] ^ half[31:16];
  endfunction

  logic [15:0] addresses_q, ports_q;
  wire  [15:0] lo = halves(word_i.data[31:0]);
  wire  [15:0] hi = halves(word_i.data[63:32]);

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      // The source address comes first.
      if (word_i.hi == HALF_SRC) begin
        addresses_q <= (word_i.lo != HALF_SRC) ? hi :
                       (word_i.first ? '0 : addresses_q) ^ lo ^ hi;
      end
      if (word_i.lo == HALF_DST) addresses_q <= addresses_q ^ lo ^ (word_i.hi == HALF_DST ? hi : '0);
      if (word_i.lo == HALF_PORTS) ports_q <= lo;
      if (word_i.hi == HALF_PORTS) ports_q <= hi;
    end
  end

  logic        end1_q, end2_q, end3_q, end4_q;
  logic [15:0] hash3_q;
  logic [7:0]  byte4_q;
  // Neighbouring ports differ in the low bits, which have to decide: they become the high ones.
  wire  [7:0]  folded = hash3_q[7:0] ^ hash3_q[15:8];
  /* verilator lint_off UNUSEDSIGNAL */
  wire  [11:0] scaled = 12'(byte4_q) * 12'(pairs_i);
  /* verilator lint_on UNUSEDSIGNAL */

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {end1_q, end2_q, end3_q, end4_q} <= '0;
      pair_o                           <= '0;
    end else begin
      end1_q <= end_i;
      end2_q <= end1_q;
      end3_q <= end2_q;
      end4_q <= end3_q;
      pair_o <= end4_q ? scaled[10:8] : '0;
    end
    if (end2_q) hash3_q <= !info_i.ok ? '0 : addresses_q ^ (info_i.ports ? ports_q : '0);
    if (end3_q) begin
      for (int unsigned i = 0; i < 8; i++) byte4_q[i] <= folded[7-i];
    end
  end

endmodule
