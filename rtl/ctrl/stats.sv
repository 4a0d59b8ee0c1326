// Vendor region of BAR0: build information, choices of the MAC, and 64-bit statistics counters
// (nic_pkg::stat_e).
//
// count_i[s] pulses add one to counter s; those whose amount is given beside it add that.
// The driver reads a counter as two 32-bit halves, low half first: reading the low half latches the
// high half of the same counter, so that the pair fits together. A write to VENDOR_SNAPSHOT copies
// all of them in one cycle; the copies are read in the same way and stay until the next write.
module stats
  import nic_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  /* verilator lint_off UNUSEDSIGNAL */
  input  reg_req_t             req_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic [31:0]          rdata_o,

  input  logic [3:0]           queue_pairs_i,  // static
  output mac_ctrl_t            mac_ctrl_o,
  input  logic [NUM_STATS-1:0] count_i,
  input  logic [13:0]          rx_bytes_i,  // with count_i[STAT_RX_BYTES]
  input  logic [13:0]          tx_bytes_i,  // with count_i[STAT_TX_BYTES]
  // What several queues may tell in one cycle, each with its bit of count_i
  input  logic [3:0]           rx_buffers_i,
  input  logic [3:0]           tx_buffers_i,
  input  logic [3:0]           tx_malformed_i
);

  localparam int unsigned IndexW = $clog2(NUM_STATS);

  logic [63:0] counter_q [NUM_STATS];
  logic [63:0] frozen_q [NUM_STATS];
  logic [31:0] snapshots_q;
  logic [31:0] high_q;

  wire        selected = req_i.addr[15:12] == BAR_VENDOR[15:12];
  wire [11:0] offset   = req_i.addr[11:0];
  wire        frozen   = offset >= VENDOR_FROZEN;
  /* verilator lint_off UNUSEDSIGNAL */
  wire [11:0] place    = offset - (frozen ? VENDOR_FROZEN : VENDOR_COUNTERS);
  /* verilator lint_on UNUSEDSIGNAL */
  wire        counter  = offset >= VENDOR_COUNTERS && place[11:3] < 9'(NUM_STATS);
  wire [63:0] value    = frozen ? frozen_q[place[3 +: IndexW]] : counter_q[place[3 +: IndexW]];
  wire        snapshot = req_i.write && selected && offset == VENDOR_SNAPSHOT;

  always_comb begin
    rdata_o = '0;
    if (selected) begin
      if (counter) begin
        rdata_o = place[2] ? high_q : value[31:0];
      end else begin
        unique case (offset)
          VENDOR_MAGIC:    rdata_o = MAGIC;
          VENDOR_VERSION:  rdata_o = VERSION;
          VENDOR_BUILD:    rdata_o = {16'(HostDataWidth / 8), 16'(queue_pairs_i)};
          VENDOR_MAC_CTRL: rdata_o = 32'(mac_ctrl_o);
          VENDOR_SNAPSHOT: rdata_o = snapshots_q;
          default:         rdata_o = '0;
        endcase
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (req_i.read && selected && counter && !place[2]) high_q <= value[63:32];
    if (!rst_ni) begin
      mac_ctrl_o  <= MAC_CTRL_RESET;
      snapshots_q <= '0;
      for (int unsigned s = 0; s < NUM_STATS; s++) frozen_q[s] <= '0;
    end else begin
      if (req_i.write && selected && offset == VENDOR_MAC_CTRL && req_i.strb[0]) begin
        mac_ctrl_o <= req_i.data[$bits(mac_ctrl_t)-1:0];
      end
      if (snapshot) begin
        snapshots_q <= snapshots_q + 32'd1;
        for (int unsigned s = 0; s < NUM_STATS; s++) frozen_q[s] <= counter_q[s];
      end
    end
    if (!rst_ni) begin
      for (int unsigned s = 0; s < NUM_STATS; s++) counter_q[s] <= '0;
    end else if (count_i != '0) begin
      for (int unsigned s = 0; s < NUM_STATS; s++) begin
        if (count_i[s]) begin
          unique case (s)
            32'(STAT_RX_BYTES):     counter_q[s] <= counter_q[s] + 64'(rx_bytes_i);
            32'(STAT_TX_BYTES):     counter_q[s] <= counter_q[s] + 64'(tx_bytes_i);
            32'(STAT_RX_BUFFERS):   counter_q[s] <= counter_q[s] + 64'(rx_buffers_i);
            32'(STAT_TX_BUFFERS):   counter_q[s] <= counter_q[s] + 64'(tx_buffers_i);
            32'(STAT_TX_MALFORMED): counter_q[s] <= counter_q[s] + 64'(tx_malformed_i);
            default:                counter_q[s] <= counter_q[s] + 64'd1;
          endcase
        end
      end
    end
  end

endmodule
