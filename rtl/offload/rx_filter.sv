// Which received frames the driver wants: receive modes, address table and VLAN table (virtio
// 5.1.6.5.1 to 5.1.6.5.3).
//
// Taps the stream of good frames, which has no tready. drop_o, valid with tlast of a frame of 60
// bytes or more: the frame is to be dropped. Without either enable it is 0.
//   filter_rx_i    VIRTIO_NET_F_CTRL_RX negotiated: by destination. Wanted are the own address, what is
//                  in the table, and broadcast; all-multicast and promiscuous mode as they say.
//   filter_vlan_i  VIRTIO_NET_F_CTRL_VLAN negotiated: frames whose first tag is not in the table are
//                  dropped, unless in promiscuous mode.
//
// Address table: 32 unicast and 32 multicast addresses, of which as many are looked at as mac_set has
// told; with mac_all, all of that kind are wanted. Four rows of eight are compared in the four cycles
// behind a frame's first beat.
// VLAN table: a change takes a few cycles; vlan_we comes once in eight cycles at the most.
// clear_i, one cycle: both tables are empty.
// cfg_i and the tables may change at any time; a frame that passes then may be judged by either.
module rx_filter
  import nic_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        clear_i,

  input  logic        filter_rx_i,
  input  logic        filter_vlan_i,
  /* verilator lint_off UNUSEDSIGNAL */
  input  ctrl_cfg_t   cfg_i,          // mode and mac
  input  ctrl_write_t write_i,        // mac_..., vlan_...
  /* verilator lint_on UNUSEDSIGNAL */

  /* verilator lint_off UNUSEDSIGNAL */
  input  logic [63:0] s_axis_tdata_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic        s_axis_tvalid_i,
  input  logic        s_axis_first_i,  // with a frame's first beat
  input  logic        s_axis_tlast_i,
  output logic        drop_o,

  output logic        busy_o          // the clock must run
);

  localparam int unsigned Ways = 8;

  // As it lies in the lanes: first octet in the low byte.
  localparam logic [15:0] ETH_P_8021Q  = 16'h0081;
  localparam logic [15:0] ETH_P_8021AD = 16'ha888;

  // While the filter is off its clock stands, and runs for some beats when a table is written: a frame
  // is only judged when its first beat was seen.
  logic judged_q, second_q;
  wire  first  = s_axis_tvalid_i && s_axis_first_i;
  wire  second = s_axis_tvalid_i && second_q && !s_axis_first_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      judged_q <= 1'b0;
      second_q <= 1'b0;
    end else if (s_axis_tvalid_i) begin
      judged_q <= (first ? filter_rx_i || filter_vlan_i : judged_q) && !s_axis_tlast_i;
      second_q <= first && !s_axis_tlast_i;
    end
  end

  ///////////////////
  // Address table //
  ///////////////////

  logic [47:0] to_q;
  logic        searching_q, listed_q;
  logic [1:0]  row_q;  // that is being compared

  wire  [1:0]      next_row = first ? 2'd0 : row_q + 2'd1;
  wire             group    = first ? s_axis_tdata_i[0] : to_q[0];
  logic [1:0][5:0] count_q;      // unicast, multicast
  logic [1:0]      all_q;
  wire  [5:0]      count = count_q[to_q[0]];
  logic [Ways-1:0] equal;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      count_q <= '0;
      all_q   <= '0;
    end else if (write_i.mac_set) begin
      count_q <= write_i.mac_count;
      all_q   <= write_i.mac_all;
    end
  end

  for (genvar way = 0; way < int'(Ways); way++) begin : gen_way
    logic [47:0] entry;
    // Read while being written, an entry is the old or the new one: the table is changing.
    ram_sdp #(
      .Width(48),
      .Depth(8)
    ) u_row (
      .clk_i,
      .we_i   (write_i.mac_we && write_i.mac_index[2:0] == 3'(way)),
      .waddr_i(write_i.mac_index[5:3]),
      .wdata_i(write_i.mac),
      .re_i   (first || searching_q),
      .raddr_i({group, next_row}),
      .rdata_o(entry)
    );
    assign equal[way] = entry == to_q && {1'b0, row_q, 3'(way)} < count;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      searching_q <= 1'b0;
    end else begin
      if (first) searching_q <= filter_rx_i;
      else if (row_q == 2'd3) searching_q <= 1'b0;
    end
    if (first) begin
      to_q     <= s_axis_tdata_i[47:0];
      row_q    <= 2'd0;
      listed_q <= 1'b0;
    end else if (searching_q) begin
      row_q    <= next_row;
      listed_q <= listed_q || equal != '0;
    end
  end

  ////////////////
  // VLAN table //
  ////////////////

  // 64 rows of 64; a row that was not written since it was cleared counts as zero.
  logic [63:0] row_valid_q;
  logic        tagged_q, vlan_read_q, vlan_listed_q;
  logic [11:0] vlan_q;
  logic        pending_q;  // a change, as it was written:
  logic [11:0] change_id_q;
  logic        change_on_q;
  logic        modify_q;   // the row to change has been read
  logic [63:0] row;

  wire [15:0] tpid   = s_axis_tdata_i[47:32];
  wire [11:0] vlan   = {s_axis_tdata_i[51:48], s_axis_tdata_i[63:56]};
  wire        lookup = second && filter_vlan_i;
  wire        change = modify_q && !lookup;

  logic [63:0] changed;
  always_comb begin
    changed = row_valid_q[change_id_q[11:6]] ? row : '0;
    changed[change_id_q[5:0]] = change_on_q;
  end

  ram_sdp #(
    .Width(64),
    .Depth(64)
  ) u_vlans (
    .clk_i,
    .we_i   (change),
    .waddr_i(change_id_q[11:6]),
    .wdata_i(changed),
    .re_i   (lookup || (pending_q && !modify_q)),
    .raddr_i(lookup ? vlan[11:6] : change_id_q[11:6]),
    .rdata_o(row)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      row_valid_q <= '0;
      pending_q   <= 1'b0;
      modify_q    <= 1'b0;
      vlan_read_q <= 1'b0;
    end else begin
      // A lookup takes the RAM's output away: read again.
      modify_q    <= pending_q && !modify_q && !lookup;
      vlan_read_q <= lookup;
      if (change) begin
        row_valid_q[change_id_q[11:6]] <= 1'b1;
        pending_q                      <= 1'b0;
      end
      if (write_i.vlan_we) pending_q <= 1'b1;
      if (clear_i) begin
        row_valid_q <= '0;
        pending_q   <= 1'b0;
        modify_q    <= 1'b0;
      end
    end
    if (write_i.vlan_we) begin
      change_id_q <= write_i.vlan_id;
      change_on_q <= write_i.vlan_on;
    end
    if (second) begin
      tagged_q <= tpid == ETH_P_8021Q || tpid == ETH_P_8021AD;
      vlan_q   <= vlan;
    end
    if (vlan_read_q) vlan_listed_q <= row_valid_q[vlan_q[11:6]] && row[vlan_q[5:0]];
  end

  /////////////
  // Verdict //
  /////////////

  logic wanted;
  always_comb begin
    if (to_q == '1)   wanted = 1'b1;
    else if (to_q[0]) wanted = cfg_i.mode.allmulti || all_q[1] || listed_q;
    else              wanted = all_q[0] || listed_q || to_q == cfg_i.mac;
  end
  assign drop_o = judged_q && !cfg_i.mode.promisc &&
                  ((filter_rx_i && !wanted) || (filter_vlan_i && tagged_q && !vlan_listed_q));
  assign busy_o = searching_q || vlan_read_q || pending_q;

endmodule
