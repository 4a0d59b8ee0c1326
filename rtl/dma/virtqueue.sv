// One packed virtqueue (virtio 2.8): descriptor prefetch, used write-back, event suppression.
//
// Joins vq_fetch, vq_indirect and vq_used and gives them one single-beat write port. The DMA engine takes
// descriptors, moves the data, waits for its write responses and returns the finished chain.
// The queue sleeps behind a clock gate until one of its inputs announces something.
module virtqueue
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned HostDataWidth = 128,
  parameter logic [1:0]  Direction     = VQ_READ,  // vq_direction_e
  parameter bit          Indirect      = 1'b1,     // built with VIRTIO_F_INDIRECT_DESC, else indirect_i is 0
  parameter bit          Moderation    = 1'b1      // built with VIRTIO_NET_F_NOTF_COAL, else coal_i is 0
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  vq_cfg_t                  cfg_i,
  input  logic                     event_idx_i,    // VIRTIO_F_EVENT_IDX negotiated
  input  logic                     in_order_i,     // VIRTIO_F_IN_ORDER negotiated
  input  logic                     indirect_i,     // VIRTIO_F_INDIRECT_DESC negotiated
  input  logic                     kick_i,         // doorbell, pulse

  output vq_desc_t                 desc_o,
  output logic                     desc_valid_o,
  input  logic                     desc_ready_i,
  input  vq_used_t                 used_i,
  input  logic                     used_valid_i,
  output logic                     used_ready_o,

  // Descriptor reads: bursts
  output logic [63:0]              desc_ar_addr_o,
  output logic [7:0]               desc_ar_len_o,
  output logic                     desc_ar_valid_o,
  input  logic                     desc_ar_ready_i,
  input  logic                     desc_r_valid_i,
  // Event structure reads: 4 bytes
  output logic [63:0]              event_ar_addr_o,
  output logic                     event_ar_valid_o,
  input  logic                     event_ar_ready_i,
  input  logic                     event_r_valid_i,
  // Read data of both
  input  logic [HostDataWidth-1:0] r_data_i,
  input  logic                     r_error_i,
  input  logic                     r_last_i,
  // Single-beat writes; responses come in order
  output word_write_t              write_o,
  output logic                     write_valid_o,
  input  logic                     write_ready_i,
  input  logic                     write_done_i,
  input  logic                     write_error_i,

  // Moderation of notifications, a client of deadline.sv
  input  coal_cfg_t                coal_i,
  input  logic [47:0]              cycle_i,
  output logic                     timer_set_o,
  output logic [47:0]              timer_deadline_o,
  output logic                     timer_clear_o,
  input  logic                     due_i,

  output logic                     irq_o,          // used buffer notification wanted, pulse
  output logic                     error_o,        // the queue has stopped, pulse
  output logic                     idle_o,         // nothing outstanding on AXI
  output logic                     busy_o
);

  word_write_t event_write, used_write;
  logic event_valid, event_done, used_write_valid, used_write_done;
  logic fetch_error, fetch_idle, fetch_busy, used_error, used_idle, used_busy;

  logic clk;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy_o || kick_i || used_valid_i || (desc_valid_o && desc_ready_i) ||
           desc_r_valid_i || event_r_valid_i || write_done_i || due_i),
    .clk_o(clk)
  );

  // ---- border -------------------------------------------------------------------------------------
  // What comes is taken into registers of the queue's own clock: nothing in here is evaluated for
  // what concerns another queue.
  logic                     kick_q, desc_r_valid_q, event_r_valid_q, write_done_q;
  logic [HostDataWidth-1:0] r_data_q;
  logic                     r_error_q, r_last_q, write_error_q;
  always_ff @(posedge clk) begin
    kick_q          <= rst_ni && kick_i;
    desc_r_valid_q  <= rst_ni && desc_r_valid_i;
    event_r_valid_q <= rst_ni && event_r_valid_i;
    write_done_q    <= rst_ni && write_done_i;
    if (desc_r_valid_i || event_r_valid_i) begin
      r_data_q  <= r_data_i;
      r_error_q <= r_error_i;
      r_last_q  <= r_last_i;
    end
    if (write_done_i) write_error_q <= write_error_i;
  end

  // A write on its way out.
  word_write_t write_q;
  logic        write_valid_q;
  assign write_o       = write_q;
  assign write_valid_o = write_valid_q;

  // Which unit the outstanding writes belong to, oldest first; its depth bounds their number.
  logic owner_ready, owner_is_event, owner_valid;
  wire  grant = (event_valid || used_write_valid) && owner_ready && !write_valid_q;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [6:0] owner_count;  // full or not is all that matters here
  /* verilator lint_on UNUSEDSIGNAL */
  fifo #(
    .Width(1),
    .Depth(64)
  ) u_owner (
    .clk_i(clk),
    .rst_ni,
    .flush_i(1'b0),
    .data_i (event_valid),
    .valid_i(grant),
    .ready_o(owner_ready),
    .data_o (owner_is_event),
    .valid_o(owner_valid),
    .ready_i(write_done_q),
    .count_o(owner_count)
  );
  always_ff @(posedge clk) begin
    if (write_ready_i || !rst_ni) write_valid_q <= 1'b0;
    if (grant && rst_ni) begin
      write_valid_q <= 1'b1;
      write_q       <= event_valid ? event_write : used_write;
    end
  end

  assign event_done      = write_done_q && owner_valid && owner_is_event;
  assign used_write_done = write_done_q && owner_valid && !owner_is_event;

  // ---- descriptors --------------------------------------------------------------------------------
  logic [63:0]  read_addr [2];
  logic [4:0]   read_count [2];
  logic [1:0]   read_valid, read_ready, read_seen;
  logic         read_last, read_error, read_idle;
  pvirtq_desc_t read_desc;
  vq_read #(
    .HostDataWidth(HostDataWidth)
  ) u_read (
    .clk_i(clk),
    .rst_ni,
    .addr_i    (read_addr),
    .count_i   (read_count),
    .valid_i   (read_valid),
    .ready_o   (read_ready),
    .ar_addr_o (desc_ar_addr_o),
    .ar_len_o  (desc_ar_len_o),
    .ar_valid_o(desc_ar_valid_o),
    .ar_ready_i(desc_ar_ready_i),
    .r_data_i  (r_data_q),
    .r_error_i (r_error_q),
    .r_last_i  (r_last_q),
    .r_valid_i (desc_r_valid_q),
    .desc_o    (read_desc),
    .seen_o    (read_seen),
    .last_o    (read_last),
    .error_o   (read_error),
    .idle_o    (read_idle)
  );

  vq_desc_t fetch_desc;
  logic     fetch_valid, fetch_ready, fetch_indirect;
  logic     table_error, table_idle, table_busy;
  vq_fetch #(
    .Direction(Direction)
  ) u_fetch (
    .clk_i(clk),
    .rst_ni,
    .cfg_i,
    .event_idx_i,
    .indirect_i   (Indirect && indirect_i),
    .kick_i       (kick_q),
    .desc_o       (fetch_desc),
    .indirect_o   (fetch_indirect),
    .desc_valid_o (fetch_valid),
    .desc_ready_i (fetch_ready),
    .addr_o       (read_addr[0]),
    .count_o      (read_count[0]),
    .valid_o      (read_valid[0]),
    .ready_i      (read_ready[0]),
    .read_i       (read_desc),
    .seen_i       (read_seen[0]),
    .last_i       (read_last),
    .error_i      (read_error),
    .event_o      (event_write),
    .event_valid_o(event_valid),
    .event_ready_i(grant),
    .event_done_i (event_done),
    .stop_i       (table_error),
    .error_o      (fetch_error),
    .idle_o       (fetch_idle),
    .busy_o       (fetch_busy)
  );

  if (Indirect) begin : gen_indirect
    vq_desc_t table_desc;
    logic     table_valid, table_ready;
    vq_indirect #(
      .Direction(Direction)
    ) u_indirect (
      .clk_i       (clk),
      .rst_ni,
      .enable_i    (cfg_i.enable && indirect_i),
      .stop_i      (fetch_error),
      .desc_i      (fetch_desc),
      .indirect_i  (fetch_indirect),
      .desc_valid_i(fetch_valid && indirect_i),
      .desc_ready_o(table_ready),
      .desc_o      (table_desc),
      .desc_valid_o(table_valid),
      .desc_ready_i(desc_ready_i && indirect_i),
      .addr_o      (read_addr[1]),
      .count_o     (read_count[1]),
      .valid_o     (read_valid[1]),
      .ready_i     (read_ready[1]),
      .read_i      (read_desc),
      .seen_i      (read_seen[1]),
      .error_i     (read_error),
      .error_o     (table_error),
      .idle_o      (table_idle),
      .busy_o      (table_busy)
    );
    assign desc_o       = indirect_i ? table_desc : fetch_desc;
    assign desc_valid_o = indirect_i ? table_valid : fetch_valid;
    assign fetch_ready  = indirect_i ? table_ready : desc_ready_i;
  end else begin : gen_direct
    assign desc_o        = fetch_desc;
    assign desc_valid_o  = fetch_valid;
    assign fetch_ready   = desc_ready_i;
    assign read_addr[1]  = '0;
    assign read_count[1] = '0;
    assign read_valid[1] = 1'b0;
    assign table_error   = 1'b0;
    assign table_idle    = 1'b1;
    assign table_busy    = 1'b0;
    wire unused_tables = &{1'b0, indirect_i, fetch_indirect, read_ready[1], read_seen[1]};
  end

  // ---- used descriptors ---------------------------------------------------------------------------
  vq_used #(
    .HostDataWidth(HostDataWidth),
    .Batch        (Direction == VQ_READ),
    .Moderation   (Moderation)
  ) u_used (
    .clk_i(clk),
    .rst_ni,
    .cfg_i,
    .event_idx_i,
    .in_order_i,
    .used_i,
    .used_valid_i,
    .used_ready_o,
    .write_o      (used_write),
    .write_valid_o(used_write_valid),
    .write_ready_i(grant && !event_valid),
    .write_done_i (used_write_done),
    .write_error_i(write_error_q),
    .ar_addr_o    (event_ar_addr_o),
    .ar_valid_o   (event_ar_valid_o),
    .ar_ready_i   (event_ar_ready_i),
    .r_data_i     (r_data_q),
    .r_error_i    (r_error_q),
    .r_valid_i    (event_r_valid_q),
    .coal_i,
    .cycle_i,
    .timer_set_o,
    .timer_deadline_o,
    .timer_clear_o,
    .due_i,
    .irq_o,
    .error_o      (used_error),
    .idle_o       (used_idle),
    .busy_o       (used_busy)
  );

  assign error_o = fetch_error || table_error || used_error || (event_done && write_error_q);
  assign idle_o  = fetch_idle && table_idle && read_idle && used_idle;
  assign busy_o  = fetch_busy || table_busy || used_busy || kick_q || desc_r_valid_q ||
                   event_r_valid_q || write_done_q || write_valid_q;

endmodule
