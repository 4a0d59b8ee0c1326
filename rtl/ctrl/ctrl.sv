// Everything behind BAR0: register access, virtio configuration, MSI-X, statistics.
//
// The block sleeps behind a clock gate. An access wakes it: AXI4-Lite ready signals stay low until
// the clock runs, one cycle after valid was seen. Statistics have a gate of their own, because they
// count while the registers sleep.
module ctrl
  import nic_pkg::*;
  import virtio_pkg::*;
#(
  parameter int unsigned QueuePairs    = 1,
  parameter int unsigned HostDataWidth = 128,
  parameter int unsigned MaxQueueSize  = 1024,
  localparam int unsigned NumQueues    = 2 * QueuePairs + 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  // AXI4-Lite slave
  input  logic [15:0]          awaddr_i,
  input  logic                 awvalid_i,
  output logic                 awready_o,
  input  logic [31:0]          wdata_i,
  input  logic [3:0]           wstrb_i,
  input  logic                 wvalid_i,
  output logic                 wready_o,
  output logic [1:0]           bresp_o,
  output logic                 bvalid_o,
  input  logic                 bready_i,
  input  logic [15:0]          araddr_i,
  input  logic                 arvalid_i,
  output logic                 arready_o,
  output logic [31:0]          rdata_o,
  output logic [1:0]           rresp_o,
  output logic                 rvalid_o,
  input  logic                 rready_i,

  // Device options, static after reset
  input  logic [63:0]          features_i,
  input  logic [3:0]           queue_pairs_i,
  input  logic [47:0]          mac_i,
  input  logic [15:0]          mtu_i,
  // Levels from outside
  input  logic                 bus_master_en_i,
  input  logic                 msix_enable_i,
  input  logic                 msix_mask_i,
  input  logic                 link_up_i,

  // Queues: receive and transmit queue of each pair, then the control queue
  output vq_cfg_t              queue_o [NumQueues],
  output logic [63:0]          driver_features_o,
  output logic                 reset_o,        // a device reset takes effect, pulse
  output logic [NumQueues-1:0] kick_o,         // doorbells, pulses
  input  logic [NumQueues-1:0] queue_irq_i,    // pulses
  input  logic [NumQueues-1:0] queue_error_i,  // pulses
  input  logic [NumQueues-1:0] queue_idle_i,
  // Completions that do not come, of each queue and of MSI-X: nobody waits for them any longer
  input  logic [NumQueues:0]   lost_i,

  // MSI-X messages
  output word_write_t          write_o,
  output logic                 write_valid_o,
  input  logic                 write_ready_i,
  input  logic                 write_done_i,
  input  logic                 write_error_i,  // with write_done_i

  // MAC and statistics
  output mac_ctrl_t            mac_ctrl_o,
  input  logic [NUM_STATS-1:0] count_i,
  input  logic [13:0]          rx_bytes_i,
  input  logic [13:0]          tx_bytes_i,
  input  logic [3:0]           rx_buffers_i,
  input  logic [3:0]           tx_buffers_i,
  input  logic [3:0]           tx_malformed_i,

  output logic                 busy_o
);

  localparam int unsigned NumVectors = NumQueues + 1;  // configuration, then one per queue
  wire [5:0] vectors = 6'({queue_pairs_i, 1'b0}) + 6'd2;   // that exist

  logic        clk, clk_stats, axil_busy, common_busy, device_busy, msix_busy, msix_idle;
  logic        config_irq, config_change, config_notify, reset_done;
  logic [NumQueues-1:0] queue_reset_done;
  reg_req_t    req;
  logic [31:0] rdata_common, rdata_device, rdata_msix, rdata_stats;
  /* verilator lint_off UNUSEDSIGNAL */
  logic [15:0] queue_vector [NumQueues];
  logic [15:0] config_vector;  // small, or NO_VECTOR
  /* verilator lint_on UNUSEDSIGNAL */

  // ---- waking up ----------------------------------------------------------------------------------------
  logic       access_q;                       // an access is offered
  logic [3:0] levels_q;                       // as they came
  logic       level_change_q;
  logic       bus_master_q, msix_enable_q, msix_mask_q, link_q;
  always_ff @(posedge clk_i) begin
    automatic logic [3:0] levels = {bus_master_en_i, msix_enable_i, msix_mask_i, link_up_i};
    access_q       <= rst_ni && (awvalid_i || wvalid_i || arvalid_i);
    level_change_q <= rst_ni && levels != levels_q;
    levels_q       <= rst_ni ? levels : '0;
  end
  // What is computed from them changes with this clock only.
  always_ff @(posedge clk) begin
    {bus_master_q, msix_enable_q, msix_mask_q, link_q} <= rst_ni ? levels_q : '0;
  end

  logic [NumQueues:0] lost_q;
  wire  lost_change = lost_i != lost_q;
  always_ff @(posedge clk) lost_q <= rst_ni ? lost_i : '0;

  wire awake = access_q || axil_busy;
  wire busy  = awake || common_busy || device_busy || (msix_busy && !lost_i[NumQueues]) ||
               level_change_q;
  clock_gate u_gate (
    .clk_i,
    .en_i (!rst_ni || busy || queue_irq_i != '0 || queue_error_i != '0 || write_done_i ||
           lost_change),
    .clk_o(clk)
  );
  clock_gate u_gate_stats (
    .clk_i,
    .en_i (!rst_ni || count_i != '0 || axil_busy),
    .clk_o(clk_stats)
  );
  assign busy_o  = busy;
  assign reset_o = reset_done;

  // ---- register access -----------------------------------------------------------------------------------
  axil_slave u_axil (
    .clk_i  (clk),
    .rst_ni,
    .awake_i(awake),
    .awaddr_i,
    .awvalid_i,
    .awready_o,
    .wdata_i,
    .wstrb_i,
    .wvalid_i,
    .wready_o,
    .bresp_o,
    .bvalid_o,
    .bready_i,
    .araddr_i,
    .arvalid_i,
    .arready_o,
    .rdata_o,
    .rresp_o,
    .rvalid_o,
    .rready_i,
    .messages_idle_i(msix_idle || lost_i[NumQueues]),
    .req_o  (req),
    .rdata_i(rdata_common | rdata_device | rdata_msix | rdata_stats),
    .busy_o (axil_busy)
  );

  // A doorbell is told by its place; the value written does not matter, as NOTIFICATION_DATA is not
  // offered (4.1.5.2).
  wire [9:0]  doorbell = req.addr[11:2];
  logic [3:0] pairs;
  wire [4:0]  kicked   = queue_place(doorbell[4:0], pairs, 5'(NumQueues - 1));
  assign kick_o = req.write && req.addr[15:12] == BAR_NOTIFY[15:12] &&
                  doorbell <= {5'b0, queue_pairs_i, 1'b0} ? NumQueues'(1) << kicked : '0;

  common_cfg #(
    .NumQueues   (NumQueues),
    .MaxQueueSize(MaxQueueSize)
  ) u_common_cfg (
    .clk_i            (clk),
    .rst_ni,
    .req_i            (req),
    .rdata_o          (rdata_common),
    .features_i,
    .queue_pairs_i,
    .vectors_i        (vectors),
    .config_change_i  (config_change),
    .config_notify_i  (config_notify),
    .queue_o,
    .queue_vector_o   (queue_vector),
    .config_vector_o  (config_vector),
    .queue_error_i,
    .device_error_i   (write_done_i && write_error_i),
    .queue_idle_i,
    .device_idle_i    (msix_idle),
    .lost_i,
    .driver_features_o,
    .pairs_o          (pairs),
    .config_irq_o     (config_irq),
    .reset_done_o     (reset_done),
    .queue_reset_done_o(queue_reset_done),
    .busy_o           (common_busy)
  );

  device_cfg u_device_cfg (
    .clk_i       (clk),
    .rst_ni,
    .req_i       (req),
    .rdata_o     (rdata_device),
    .mac_i,
    .mtu_i,
    .queue_pairs_i,
    .rss_i       (features_i[F_NET_RSS]),
    .hash_i      (features_i[F_NET_RSS] || features_i[F_NET_HASH_REPORT]),
    .link_i      (link_q),
    .isr_clear_i (reset_done),
    // 4.1.4.5: the queue bit is for drivers without MSI-X.
    .queue_irq_i (queue_irq_i != '0 && !msix_enable_q),
    .config_irq_i(config_irq),
    .change_o    (config_change),
    .notify_o    (config_notify),
    .busy_o      (device_busy)
  );

  // ---- interrupts ------------------------------------------------------------------------------------------
  // A vector number that is not legal was replaced by NO_VECTOR, whose upper bits are set.
  logic [NumVectors-1:0] vector_irq;
  always_comb begin
    vector_irq = '0;
    if (config_irq && !config_vector[15]) vector_irq |= NumVectors'(1) << config_vector[4:0];
    if (queue_irq_i != '0) begin
      for (int unsigned q = 0; q < NumQueues; q++) begin
        if (queue_irq_i[q] && !queue_vector[q][15]) begin
          vector_irq |= NumVectors'(1) << queue_vector[q][4:0];
        end
      end
    end
  end

  // 2.6.1.1: a queue that was reset does not notify any more, also not when its vector's mask ends. A vector
  // that others have as well is pending for them.
  logic [NumVectors-1:0] clear_irq;
  always_comb begin
    clear_irq = '0;
    if (queue_reset_done != '0) begin
      for (int unsigned q = 0; q < NumQueues; q++) begin
        if (queue_reset_done[q] && !queue_vector[q][15]) begin
          clear_irq |= NumVectors'(1) << queue_vector[q][4:0];
        end
      end
      for (int unsigned q = 0; q < NumQueues; q++) begin
        if (!queue_reset_done[q] && !queue_vector[q][15]) begin
          clear_irq &= ~(NumVectors'(1) << queue_vector[q][4:0]);
        end
      end
      if (!config_vector[15]) clear_irq &= ~(NumVectors'(1) << config_vector[4:0]);
    end
    if (reset_done) clear_irq = '1;
  end

  msix #(
    .NumVectors(NumVectors)
  ) u_msix (
    .clk_i   (clk),
    .rst_ni,
    .enable_i(msix_enable_q),
    .master_i(bus_master_q),
    .mask_i  (msix_mask_q),
    .clear_i (clear_irq),
    .vectors_i(vectors),
    .req_i   (req),
    .rdata_o (rdata_msix),
    .irq_i   (vector_irq),
    .write_o,
    .write_valid_o,
    .write_ready_i,
    .write_done_i,
    .idle_o  (msix_idle),
    .busy_o  (msix_busy)
  );

  stats #(
    .HostDataWidth(HostDataWidth)
  ) u_stats (
    .clk_i  (clk_stats),
    .rst_ni,
    .req_i  (req),
    .rdata_o(rdata_stats),
    .queue_pairs_i,
    .mac_ctrl_o,
    .count_i,
    .rx_bytes_i,
    .tx_bytes_i,
    .rx_buffers_i,
    .tx_buffers_i,
    .tx_malformed_i
  );

endmodule
