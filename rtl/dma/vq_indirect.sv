// Indirect descriptors (virtio 2.8.8): puts the descriptors of a table in the place of the one that
// refers to it.
//
// Input: descriptors of the ring, whole chains, checked by vq_fetch: a table is a chain of its own, its
// length a multiple of 16 and not 0. Output: descriptors for a DMA engine, in order; those of a table
// have the ring descriptor's Buffer ID, NEXT but for the last, and all but the first are `inner`: they
// take no place in the ring. Of a table's flags only WRITE counts; a buffer of the wrong direction or
// an error response pulses error_o, and nothing comes out any more until the queue is disabled.
// Tables may begin at any byte. They are read ahead, several at a time, in bursts that end at 4 KiB
// boundaries; room for what comes is reserved before.
// enable_i = 0 forgets all (a request that was made stays until it is taken); idle_o = 1 when no answer is awaited.
module vq_indirect
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter logic [1:0]  Direction = VQ_READ,  // vq_direction_e
  parameter int unsigned Depth     = 32        // descriptors of tables held or under way
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         enable_i,
  input  logic         stop_i,        // an error elsewhere: as one of its own

  input  vq_desc_t     desc_i,
  input  logic         indirect_i,    // desc_i refers to a table
  input  logic         desc_valid_i,
  output logic         desc_ready_o,
  output vq_desc_t     desc_o,
  output logic         desc_valid_o,
  input  logic         desc_ready_i,

  // Reads, see vq_read
  output logic [63:0]  addr_o,
  output logic [4:0]   count_o,
  output logic         valid_o,
  input  logic         ready_i,
  /* verilator lint_off UNUSEDSIGNAL */
  input  pvirtq_desc_t read_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic         seen_i,
  input  logic         error_i,       // with seen_i

  output logic         error_o,       // pulse
  output logic         idle_o,
  output logic         busy_o
);

  localparam int unsigned BurstMax = 16;
  localparam int unsigned CountW   = $clog2(Depth) + 1;
  localparam int unsigned TableW   = 16;  // descriptors of a table

  typedef struct packed {
    logic              indirect;
    logic [TableW-1:0] entries;  // of the table
    logic [3:0]        offset;   // its first byte in 16
    vq_desc_t          desc;
  } order_t;

  // ---- requests -----------------------------------------------------------------------------------
  logic              reading_q;   // a table is being asked for
  logic              request_q;   // a burst waits to be taken
  logic [59:0]       line_q;      // next 16 bytes to ask for
  logic [TableW:0]   lines_q;     // how many more
  logic [4:0]        count_q;
  logic [CountW-1:0] reserved_q;  // lines asked for and not yet handed out or found to be no descriptor
  logic              error_q;

  order_t order;
  /* verilator lint_off UNUSEDSIGNAL */
  order_t head;
  /* verilator lint_on UNUSEDSIGNAL */
  logic   order_ready, order_valid, order_pop;
  wire    push = desc_valid_i && desc_ready_o;
  assign order = '{
    indirect: indirect_i,
    entries:  desc_i.len[4 +: TableW],
    offset:   desc_i.addr[3:0],
    desc:     desc_i
  };
  assign desc_ready_o = order_ready && enable_i && !(indirect_i && reading_q);

  wire [8:0] to_4k = 9'd256 - {1'b0, line_q[7:0]};
  logic [4:0] burst;
  always_comb begin
    burst = 5'(BurstMax);
    if (lines_q < (TableW + 1)'(BurstMax)) burst = lines_q[4:0];
    if (to_4k < {4'b0, burst}) burst = to_4k[4:0];
  end
  wire room  = reserved_q <= CountW'(Depth - BurstMax);
  wire start = reading_q && !request_q && room && enable_i && !error_q && !error_o &&
                 !stop_i;
  wire fire  = valid_o && ready_i;
  assign addr_o  = {line_q, 4'b0};
  assign count_o = count_q;
  assign valid_o = request_q;

  // ---- data: lines of 16 bytes become descriptors -------------------------------------------------
  logic              open_q;      // in the middle of a table
  logic [TableW-1:0] left_q;      // its descriptors that are still to come
  logic [127:0]      before_q;    // the line before
  logic              tables_valid, tables_ready;
  logic [TableW+3:0] tables_out;
  wire [TableW-1:0] entries = tables_out[4 +: TableW];
  wire [3:0]        offset  = tables_out[3:0];
  wire take    = seen_i && enable_i && !error_q;
  wire no_desc = offset != '0 && !open_q;         // the first line of a table that begins inside it
  wire [TableW-1:0] left = open_q ? left_q : entries;
  wire table_end = take && !no_desc && left == TableW'(1);

  /* verilator lint_off UNUSEDSIGNAL */
  pvirtq_desc_t inner;
  /* verilator lint_on UNUSEDSIGNAL */
  always_comb begin
    inner = read_i;
    if (offset != '0) inner = 128'({read_i, before_q} >> {offset, 3'b0});
  end

  typedef struct packed {
    logic        write;
    logic [63:0] addr;
    logic [31:0] len;
  } inner_t;
  inner_t inner_in, inner_out;
  logic   inner_valid, inner_ready;
  assign inner_in = '{write: inner.flags[DESC_F_WRITE], addr: inner.addr, len: inner.len};

  logic wrote_q;  // a buffer of this table is written by the device
  wire  illegal = (Direction == VQ_WRITE && !inner_in.write) ||
                  (Direction == VQ_READ && inner_in.write) ||
                  (Direction == VQ_BOTH && open_q && wrote_q && !inner_in.write);
  assign error_o = take && (error_i || (!no_desc && illegal));

  /* verilator lint_off UNUSEDSIGNAL */
  logic [2:0] order_count, tables_count;
  logic [CountW-1:0] inner_count;
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width($bits(order_t)),
    .Depth(4)
  ) u_order (
    .clk_i,
    .rst_ni,
    .flush_i(!enable_i),
    .data_i (order),
    .valid_i(push),
    .ready_o(order_ready),
    .data_o (head),
    .valid_o(order_valid),
    .ready_i(order_pop),
    .count_o(order_count)
  );
  // As many tables as order_t may be under way.
  fifo #(
    .Width(TableW + 4),
    .Depth(4)
  ) u_tables (
    .clk_i,
    .rst_ni,
    .flush_i(!enable_i),
    .data_i ({order.entries, order.offset}),
    .valid_i(push && indirect_i),
    .ready_o(tables_ready),
    .data_o (tables_out),
    .valid_o(tables_valid),
    .ready_i(table_end),
    .count_o(tables_count)
  );
  fifo #(
    .Width($bits(inner_t)),
    .Depth(Depth)
  ) u_inner (
    .clk_i,
    .rst_ni,
    .flush_i(!enable_i),
    .data_i (inner_in),
    .valid_i(take && !no_desc && !error_o),
    .ready_o(inner_ready),
    .data_o (inner_out),
    .valid_o(inner_valid),
    .ready_i(desc_valid_o && desc_ready_i && head.indirect),
    .count_o(inner_count)
  );

  // ---- output ---------------------------------------------------------------------------------------
  logic [TableW-1:0] done_q;  // descriptors of the table at the head that were handed out
  wire last = !head.indirect || done_q + TableW'(1) == head.entries;
  always_comb begin
    desc_o = head.desc;
    if (head.indirect) begin
      desc_o.write = inner_out.write;
      desc_o.addr  = inner_out.addr;
      desc_o.len   = inner_out.len;
      desc_o.next  = !last;
      desc_o.inner = done_q != '0;
    end
  end
  assign desc_valid_o = order_valid && (!head.indirect || inner_valid) && enable_i && !error_q;
  assign order_pop    = desc_valid_o && desc_ready_i && last;
  wire   inner_pop    = desc_valid_o && desc_ready_i && head.indirect;

  assign idle_o = !request_q;
  assign busy_o = request_q || start || (desc_valid_i && desc_ready_o) ||
                  (!enable_i && (order_valid || reading_q || open_q || error_q || done_q != '0 ||
                                 reserved_q != '0));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      reading_q  <= 1'b0;
      request_q  <= 1'b0;
      reserved_q <= '0;
      error_q    <= 1'b0;
      open_q     <= 1'b0;
      done_q     <= '0;
    end else begin
      if (error_o || stop_i) error_q <= 1'b1;
      if (push && indirect_i) begin
        reading_q <= 1'b1;
        line_q    <= desc_i.addr[63:4];
        lines_q   <= {1'b0, order.entries} + (TableW + 1)'(order.offset != '0);
      end
      if (start) begin
        request_q <= 1'b1;
        count_q   <= burst;
      end
      if (fire) begin
        request_q <= 1'b0;
        line_q    <= line_q + 60'(count_q);
        lines_q   <= lines_q - (TableW + 1)'(count_q);
        if (lines_q == (TableW + 1)'(count_q)) reading_q <= 1'b0;
      end
      if (take) begin
        open_q  <= !table_end;
        left_q  <= no_desc ? left : left - TableW'(1);
        wrote_q <= !no_desc && inner_in.write;
      end
      if (inner_pop) done_q <= last ? '0 : done_q + TableW'(1);
      reserved_q <= reserved_q + (start ? CountW'(burst) : '0) - CountW'(inner_pop) -
                    CountW'(take && no_desc);
      if (!enable_i) begin
        reading_q  <= request_q && !fire;
        reserved_q <= '0;
        error_q    <= 1'b0;
        open_q     <= 1'b0;
        done_q     <= '0;
      end
    end
    if (seen_i) before_q <= read_i;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && take) begin
      assert (tables_valid)
      else $fatal(1, "vq_indirect: a line of no table");
      assert (no_desc || inner_ready)
      else $fatal(1, "vq_indirect: a descriptor without room");
    end
    if (rst_ni && push && indirect_i) begin
      assert (tables_ready)
      else $fatal(1, "vq_indirect: more tables than chains");
    end
  end
`endif

endmodule
