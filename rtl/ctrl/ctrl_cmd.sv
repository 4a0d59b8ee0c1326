// Commands of the control queue (virtio 5.1.6.5), byte by byte, and the configuration that they set.
//
// begin_i, then one byte of the command per cycle with byte_valid_i (class, command, data; never
// held back), then end_i. done_o pulses when the command has been carried out, ok_o with it tells
// VIRTIO_NET_OK from VIRTIO_NET_ERR; a command that fails has changed nothing. Nothing may be offered
// between end_i and done_o: 1 cycle for most commands, up to 330 for tables.
// Known: RX promisc and allmulti, MAC_TABLE_SET (32 unicast and 32 multicast addresses are kept, of
// more the filter takes all: 5.1.6.5.2), MAC_ADDR_SET, VLAN_ADD and VLAN_DEL, MQ_VQ_PAIRS_SET,
// MQ_RSS_CONFIG, MQ_HASH_CONFIG, NOTF_COAL TX_SET and RX_SET; each only with its feature. Bytes behind
// the key of an RSS or hash configuration are not looked at: Linux 7.3 sends its padding, too.
// The last of the MQ commands says how frames are steered (5.1.6.5.5): by the table behind RSS_CONFIG,
// which also sets the number of pairs (max_tx_vq), automatically behind the others (5.1.6.5.6.4).
// clear_i, one cycle, as a device reset: back to the permanent address, empty tables, one pair, no
// hash, no moderation; what was begun is forgotten.
module ctrl_cmd
  import nic_pkg::*;
  import virtio_pkg::*;
  import ctrl_cmd_pkg::*;
