// Wirepath NIC: a virtio-net device with packed virtqueues between AXI and XGMII.
//
// Host side: AXI4-Lite slave = BAR0 (map in nic_pkg), AXI4 master = DMA and MSI-X messages. The
// PCI configuration space lives outside (the PCIe hard block of an FPGA); what it decides arrives
// on bus_master_en_i, msix_enable_i and msix_mask_i.
// Wire side: 10 Gb/s XGMII, 64 bits at 156.25 MHz (IEEE 802.3 clause 46).
// One clock, one synchronous active-low reset. All outputs come from registers or from logic on
// registers only, never combinationally from an input.
// busy_o = 0: no state changes until an input does, so the clock may stop. timer_o: cycles until
// the device wants to run again by itself, all ones when never. cycle_i is its clock on the wall: it
// counts on while clk_i stands.
module nic
  import nic_pkg::*;
#(
  parameter int unsigned QueuePairs    = 1,    // 1..8, beside the control queue
  parameter int unsigned HostDataWidth = 128,  // bits, 64..512
  parameter int unsigned MaxQueueSize  = 1024, // descriptors, what queue_size reads after reset
  parameter int unsigned WatchPeriod   = 65536, // cycles: completions may take so long, not twice as long
  parameter logic [63:0] Features      = '1    // feature bits that are built in: of others not even the blocks
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,

  // AXI4-Lite slave, BAR0
  input  logic [15:0]                s_axil_awaddr_i,
  input  logic                       s_axil_awvalid_i,
  output logic                       s_axil_awready_o,
  input  logic [31:0]                s_axil_wdata_i,
  input  logic [3:0]                 s_axil_wstrb_i,
  input  logic                       s_axil_wvalid_i,
  output logic                       s_axil_wready_o,
  output logic [1:0]                 s_axil_bresp_o,
  output logic                       s_axil_bvalid_o,
  input  logic                       s_axil_bready_i,
  input  logic [15:0]                s_axil_araddr_i,
  input  logic                       s_axil_arvalid_i,
  output logic                       s_axil_arready_o,
  output logic [31:0]                s_axil_rdata_o,
  output logic [1:0]                 s_axil_rresp_o,
  output logic                       s_axil_rvalid_o,
  input  logic                       s_axil_rready_i,

  // AXI4 master, DMA and MSI-X messages. INCR bursts; data bursts use full-width beats (the first
  // may start unaligned), descriptors 16-byte beats, event structures and messages 4, used 8 bytes
  output axi_id_t                    m_axi_awid_o,
  output logic [63:0]                m_axi_awaddr_o,
  output logic [7:0]                 m_axi_awlen_o,
  output logic [2:0]                 m_axi_awsize_o,
  output logic [1:0]                 m_axi_awburst_o,
  output logic                       m_axi_awvalid_o,
  input  logic                       m_axi_awready_i,
  output logic [HostDataWidth-1:0]   m_axi_wdata_o,
  output logic [HostDataWidth/8-1:0] m_axi_wstrb_o,
  output logic                       m_axi_wlast_o,
  output logic                       m_axi_wvalid_o,
  input  logic                       m_axi_wready_i,
  input  axi_id_t                    m_axi_bid_i,
  input  logic [1:0]                 m_axi_bresp_i,
  input  logic                       m_axi_bvalid_i,
  output logic                       m_axi_bready_o,
  output axi_id_t                    m_axi_arid_o,
  output logic [63:0]                m_axi_araddr_o,
  output logic [7:0]                 m_axi_arlen_o,
  output logic [2:0]                 m_axi_arsize_o,
  output logic [1:0]                 m_axi_arburst_o,
  output logic                       m_axi_arvalid_o,
  input  logic                       m_axi_arready_i,
  input  axi_id_t                    m_axi_rid_i,
  input  logic [HostDataWidth-1:0]   m_axi_rdata_i,
  input  logic [1:0]                 m_axi_rresp_i,
  input  logic                       m_axi_rlast_i,
  input  logic                       m_axi_rvalid_i,
  output logic                       m_axi_rready_o,

  // XGMII, lane 0 = bits 7:0
  input  logic [63:0]                xgmii_rxd_i,
  input  logic [7:0]                 xgmii_rxc_i,
  output logic [63:0]                xgmii_txd_o,
  output logic [7:0]                 xgmii_txc_o,
  input  logic                       link_up_i,

  // From the PCI configuration space: bus master enable, MSI-X enable, MSI-X function mask
  input  logic                       bus_master_en_i,
  input  logic                       msix_enable_i,
  input  logic                       msix_mask_i,

  input  logic [47:0]                cycle_i,         // counts cycles, also while clk_i stands; wraps

  // Device options, static
  input  logic [63:0]                cfg_features_i,  // feature bits to offer; what the RTL lacks is never offered
  input  logic [47:0]                cfg_mac_i,       // bits 7:0 = first octet on the wire
  input  logic [3:0]                 cfg_queue_pairs_i,  // pairs to offer, 1..QueuePairs
  input  logic [15:0]                cfg_mtu_i,       // bytes, 68..9202 (a frame is at most MTU + 14 + 4 bytes of VLAN tag, without FCS)

  output logic                       busy_o,
  output logic [31:0]                timer_o
);

  import virtio_pkg::*;

  localparam int unsigned NumQueues = 2 * QueuePairs + 1;
  localparam int unsigned CTRL      = NumQueues - 1;
  localparam int unsigned FcsBytes  = 4;

  // Features chooses from SUPPORTED what is built, and cfg_features_i what is offered.
  localparam logic [63:0] BUILT = with_requirements(with_requirements(SUPPORTED & Features));

  // ---- device options, taken during reset ---------------------------------------------------------
  logic [63:0] offered_features;
  logic [3:0]  offered_pairs;
  logic [47:0] mac;
  logic [15:0] mtu, max_frame;  // max_frame: bytes without FCS
  device_options #(
    .QueuePairs(QueuePairs),
    .Built     (BUILT)
  ) u_options (
    .clk_i,
    .rst_ni,
    .cfg_features_i,
    .cfg_mac_i,
    .cfg_queue_pairs_i,
    .cfg_mtu_i,
    .offered_o    (offered_features),
    .queue_pairs_o(offered_pairs),
    .mac_o        (mac),
    .mtu_o        (mtu),
    .max_frame_o  (max_frame)
  );

  // ---- control --------------------------------------------------------------------------------------
  vq_cfg_t              vq_cfg [NumQueues];
  /* verilator lint_off UNUSEDSIGNAL */
  logic [63:0]          features;  // negotiated; not each one changes the data path
  /* verilator lint_on UNUSEDSIGNAL */
  ctrl_cfg_t            ctrl_cfg;
  logic [319:0]         rss_key;
  ctrl_write_t          ctrl_write;
  logic                 device_reset;  // pulse
  logic [NumQueues-1:0] kick, vq_irq, vq_error, vq_idle, vq_busy;
  logic [NUM_STATS-1:0] count;
  logic [NumQueues:0]   lost;   // by queue, then MSI-X
  logic [3:0]           rx_buffers, tx_buffers, tx_malformed;
  logic                 ctrl_busy, dma_port_busy, rx_busy, tx_busy;
  mac_rx_stat_t         mac_rx_stat;
  mac_tx_stat_t         mac_tx_stat;
  mac_ctrl_t            mac_ctrl;

  // Write clients: MSI-X, the virtqueues, answers of the control queue
  localparam int unsigned Words  = NumQueues + 2;
  localparam int unsigned Answer = Words - 1;
  word_write_t            word [Words];
  /* verilator lint_off UNUSEDSIGNAL */
  logic [Words-1:0]       word_valid, word_ready, word_done;
  /* verilator lint_on UNUSEDSIGNAL */

  logic b_error;  // with the pulse of a write's response

  ctrl #(
    .QueuePairs   (QueuePairs),
    .HostDataWidth(HostDataWidth),
    .MaxQueueSize (MaxQueueSize)
  ) u_ctrl (
    .clk_i,
    .rst_ni,
    .awaddr_i         (s_axil_awaddr_i),
    .awvalid_i        (s_axil_awvalid_i),
    .awready_o        (s_axil_awready_o),
    .wdata_i          (s_axil_wdata_i),
    .wstrb_i          (s_axil_wstrb_i),
    .wvalid_i         (s_axil_wvalid_i),
    .wready_o         (s_axil_wready_o),
    .bresp_o          (s_axil_bresp_o),
    .bvalid_o         (s_axil_bvalid_o),
    .bready_i         (s_axil_bready_i),
    .araddr_i         (s_axil_araddr_i),
    .arvalid_i        (s_axil_arvalid_i),
    .arready_o        (s_axil_arready_o),
    .rdata_o          (s_axil_rdata_o),
    .rresp_o          (s_axil_rresp_o),
    .rvalid_o         (s_axil_rvalid_o),
    .rready_i         (s_axil_rready_i),
    .features_i       (offered_features),
    .queue_pairs_i    (offered_pairs),
    .mac_i            (ctrl_cfg.mac),
    .mtu_i            (mtu),
    .bus_master_en_i,
    .msix_enable_i,
    .msix_mask_i,
    .link_up_i,
    .queue_o          (vq_cfg),
    .driver_features_o(features),
    .reset_o          (device_reset),
    .kick_o           (kick),
    .queue_irq_i      (vq_irq),
    .queue_error_i    (vq_error),
    .queue_idle_i     (vq_idle),
    .lost_i           (lost),
    .write_o          (word[0]),
    .write_valid_o    (word_valid[0]),
    .write_ready_i    (word_ready[0]),
    .write_done_i     (word_done[0]),
    .write_error_i    (b_error),
    .mac_ctrl_o       (mac_ctrl),
    .count_i          (count),
    .rx_bytes_i       (mac_rx_stat.bytes),
    .tx_bytes_i       (mac_tx_stat.bytes),
    .rx_buffers_i     (rx_buffers),
    .tx_buffers_i     (tx_buffers),
    .tx_malformed_i   (tx_malformed),
    .busy_o           (ctrl_busy)
  );

  // ---- DMA port ---------------------------------------------------------------------------------------
  // Read clients: descriptors, event structures and data of each queue
  localparam int unsigned Readers = 3 * NumQueues;
  localparam int unsigned EVENT   = NumQueues;
  localparam int unsigned DATA    = 2 * NumQueues;
  logic [63:0]                ar_addr [Readers];
  logic [7:0]                 ar_len [Readers];
  /* verilator lint_off UNUSEDSIGNAL */
  logic [Readers-1:0]         ar_valid, ar_ready, r_valid;  // receive queues read no data
  /* verilator lint_on UNUSEDSIGNAL */
  logic [HostDataWidth-1:0]   r_data, w_data;
  logic [HostDataWidth/8-1:0] w_strb;
  logic [63:0]                aw_addr;
  logic [3:0]                 aw_len;
  logic [2:0]                 aw_pair;
  logic [QueuePairs-1:0]      burst_done;
  logic r_last, r_error, aw_valid, aw_ready, w_valid, w_ready;

  dma_port #(
    .QueuePairs   (QueuePairs),
    .HostDataWidth(HostDataWidth),
    .WatchPeriod  (WatchPeriod)
  ) u_dma_port (
    .clk_i,
    .rst_ni,
    .cycle_i,
    .ar_addr_i   (ar_addr),
    .ar_len_i    (ar_len),
    .ar_valid_i  (ar_valid),
    .ar_ready_o  (ar_ready),
    .r_valid_o   (r_valid),
    .r_data_o    (r_data),
    .r_last_o    (r_last),
    .r_error_o   (r_error),
    .word_i      (word),
    .word_valid_i(word_valid),
    .word_ready_o(word_ready),
    .word_done_o (word_done),
    .aw_pair_i   (aw_pair),
    .aw_addr_i   (aw_addr),
    .aw_len_i    (aw_len),
    .aw_valid_i  (aw_valid),
    .aw_ready_o  (aw_ready),
    .w_data_i    (w_data),
    .w_strb_i    (w_strb),
    .w_valid_i   (w_valid),
    .w_ready_o   (w_ready),
    .burst_done_o(burst_done),
    .b_error_o   (b_error),
    .m_axi_awid_o,
    .m_axi_awaddr_o,
    .m_axi_awlen_o,
    .m_axi_awsize_o,
    .m_axi_awburst_o,
    .m_axi_awvalid_o,
    .m_axi_awready_i,
    .m_axi_wdata_o,
    .m_axi_wstrb_o,
    .m_axi_wlast_o,
    .m_axi_wvalid_o,
    .m_axi_wready_i,
    .m_axi_bid_i,
    .m_axi_bresp_i,
    .m_axi_bvalid_i,
    .m_axi_bready_o,
    .m_axi_arid_o,
    .m_axi_araddr_o,
    .m_axi_arlen_o,
    .m_axi_arsize_o,
    .m_axi_arburst_o,
    .m_axi_arvalid_o,
    .m_axi_arready_i,
    .m_axi_rid_i,
    .m_axi_rdata_i,
    .m_axi_rresp_i,
    .m_axi_rlast_i,
    .m_axi_rvalid_i,
    .m_axi_rready_o,
    .lost_o      (lost),
    .busy_o      (dma_port_busy)
  );

  // ---- virtqueues -------------------------------------------------------------------------------------
  vq_desc_t desc [NumQueues];
  vq_used_t used [NumQueues];
  // Split in simulation: what one queue does is not evaluated for the others.
  logic [NumQueues-1:0] desc_valid /* verilator split_var */, desc_ready /* verilator split_var */;
  logic [NumQueues-1:0] used_valid /* verilator split_var */, used_ready /* verilator split_var */;
  logic [NumQueues-1:0] ring_error, ring_idle;

  // Timers: moderation of each queue, and coalescing
  localparam int unsigned Timers   = NumQueues + 1;
  localparam int unsigned COALESCE = NumQueues;
  logic [Timers-1:0]       timer_set, timer_clear, timer_due;
  logic [Timers-1:0][47:0] timer_deadline;
  logic                    timers_busy;
  if (BUILT[F_NET_NOTF_COAL] || BUILT[F_NET_GUEST_TSO4] || BUILT[F_NET_GUEST_TSO6]) begin : gen_timers
    deadline #(
      .N(Timers)
    ) u_deadline (
      .clk_i,
      .rst_ni,
      .cycle_i,
      .set_i     (timer_set),
      .deadline_i(timer_deadline),
      .clear_i   (timer_clear),
      .due_o     (timer_due),
      .timer_o,
      .busy_o    (timers_busy)
    );
  end else begin : gen_no_timers
    assign timer_due   = '0;
    assign timer_o     = '1;
    assign timers_busy = 1'b0;
    wire unused_timers = &{1'b0, timer_set, timer_clear, timer_deadline};
  end

  // The control queue is the last.
  localparam int unsigned Rings = BUILT[F_NET_CTRL_VQ] ? NumQueues : NumQueues - 1;
  for (genvar q = 0; q < int'(Rings); q++) begin : gen_vq
    localparam logic [1:0] Direction = q == int'(CTRL) ? VQ_BOTH : q % 2 == 0 ? VQ_WRITE : VQ_READ;
    virtqueue #(
      .HostDataWidth(HostDataWidth),
      .Direction    (Direction),
      .Indirect     (BUILT[F_INDIRECT_DESC]),
      .Moderation   (BUILT[F_NET_NOTF_COAL])
    ) u_vq (
      .clk_i,
      .rst_ni,
      .cfg_i           (vq_cfg[q]),
      .event_idx_i     (features[F_EVENT_IDX]),
      .in_order_i      (features[F_IN_ORDER]),
      .indirect_i      (features[F_INDIRECT_DESC]),
      .kick_i          (kick[q]),
      .desc_o          (desc[q]),
      .desc_valid_o    (desc_valid[q]),
      .desc_ready_i    (desc_ready[q]),
      .used_i          (used[q]),
      .used_valid_i    (used_valid[q]),
      .used_ready_o    (used_ready[q]),
      .desc_ar_addr_o  (ar_addr[q]),
      .desc_ar_len_o   (ar_len[q]),
      .desc_ar_valid_o (ar_valid[q]),
      .desc_ar_ready_i (ar_ready[q]),
      .desc_r_valid_i  (r_valid[q]),
      .event_ar_addr_o (ar_addr[EVENT+q]),
      .event_ar_valid_o(ar_valid[EVENT+q]),
      .event_ar_ready_i(ar_ready[EVENT+q]),
      .event_r_valid_i (r_valid[EVENT+q]),
      .r_data_i        (r_data),
      .r_error_i       (r_error),
      .r_last_i        (r_last),
      .write_o         (word[1+q]),
      .write_valid_o   (word_valid[1+q]),
      .write_ready_i   (word_ready[1+q]),
      .write_done_i    (word_done[1+q]),
      .write_error_i   (b_error),
      .coal_i          (q == int'(CTRL) ? '0 : q % 2 == 0 ? ctrl_cfg.rx_coal : ctrl_cfg.tx_coal),
      .cycle_i,
      .timer_set_o     (timer_set[q]),
      .timer_deadline_o(timer_deadline[q]),
      .timer_clear_o   (timer_clear[q]),
      .due_i           (timer_due[q]),
      .irq_o           (vq_irq[q]),
      .error_o         (ring_error[q]),
      .idle_o          (ring_idle[q]),
      .busy_o          (vq_busy[q])
    );
    assign ar_len[EVENT+q] = '0;
  end

  logic [NumQueues-1:0] path_error, path_idle;

  for (genvar q = 0; q < int'(CTRL); q += 2) begin : gen_no_reads
    assign ar_addr[DATA+q]  = '0;
    assign ar_len[DATA+q]   = '0;
    assign ar_valid[DATA+q] = 1'b0;
  end

  // ---- control queue ----------------------------------------------------------------------------------
  logic        ctrl_vq_busy;
  assign ar_len[DATA+CTRL] = '0;

  if (BUILT[F_NET_CTRL_VQ]) begin : gen_ctrl_vq
    ctrl_vq #(
      .HostDataWidth(HostDataWidth)
    ) u_ctrl_vq (
      .clk_i,
      .rst_ni,
      .enable_i     (vq_cfg[CTRL].enable),
      .clear_i      (device_reset),
      .features_i   (features),
      .mac_i        (mac),
      .queue_pairs_i(offered_pairs),
      .desc_i       (desc[CTRL]),
      .desc_valid_i (desc_valid[CTRL]),
      .desc_ready_o (desc_ready[CTRL]),
      .used_o       (used[CTRL]),
      .used_valid_o (used_valid[CTRL]),
      .used_ready_i (used_ready[CTRL]),
      .ar_addr_o    (ar_addr[DATA+CTRL]),
      .ar_valid_o   (ar_valid[DATA+CTRL]),
      .ar_ready_i   (ar_ready[DATA+CTRL]),
      .r_data_i     (r_data),
      .r_error_i    (r_error),
      .r_valid_i    (r_valid[DATA+CTRL]),
      .write_o      (word[Answer]),
      .write_valid_o(word_valid[Answer]),
      .write_ready_i(word_ready[Answer]),
      .write_done_i (word_done[Answer]),
      .write_error_i(b_error),
      .cfg_o        (ctrl_cfg),
      .rss_key_o    (rss_key),
      .tables_o     (ctrl_write),
      .stat_ok_o    (count[STAT_CTRL_OK]),
      .stat_err_o   (count[STAT_CTRL_ERR]),
      .error_o      (path_error[CTRL]),
      .idle_o       (path_idle[CTRL]),
      .busy_o       (ctrl_vq_busy)
    );
  end else begin : gen_no_ctrl_vq
    always_comb begin
      ctrl_cfg       = '0;
      ctrl_cfg.mac   = mac;
      ctrl_cfg.pairs = 4'd1;
    end
    assign rss_key                  = '0;
    assign ctrl_write               = '0;
    assign count[STAT_CTRL_OK]      = 1'b0;
    assign count[STAT_CTRL_ERR]     = 1'b0;
    assign ctrl_vq_busy             = 1'b0;
    assign path_error[CTRL]         = 1'b0;
    assign path_idle[CTRL]          = 1'b1;
    assign ring_error[CTRL]         = 1'b0;
    assign ring_idle[CTRL]          = 1'b1;
    assign vq_irq[CTRL]             = 1'b0;
    assign vq_busy[CTRL]            = 1'b0;
    assign desc[CTRL]               = '0;
    assign desc_valid[CTRL]         = 1'b0;
    assign desc_ready[CTRL]         = 1'b0;
    assign used[CTRL]               = '0;
    assign used_valid[CTRL]         = 1'b0;
    assign used_ready[CTRL]         = 1'b0;
    assign ar_addr[CTRL]            = '0;
    assign ar_len[CTRL]             = '0;
    assign ar_valid[CTRL]           = 1'b0;
    assign ar_addr[EVENT+CTRL]      = '0;
    assign ar_len[EVENT+CTRL]       = '0;
    assign ar_valid[EVENT+CTRL]     = 1'b0;
    assign ar_addr[DATA+CTRL]       = '0;
    assign ar_valid[DATA+CTRL]      = 1'b0;
    assign word[1+CTRL]             = '0;
    assign word_valid[1+CTRL]       = 1'b0;
    assign word[Answer]             = '0;
    assign word_valid[Answer]       = 1'b0;
    assign timer_set[CTRL]          = 1'b0;
    assign timer_deadline[CTRL]     = '0;
    assign timer_clear[CTRL]        = 1'b0;
    wire unused_ctrl_vq = &{1'b0, kick[CTRL], desc_ready[CTRL]};
  end

  // ---- MAC: loopback, pause ---------------------------------------------------------------------------
  logic [63:0] txd;
  logic [7:0]  txc;
  logic        pause, xoff;
  logic [15:0] quanta;
  assign xgmii_txd_o = mac_ctrl.loopback ? xgmii_pkg::XGMII_IDLE_WORD : txd;
  assign xgmii_txc_o = mac_ctrl.loopback ? 8'hff : txc;

  // ---- data paths -------------------------------------------------------------------------------------
  // Receive queues, one behind the other.
  vq_desc_t              rx_desc [QueuePairs];
  vq_used_t              rx_used;
  logic [15:0]           rx_size [QueuePairs];
  logic [QueuePairs-1:0] rx_enable, rx_desc_valid, rx_desc_ready, rx_used_valid, rx_used_ready;
  logic [QueuePairs-1:0] rx_error, rx_idle;
  for (genvar p = 0; p < int'(QueuePairs); p++) begin : gen_rx
    assign rx_desc[p]        = desc[2*p];
    assign rx_size[p]        = vq_cfg[2*p].size;
    assign rx_enable[p]      = vq_cfg[2*p].enable;
    assign rx_desc_valid[p]  = desc_valid[2*p];
    assign rx_used_ready[p]  = used_ready[2*p];
    assign desc_ready[2*p]   = rx_desc_ready[p];
    assign used[2*p]         = rx_used;
    assign used_valid[2*p]   = rx_used_valid[p];
    assign path_error[2*p]   = rx_error[p];
    assign path_idle[2*p]    = rx_idle[p];
  end

  // A coalesced frame is in the store as a whole before it goes out: up to 64 KiB, with one pair 24.
  rx_path #(
    .QueuePairs   (QueuePairs),
    .HostDataWidth(HostDataWidth),
    .StoreWords   (QueuePairs > 1 ? 16384 : 4096),
    .MaxQueueSize (MaxQueueSize),
    .Filter       (BUILT[F_NET_CTRL_RX] || BUILT[F_NET_CTRL_VLAN]),
    .Flow         (BUILT[F_NET_MQ] || BUILT[F_NET_RSS] || BUILT[F_NET_HASH_REPORT]),
    .Coalesce     (BUILT[F_NET_GUEST_TSO4] || BUILT[F_NET_GUEST_TSO6])
  ) u_rx_path (
    .clk_i,
    .rst_ni,
    .enable_i    (rx_enable),
    .size_i      (rx_size),
    .guest_csum_i(features[F_NET_GUEST_CSUM]),
    .mergeable_i  (BUILT[F_NET_MRG_RXBUF] && features[F_NET_MRG_RXBUF]),
    .hash_report_i(BUILT[F_NET_HASH_REPORT] && features[F_NET_HASH_REPORT]),
    .max_frame_i (max_frame + 16'(FcsBytes)),
    .mac_control_i(mac_ctrl.rx_pause),
    .station_i   (mac),
    .pause_o     (pause),
    .quanta_o    (quanta),
    .tx_pause_i  (mac_ctrl.tx_pause),
    .xoff_o      (xoff),
    .mac_other_o (count[STAT_RX_MAC_CTRL]),
    .loopback_i  (mac_ctrl.loopback),
    .loop_d_i    (txd),
    .loop_c_i    (txc),
    .filter_rx_i  (features[F_NET_CTRL_RX]),
    .filter_vlan_i(features[F_NET_CTRL_VLAN]),
    .flow_i       (features[F_NET_MQ] || features[F_NET_RSS] || features[F_NET_HASH_REPORT]),
    .tso4_i       (features[F_NET_GUEST_TSO4]),
    .tso6_i       (features[F_NET_GUEST_TSO6]),
    .clear_i      (device_reset),
    .cfg_i        (ctrl_cfg),
    .rss_key_i    (rss_key),
    .write_i      (ctrl_write),
    .xgmii_rxd_i,
    .xgmii_rxc_i,
    .desc_i      (rx_desc),
    .desc_valid_i(rx_desc_valid),
    .desc_ready_o(rx_desc_ready),
    .used_o      (rx_used),
    .used_valid_o(rx_used_valid),
    .used_ready_i(rx_used_ready),
    .aw_addr_o   (aw_addr),
    .aw_len_o    (aw_len),
    .aw_pair_o   (aw_pair),
    .aw_valid_o  (aw_valid),
    .aw_ready_i  (aw_ready),
    .w_data_o    (w_data),
    .w_strb_o    (w_strb),
    .w_valid_o   (w_valid),
    .w_ready_i   (w_ready),
    .b_valid_i   (burst_done),
    .b_error_i   (b_error),
    .mac_stat_o  (mac_rx_stat),
    .filtered_o  (count[STAT_RX_FILTERED]),
    .coalesced_o (count[STAT_RX_COALESCED]),
    .lro_o       (count[STAT_RX_LRO_FRAMES]),
    .no_space_o  (count[STAT_RX_NO_SPACE]),
    .disabled_o  (count[STAT_RX_DISABLED]),
    .truncated_o (count[STAT_RX_TRUNCATED]),
    .no_buffer_o (count[STAT_RX_NO_BUFFER]),
    .csum_o      (count[STAT_RX_CSUM_VALID]),
    .error_o     (rx_error),
    .idle_o      (rx_idle),
    .cycle_i,
    .timer_set_o     (timer_set[COALESCE]),
    .timer_deadline_o(timer_deadline[COALESCE]),
    .timer_clear_o   (timer_clear[COALESCE]),
    .timer_due_i     (timer_due[COALESCE]),
    .busy_o      (rx_busy)
  );

  // Transmit queues, by pair
  vq_desc_t              tx_desc [QueuePairs];
  vq_used_t              tx_used [QueuePairs];
  logic [63:0]           tx_ar_addr [QueuePairs];
  logic [3:0]            tx_ar_len [QueuePairs];
  logic [QueuePairs-1:0] tx_enable, tx_desc_valid, tx_desc_ready, tx_used_valid, tx_used_ready,
                         tx_ar_valid, tx_ar_ready, tx_r_valid, tx_bad_chain, tx_error, tx_idle;
  logic [1:0]            bad_frame;
  for (genvar p = 0; p < int'(QueuePairs); p++) begin : gen_tx
    localparam int Q = 2 * p + 1;
    assign tx_enable[p]     = vq_cfg[Q].enable;
    assign tx_desc[p]       = desc[Q];
    assign tx_desc_valid[p] = desc_valid[Q];
    assign desc_ready[Q]    = tx_desc_ready[p];
    assign used[Q]          = tx_used[p];
    assign used_valid[Q]    = tx_used_valid[p];
    assign tx_used_ready[p] = used_ready[Q];
    assign ar_addr[DATA+Q]  = tx_ar_addr[p];
    assign ar_len[DATA+Q]   = {4'b0, tx_ar_len[p]};
    assign ar_valid[DATA+Q] = tx_ar_valid[p];
    assign tx_ar_ready[p]   = ar_ready[DATA+Q];
    assign tx_r_valid[p]    = r_valid[DATA+Q];
    assign path_error[Q]    = tx_error[p];
    assign path_idle[Q]     = tx_idle[p];
  end

  tx_path #(
    .QueuePairs   (QueuePairs),
    .HostDataWidth(HostDataWidth),
    .Segmentation (BUILT[F_NET_HOST_TSO4] || BUILT[F_NET_HOST_TSO6] || BUILT[F_NET_HOST_USO] ||
                   BUILT[F_NET_HASH_REPORT])  // tx_seg takes off the longer header
  ) u_tx_path (
    .clk_i,
    .rst_ni,
    .enable_i    (tx_enable),
    .csum_en_i   (features[F_NET_CSUM]),
    .tso4_i      (features[F_NET_HOST_TSO4]),
    .tso6_i      (features[F_NET_HOST_TSO6]),
    .ecn_i       (features[F_NET_HOST_ECN]),
    .uso_i       (features[F_NET_HOST_USO]),
    .hash_hdr_i  (features[F_NET_HASH_REPORT]),
    .max_frame_i (max_frame),
    .desc_i      (tx_desc),
    .desc_valid_i(tx_desc_valid),
    .desc_ready_o(tx_desc_ready),
    .used_o      (tx_used),
    .used_valid_o(tx_used_valid),
    .used_ready_i(tx_used_ready),
    .ar_addr_o   (tx_ar_addr),
    .ar_len_o    (tx_ar_len),
    .ar_valid_o  (tx_ar_valid),
    .ar_ready_i  (tx_ar_ready),
    .r_data_i    (r_data),
    .r_error_i   (r_error),
    .r_valid_i   (tx_r_valid),
    .cycle_i,
    .station_i   (mac),
    .pause_i     (pause),
    .quanta_i    (quanta),
    .xoff_i      (xoff),
    .pause_sent_o(count[STAT_TX_PAUSE]),
    .xgmii_txd_o (txd),
    .xgmii_txc_o (txc),
    .mac_stat_o  (mac_tx_stat),
    .malformed_o (bad_frame),
    .bad_chain_o (tx_bad_chain),
    .csum_o      (count[STAT_TX_CSUM]),
    .gso_o       (count[STAT_TX_GSO]),
    .segment_o   (count[STAT_TX_SEGMENTS]),
    .error_o     (tx_error),
    .idle_o      (tx_idle),
    .busy_o      (tx_busy)
  );

  // ---- errors, statistics, quiescence -----------------------------------------------------------------
  assign vq_error = ring_error | path_error;
  assign vq_idle  = ring_idle & path_idle;

  assign count[STAT_RX_FRAMES]   = mac_rx_stat.good;
  assign count[STAT_RX_BYTES]    = mac_rx_stat.good;
  assign count[STAT_RX_BAD_FCS]  = mac_rx_stat.bad_fcs;
  assign count[STAT_RX_RUNT]     = mac_rx_stat.runt;
  assign count[STAT_RX_OVERSIZE] = mac_rx_stat.oversize;
  assign count[STAT_RX_ERROR]    = mac_rx_stat.error;
  assign count[STAT_RX_PAUSE]    = pause;
  assign count[STAT_TX_FRAMES]   = mac_tx_stat.sent;
  assign count[STAT_TX_BYTES]    = mac_tx_stat.sent;
  assign count[STAT_TX_UNDERRUN] = mac_tx_stat.underrun;
  assign count[STAT_RX_BUFFERS]   = rx_buffers != '0;
  assign count[STAT_TX_BUFFERS]   = tx_buffers != '0;
  assign count[STAT_TX_MALFORMED] = tx_malformed != '0;

  // Of queues that may do so in the same cycle.
  wire [NumQueues-1:0] returned = used_valid & used_ready;
  always_comb begin
    rx_buffers   = '0;
    tx_buffers   = '0;
    tx_malformed = 4'(bad_frame[0]) + 4'(bad_frame[1]);
    if (returned != '0 || tx_bad_chain != '0) begin
      for (int unsigned p = 0; p < QueuePairs; p++) begin
        rx_buffers   += 4'(returned[2*p] && vq_cfg[2*p].enable);
        tx_buffers   += 4'(returned[2*p+1] && vq_cfg[2*p+1].enable);
        tx_malformed += 4'(tx_bad_chain[p]);
      end
    end
  end

  assign count[STAT_DMA_ERROR]   = (r_valid != '0 && r_error) ||
                                   ((word_done != '0 || burst_done != '0) && b_error);

  // A ring that waits for completions that do not come does nothing.
  assign busy_o  = ctrl_busy || dma_port_busy || (vq_busy & ~lost[NumQueues-1:0]) != '0 || rx_busy ||
                   tx_busy || ctrl_vq_busy || timers_busy;

`ifndef SYNTHESIS
  initial begin
    assert (QueuePairs >= 1 && QueuePairs <= MAX_QUEUE_PAIRS)
    else $fatal(1, "nic: QueuePairs must be 1..8");
    assert (HostDataWidth inside {64, 128, 256, 512})
    else $fatal(1, "nic: HostDataWidth must be 64, 128, 256 or 512");
  end
`endif

endmodule
