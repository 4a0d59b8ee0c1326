// Counts what each client of the AXI4 master has outstanding, and notices completions that do not
// come.
//
// Clients: the queues, then MSI-X. A transaction begins with its address handshake, at most one of each
// direction per cycle; read_done_i and write_done_i pulse for its end, at most one bit of each per
// cycle.
// lost_o[c] = 1: client c waited for at least one period, and for two and two cycles at the most, and
// none of its transactions ended. It stays until all of them have ended after all, two cycles at the most.
// What has to happen then is decided outside: the queue stops, and a reset does not wait for it any
// longer (common_cfg). Completions that come late are counted off here as any other, and the blocks
// that asked for them throw them away; until the last has come the queue cannot be used, since
// nothing tells a late completion from that of a new transaction with the same ID.
// The clock may stand while there is no handshake, no end, no period_i, and lost_o & ~waiting is empty,
// which wake_o tells.
module dma_watch #(
  parameter  int unsigned Clients = 4,  // at most 32
  localparam int unsigned IndexW  = $clog2(Clients)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               period_i,      // pulse: a period ended and the next begins

  input  logic               ar_valid_i,    // address handshakes, each with a client
  input  logic               ar_ready_i,
  input  logic [IndexW-1:0]  ar_client_i,
  input  logic               aw_valid_i,
  input  logic               aw_ready_i,
  input  logic [IndexW-1:0]  aw_client_i,
  input  logic [Clients-1:0] read_done_i,   // ends, by client
  input  logic [Clients-1:0] write_done_i,

  output logic [Clients-1:0] lost_o,
  output logic               wake_o,        // lost_o is about to change
  output logic               busy_o         // something is outstanding that is not lost
);

  localparam int unsigned CountW = 12;

  // ---- what is outstanding --------------------------------------------------------------------------
  logic [CountW-1:0]  count_q [Clients];
  logic [Clients-1:0] waiting_q;        // its count is not zero
  logic [Clients-1:0] moved_q;          // one of its transactions ended in this period

  always_ff @(posedge clk_i) begin
    automatic logic read  = ar_valid_i && ar_ready_i;
    automatic logic write = aw_valid_i && aw_ready_i;
    if (!rst_ni) begin
      waiting_q <= '0;
      moved_q   <= '0;
      for (int unsigned c = 0; c < Clients; c++) count_q[c] <= '0;
    end else begin
      moved_q <= (period_i ? '0 : moved_q) | read_done_i | write_done_i;
      if (read || write || read_done_i != '0 || write_done_i != '0) begin
        for (int unsigned c = 0; c < Clients; c++) begin
          automatic logic begins_read  = read && ar_client_i == IndexW'(c);
          automatic logic begins_write = write && aw_client_i == IndexW'(c);
          if (begins_read || begins_write || read_done_i[c] || write_done_i[c]) begin
            automatic logic [CountW-1:0] count = count_q[c]
                + CountW'(begins_read) + CountW'(begins_write)
                - CountW'(read_done_i[c]) - CountW'(write_done_i[c]);
            count_q[c]   <= count;
            waiting_q[c] <= count != '0;
          end
        end
      end
    end
  end

  // ---- who waits for too long -------------------------------------------------------------------------
  logic [Clients-1:0] still_q;  // waiting since before this period
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      still_q <= '0;
      lost_o  <= '0;
    end else begin
      lost_o <= lost_o & waiting_q;
      if (period_i) begin
        lost_o  <= (lost_o | (still_q & ~moved_q & ~read_done_i & ~write_done_i)) & waiting_q;
        still_q <= waiting_q;
      end
    end
  end
  assign wake_o = (lost_o & ~waiting_q) != '0;
  assign busy_o = (waiting_q & ~lost_o) != '0;

`ifndef SYNTHESIS
  initial begin
    assert (Clients <= 32)
    else $fatal(1, "dma_watch: too many clients");
  end
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ((read_done_i & ~waiting_q) == '0)
      else $fatal(1, "dma_watch: read data that was not asked for");
      assert ((write_done_i & ~waiting_q) == '0)
      else $fatal(1, "dma_watch: write response without a write");
    end
  end
`endif

endmodule