(
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         clear_i,

  /* verilator lint_off UNUSEDSIGNAL */
  input  logic [63:0]  features_i,      // negotiated
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic [47:0]  mac_i,           // permanent address, bits 7:0 = first octet
  input  logic [3:0]   queue_pairs_i,   // max_virtqueue_pairs, 1..8

  input  logic         begin_i,
  input  logic [7:0]   byte_i,
  input  logic         byte_valid_i,
  output logic         full_o,          // too long: bytes are not looked at any more
  input  logic         end_i,
  output logic         done_o,
  output logic         ok_o,
  output logic         busy_o,          // between end_i and done_o

  output ctrl_cfg_t    cfg_o,
  output logic [319:0] rss_key_o,       // bits 7:0 = first byte
  output ctrl_write_t  write_o          // tables of others, see ctrl_write_t
);

  localparam int unsigned MAX_COMMAND = 8192;  // bytes; a longer one is refused
  localparam int unsigned MAC_ENTRIES = 32;
  localparam int unsigned KEY_BYTES   = 40;
  localparam int unsigned MAX_MASK    = 127;   // indirection table entries - 1
  localparam logic [31:0] HASH_TYPES  = 32'h1ff;

  typedef enum logic [3:0] {
    NONE, PROMISC, ALLMULTI, MAC_TABLE, MAC_ADDR, VLAN_ADD, VLAN_DEL, PAIRS, RSS, HASH, COAL_TX, COAL_RX
  } kind_e;

  // Where the next byte belongs. HEAD: the first bytes of the data. MAC_TABLE is COUNT, ENTRIES, COUNT,
  // ENTRIES. RSS is HEAD, TABLE, MAX_TX, KEY_LEN, KEY; HASH the same without table and max_tx_vq.
  typedef enum logic [3:0] {
    CLASS, COMMAND, HEAD, COUNT, ENTRIES, TABLE, MAX_TX, KEY_LEN, KEY, REST
  } section_e;

  typedef enum logic [2:0] {READY, MAC_COPY, MAC_SET, TABLE_COPY, KEY_COPY} state_e;

  state_e       state_q;
  section_e     section_q;
  logic [7:0]   class_q;
  kind_e        kind_q;
  logic [13:0]  size_q;       // bytes of the command, saturating above MAX_COMMAND
  logic         bad_q;
  logic [87:0]  head_q;       // of HEAD and COUNT, first byte in bits 7:0; not its twelfth
  logic [7:0]   low_q;        // the byte before
  logic [12:0]  place_q;      // byte of the section
  logic [12:0]  length_q;     // bytes of the section
  logic         part_q;       // 0 unicast, 1 multicast
  logic [5:0]   count_q [2];  // addresses that are kept
  logic [1:0]   all_q;        // too many addresses
  logic [5:0]   key_bytes_q;
  logic [3:0]   max_tx_q;     // max_tx_vq, as far as it is legal
  ctrl_cfg_t    cfg_q;
  logic [319:0] key_q;

  always_comb begin
    cfg_o            = cfg_q;
    cfg_o.rss.report = features_i[F_NET_HASH_REPORT];
  end
  assign rss_key_o = key_q;

  function automatic kind_e kind_of(logic [7:0] cls, logic [7:0] cmd, logic [63:0] features);
    unique case ({cls, cmd})
      {CTRL_RX, CTRL_RX_PROMISC}:       if (features[F_NET_CTRL_RX]) return PROMISC;
      {CTRL_RX, CTRL_RX_ALLMULTI}:      if (features[F_NET_CTRL_RX]) return ALLMULTI;
      {CTRL_MAC, CTRL_MAC_TABLE_SET}:   if (features[F_NET_CTRL_RX]) return MAC_TABLE;
      {CTRL_MAC, CTRL_MAC_ADDR_SET}:    if (features[F_NET_CTRL_MAC_ADDR]) return MAC_ADDR;
      {CTRL_VLAN, CTRL_VLAN_ADD}:       if (features[F_NET_CTRL_VLAN]) return VLAN_ADD;
      {CTRL_VLAN, CTRL_VLAN_DEL}:       if (features[F_NET_CTRL_VLAN]) return VLAN_DEL;
      {CTRL_MQ, CTRL_MQ_VQ_PAIRS_SET}:  if (features[F_NET_MQ]) return PAIRS;
      {CTRL_MQ, CTRL_MQ_RSS_CONFIG}:    if (features[F_NET_RSS]) return RSS;
      {CTRL_MQ, CTRL_MQ_HASH_CONFIG}:   if (features[F_NET_HASH_REPORT]) return HASH;
      {CTRL_NOTF_COAL, CTRL_NOTF_COAL_TX_SET}: if (features[F_NET_NOTF_COAL]) return COAL_TX;
      {CTRL_NOTF_COAL, CTRL_NOTF_COAL_RX_SET}: if (features[F_NET_NOTF_COAL]) return COAL_RX;
      default: ;
    endcase
    return NONE;
  endfunction

  // ---- the byte that comes --------------------------------------------------------------------------
  wire [15:0] le16      = {byte_i, low_q};                    // with its second byte
  wire        last      = place_q + 13'd1 == length_q;        // of the section
  wire [31:0] count     = {byte_i, head_q[23:0]};             // with the last byte of COUNT
  wire        too_many  = count > 32'(MAC_ENTRIES);
  wire        too_long  = count > 32'(MAX_COMMAND / 6);
  wire [15:0] mask      = head_q[47:32];
  wire        rss_bad   = (head_q[31:0] & ~HASH_TYPES) != '0 || mask > 16'(MAX_MASK) ||
                          (mask & (mask + 16'd1)) != '0 || le16 >= 16'(queue_pairs_i);
  wire        kept      = place_q < 13'(6 * MAC_ENTRIES);
  wire        take      = byte_valid_i && state_q == READY;

  // Copies of tables until it is clear that the command is good: addresses at {part, byte}, the
  // indirection table from 0, the key from 256.
  logic       stage_we, stage_re;
  logic [8:0] stage_waddr, stage_raddr;
  logic [7:0] stage;
  assign stage_we    = take && ((section_q == ENTRIES && kept) || (section_q == TABLE && place_q[0]) ||
                                section_q == KEY);
  assign stage_waddr = section_q == ENTRIES ? {part_q, place_q[7:0]} :
                       section_q == TABLE ? {2'b0, place_q[7:1]} : {1'b1, place_q[7:0]};
  ram_sdp #(
    .Width(8),
    .Depth(512)
  ) u_stage (
    .clk_i,
    .we_i   (stage_we),
    .waddr_i(stage_waddr),
    .wdata_i(section_q == TABLE ? low_q : byte_i),
    .re_i   (stage_re),
    .raddr_i(stage_raddr),
    .rdata_o(stage)
  );

  // ---- the end -----------------------------------------------------------------------------------------
  logic [13:0] data_bytes;
  logic        good;
  assign data_bytes = size_q - 14'd2;
  always_comb begin
    unique case (kind_q)
      PROMISC, ALLMULTI:  good = data_bytes == 14'd1 && head_q[7:1] == '0;
      // A group address cannot be a station's own (IEEE 802.3 3.2.3).
      MAC_ADDR:           good = data_bytes == 14'd6 && !head_q[0];
      VLAN_ADD, VLAN_DEL: good = data_bytes == 14'd2 && head_q[15:12] == '0;
      PAIRS:              good = data_bytes == 14'd2 && head_q[15:0] != '0 &&
                                 head_q[15:0] <= 16'(queue_pairs_i);
      COAL_TX, COAL_RX:   good = data_bytes == 14'd8;
      MAC_TABLE:          good = section_q == REST && place_q == '0;
      RSS, HASH:          good = section_q == REST;
      default:            good = 1'b0;
    endcase
    if (bad_q || full_o) good = 1'b0;
  end

  // ---- copying -----------------------------------------------------------------------------------------
  logic [8:0]  read_q;    // next stage byte of the copy, counted from 0
  logic        show_q;    // stage is byte shown_q
  logic [8:0]  shown_q;
  logic [2:0]  octet_q;   // of the address
  logic [4:0]  entry_q;
  logic [39:0] octets_q;
  wire  [8:0]  copies  = state_q == MAC_COPY ? 9'(count_q[part_q]) * 9'd6 :
                         state_q == TABLE_COPY ? 9'(head_q[38:32]) + 9'd1 : 9'(KEY_BYTES);
  wire         copied  = copies == '0 || (show_q && shown_q + 9'd1 == copies);
  assign stage_re    = state_q != READY && read_q != copies;
  assign stage_raddr = {state_q == KEY_COPY || (state_q == MAC_COPY && part_q), read_q[7:0]};

  always_comb begin
    write_o            = '0;
    write_o.mac_index  = {part_q, entry_q};
    write_o.mac        = {stage, octets_q};
    write_o.mac_we     = state_q == MAC_COPY && show_q && octet_q == 3'd5;
    write_o.mac_set    = state_q == MAC_SET;
    write_o.mac_count  = {count_q[1], count_q[0]};
    write_o.mac_all    = all_q;
    write_o.vlan_id    = head_q[11:0];
    write_o.vlan_on    = kind_q == VLAN_ADD;
    write_o.vlan_we    = end_i && good && (kind_q == VLAN_ADD || kind_q == VLAN_DEL);
    write_o.rss_index  = shown_q[6:0];
    write_o.rss_pair   = stage[2:0];
    write_o.rss_we     = state_q == TABLE_COPY && show_q;
  end

  assign full_o = size_q > 14'(MAX_COMMAND);
  assign busy_o = state_q != READY || done_o;

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    if (!rst_ni || clear_i) begin
      state_q <= READY;
      key_q   <= '0;
      cfg_q   <= '0;
      cfg_q.mac   <= mac_i;
      cfg_q.pairs <= 4'd1;
    end else begin
      if (begin_i) begin
        section_q <= CLASS;
        kind_q    <= NONE;
        size_q    <= '0;
        bad_q     <= 1'b0;
        part_q    <= 1'b0;
      end

      if (take) begin
        if (size_q <= 14'(MAX_COMMAND)) size_q <= size_q + 14'd1;
        place_q <= last ? '0 : place_q + 13'd1;
        low_q   <= byte_i;
        unique case (section_q)
          CLASS: begin
            class_q   <= byte_i;
            section_q <= COMMAND;
          end
          COMMAND: begin
            kind_q    <= kind_of(class_q, byte_i, features_i);
            section_q <= kind_of(class_q, byte_i, features_i) == MAC_TABLE ? COUNT : HEAD;
            place_q   <= '0;
            length_q  <= kind_of(class_q, byte_i, features_i) == MAC_TABLE ? 13'd4 :
                         kind_of(class_q, byte_i, features_i) == HASH ? 13'd12 : 13'd8;
          end
          HEAD: begin
            if (place_q[3:0] != 4'd11) head_q[8*place_q[3:0] +: 8] <= byte_i;
            if (last) begin
              section_q <= REST;
              if (kind_q == RSS) begin
                bad_q     <= rss_bad;
                section_q <= rss_bad ? REST : TABLE;
                length_q  <= {5'b0, mask[6:0], 1'b0} + 13'd2;
              end
              if (kind_q == HASH) begin
                bad_q     <= (head_q[31:0] & ~HASH_TYPES) != '0 || head_q[87:32] != '0 || byte_i != '0;
                section_q <= KEY_LEN;
                length_q  <= 13'd1;
              end
            end
          end
          COUNT: begin
            head_q[8*place_q[1:0] +: 8] <= byte_i;
            if (last) begin
              count_q[part_q] <= too_many ? '0 : count[5:0];
              all_q[part_q]   <= too_many;
              bad_q           <= bad_q || too_long;
              length_q        <= 13'(count[10:0]) * 13'd6;
              section_q       <= too_long ? REST : ENTRIES;
              if (count == '0) begin
                part_q    <= 1'b1;
                section_q <= part_q ? REST : COUNT;
                length_q  <= 13'd4;
              end
            end
          end
          ENTRIES: begin
            if (last) begin
              part_q    <= 1'b1;
              section_q <= part_q ? REST : COUNT;
              length_q  <= 13'd4;
            end
          end
          TABLE: begin
            // Bits 1 to 16 of the receive queue's number: that of its pair.
            if (place_q[0] && le16 >= 16'(queue_pairs_i)) bad_q <= 1'b1;
            if (last) begin
              section_q <= MAX_TX;
              length_q  <= 13'd2;
            end
          end
          MAX_TX: begin
            if (last) begin
              section_q <= KEY_LEN;
              length_q  <= 13'd1;
              max_tx_q  <= le16[3:0];
              if (le16 == '0 || le16 > 16'(queue_pairs_i)) bad_q <= 1'b1;
            end
          end
          KEY_LEN: begin
            key_bytes_q <= byte_i[5:0];
            length_q    <= 13'(byte_i);
            section_q   <= byte_i == '0 ? REST : KEY;
            if (byte_i > 8'(KEY_BYTES)) begin
              bad_q     <= 1'b1;
              section_q <= REST;
            end
          end
          KEY:     if (last) section_q <= REST;
          default: place_q <= 13'd1;  // REST: something follows
        endcase
      end

      if (end_i) begin
        ok_o   <= good;
        read_q <= '0;
        show_q <= 1'b0;
        part_q <= 1'b0;
        octet_q <= '0;
        entry_q <= '0;
        if (good && kind_q == MAC_TABLE) state_q <= MAC_COPY;
        else if (good && kind_q == RSS)  state_q <= TABLE_COPY;
        else if (good && kind_q == HASH) state_q <= KEY_COPY;
        else                             done_o  <= 1'b1;
        if (good) begin
          unique case (kind_q)
            PROMISC:  cfg_q.mode.promisc  <= head_q[0];
            ALLMULTI: cfg_q.mode.allmulti <= head_q[0];
            MAC_ADDR: cfg_q.mac           <= head_q[47:0];
            COAL_TX:  cfg_q.tx_coal       <= '{max_packets: head_q[31:0], max_usecs: head_q[63:32]};
            COAL_RX:  cfg_q.rx_coal       <= '{max_packets: head_q[31:0], max_usecs: head_q[63:32]};
            PAIRS: begin
              cfg_q.pairs     <= head_q[3:0];
              cfg_q.rss.steer <= 1'b0;
            end
            default: ;
          endcase
        end
      end

      if (state_q != READY) begin
        show_q  <= stage_re;
        shown_q <= read_q;
        if (stage_re) read_q <= read_q + 9'd1;
        if (copied) begin
          read_q <= '0;
          show_q <= 1'b0;
        end
      end
      unique case (state_q)
        MAC_COPY: begin
          if (show_q) begin
            octets_q <= {stage, octets_q[39:8]};
            octet_q  <= octet_q == 3'd5 ? '0 : octet_q + 3'd1;
            if (octet_q == 3'd5) entry_q <= entry_q + 5'd1;
          end
          if (copied) begin
            part_q  <= 1'b1;
            entry_q <= '0;
            if (part_q) state_q <= MAC_SET;
          end
        end
        MAC_SET: begin
          done_o  <= 1'b1;
          state_q <= READY;
        end
        TABLE_COPY: if (copied) state_q <= KEY_COPY;
        KEY_COPY: begin
          if (show_q) key_q <= {shown_q < 9'(key_bytes_q) ? stage : 8'h00, key_q[319:8]};
          if (copied) begin
            done_o               <= 1'b1;
            state_q              <= READY;
            cfg_q.rss.hash_types <= head_q[15:0];
            cfg_q.rss.steer      <= kind_q == RSS;
            if (kind_q == RSS) begin
              cfg_q.pairs            <= max_tx_q;
              cfg_q.rss.mask         <= mask[6:0];
              cfg_q.rss.default_pair <= head_q[50:48];
            end
          end
        end
        default: ;
      endcase
    end
  end

endmodule
