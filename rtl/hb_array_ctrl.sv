// Control of the array: turns CONV instructions into one step a cycle.
//
// Order: tile, group, significance s falling, weight plane i rising, words. Lane mode 0 pairs i
// with activation plane j = s - i, K lanes a step; lane mode 1 with planes j and j+1 (j even), K/2
// lanes. A pair's first step of a lower s doubles the accumulator; an s without a pair takes an
// empty step.
//
//   stage A  counters: which step           (registers *_q)
//   stage B  i * words, quad's first row    (b_*_q)
//   stage C  addresses to the memories      (c_*_q)
//   stage D  two cycles, as the memories    (d1_q, d2_q -> step_*_o)
//
// Latency: 4 cycles from the command or the full tile to the step and its operands. Throughput: one
// step a cycle, without a gap between groups, tiles that are full and instructions that are ready.
// All stages advance with en_i. done_o and tile_free_o come when the last word of the instruction
// or tile is in the memories' output registers, so that it may be overwritten at once.
// Overflow: none; an instruction has npix, n_groups, kwords, wb and ab of at least 1.
module hb_array_ctrl
  import hb_pkg::*;
#(
    parameter int Dn = 8,  // pixels of a tile
    parameter int ColRows = 512,  // rows of a column bank, all tile buffers together; 4 divides it
    parameter int RowW = $clog2(ColRows),  // derived: bits of a column row
    parameter int PixW = $clog2(Dn + 1)  // derived: bits of a pixel count
) (
    input logic clk_i,
    input logic rst_ni,
    // commands
    input logic cmd_valid_i,
    // Each engine reads its own part of the instruction.
    // verilator lint_off UNUSEDSIGNAL
    input conv_t cmd_i,
    // verilator lint_on UNUSEDSIGNAL
    output logic cmd_ready_o,
    output logic done_o,
    output logic busy_o,
    output logic stall_in_o,  // busy and waiting for a full tile
    output logic stall_out_o,  // busy and frozen by the drain
    // tile buffers
    input logic tile_done_i,  // pulse: one more buffer is full
    output logic tile_free_o,  // pulse: the oldest full buffer has been read for the last time
    // the pipeline
    input logic en_i,  // from hb_array
    output logic mem_en_o,  // to both memories: en_i where a read is under way
    output logic [15:0] wgt_addr_o,
    output logic wgt_mode_o,
    output logic wgt_odd_o,
    output logic [RowW-1:0] col_row_o,
    output logic col_odd_o,
    output logic [1:0] col_plane_o,
    output logic col_mode_o,
    output logic col_hi_valid_o,
    // the step that belongs to the data of the memories, to hb_array
    output logic step_valid_o,  // has operands; otherwise adds nothing
    output logic step_first_o,  // the accumulator starts from zero
    output logic step_shift_o,  // the accumulator doubles first
    output logic step_neg_o,  // subtract
    output logic step_mode_o,  // lane mode
    output logic step_last_o,  // the accumulator is complete
    output logic step_bipolar_o,  // deliver 2*acc - sum
    output logic [PixW-1:0] step_npix_o  // pixels of the tile to deliver
);

  // What travels down the pipeline beside the addresses.
  typedef struct packed {
    logic present;  // a step, empty or not
    logic valid;
    logic first;
    logic shift;
    logic neg;
    logic mode;
    logic last;
    logic bipolar;
    logic [PixW-1:0] npix;
    logic tile_last;
    logic instr_last;
  } step_t;

  // The instruction in hand.
  logic active_q, mode_q, bipolar_q;
  logic [2:0] wmax_q, amax_q;  // last weight plane, last (mode 1: last even) activation plane
  logic [11:0] kwords_q, kmax_q;  // words of a column; steps of a pair less one
  logic [11:0] gmax_q;
  logic [15:0] w_base_q, w_stride_q;
  // Stage A: the step.
  logic [19:0] left_q;  // pixels of this and the following tiles
  logic [11:0] g_q, k_q;
  logic [15:0] wg_q;  // first wide word of the group
  logic [3:0] s_q;
  logic [2:0] i_q;
  logic first_q, shift_q, tile_start_q, short_q, short_new;
  logic [1:0] buf_q, buf_next;
  logic [2:0] full_q;  // full tile buffers not yet begun

  logic issue, go, empty, k_last, pair_last, group_last, tile_last, instr_last, accept;
  logic [3:0] s_next, i_after, i_end;
  logic [2:0] i_first, amax_new, j;

  assign issue = active_q && (!tile_start_q || full_q != 3'd0);
  assign go = issue && en_i;

  always_comb begin
    empty = i_q > wmax_q;
    k_last = empty || k_q == kmax_q;
    i_after = 4'(i_q) + (mode_q ? 4'd2 : 4'd1);
    i_end = s_q < 4'(wmax_q) ? s_q : 4'(wmax_q);
    pair_last = i_after > i_end;
    group_last = k_last && pair_last && s_q == 4'd0;
    tile_last = group_last && g_q == gmax_q;
    instr_last = tile_last && left_q <= 20'(Dn);
    s_next = s_q - 4'd1;
    if (s_next >= 4'(amax_q)) i_first = 3'(s_next - 4'(amax_q));
    else i_first = mode_q ? 3'(s_next[0]) : 3'd0;
    j = 3'(s_q - 4'(i_q));
    amax_new = cmd_i.lane_mode ? 3'((cmd_i.ab - 4'd1) & 4'd14) : 3'(cmd_i.ab - 4'd1);
  end

  assign cmd_ready_o = !active_q || (go && instr_last);
  assign accept = cmd_valid_i && cmd_ready_o;

  // As in hb_gather: columns that fit a quarter of the rows take turns in four buffers.
  assign short_new = ({1'b0, cmd_i.kwords} << (cmd_i.ab > 4'd4)) <= 13'(ColRows / 4);
  assign buf_next = accept && short_new != short_q ? '0 : buf_q + 2'(go && tile_last);

  always_ff @(posedge clk_i) begin
    if (accept) begin
      mode_q <= cmd_i.lane_mode;
      bipolar_q <= cmd_i.bipolar;
      wmax_q <= 3'(cmd_i.wb - 4'd1);
      amax_q <= amax_new;
      kwords_q <= cmd_i.kwords;
      kmax_q <= cmd_i.lane_mode ? cmd_i.kwords - 12'd1 : 12'((cmd_i.kwords - 12'd1) >> 1);
      gmax_q <= cmd_i.n_groups - 12'd1;
      w_base_q <= cmd_i.w_base;
      w_stride_q <= cmd_i.w_stride;
      left_q <= cmd_i.npix;
      g_q <= '0;
      k_q <= '0;
      wg_q <= cmd_i.w_base;
      s_q <= 4'(cmd_i.wb - 4'd1) + 4'(amax_new);
      i_q <= 3'(cmd_i.wb - 4'd1);
      first_q <= 1'b1;
      shift_q <= 1'b0;
      tile_start_q <= 1'b1;
    end else if (go) begin
      first_q <= group_last;
      shift_q <= k_last && pair_last && !group_last;
      tile_start_q <= tile_last;
      k_q <= k_last ? '0 : k_q + 12'd1;
      if (group_last) begin
        s_q <= 4'(wmax_q) + 4'(amax_q);
        i_q <= wmax_q;
        g_q <= tile_last ? '0 : g_q + 12'd1;
        wg_q <= tile_last ? w_base_q : wg_q + w_stride_q;
        if (tile_last) left_q <= left_q - 20'(Dn);
      end else if (k_last && pair_last) begin
        s_q <= s_next;
        i_q <= i_first;
      end else if (k_last) begin
        i_q <= 3'(i_after);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      buf_q <= '0;
      short_q <= 1'b0;
      full_q <= '0;
    end else begin
      active_q <= accept || (active_q && !(go && instr_last));
      buf_q <= buf_next;
      if (accept) short_q <= short_new;
      full_q <= full_q + 3'(tile_done_i) - 3'(go && tile_start_q);
    end
  end

  // Stage B: products and row bases; stage C: addresses.
  step_t a_step, b_q, c_q, d1_q, d2_q;
  logic [14:0] b_offset_q;
  logic [RowW-1:0] b_row_q, c_row_q;
  logic [11:0] b_k_q;
  logic [RowW-1:0] tile_row;  // first row of the tile's buffer
  logic [15:0] b_wg_q, b_line, c_addr_q;
  logic [1:0] b_plane_q, c_plane_q;
  logic b_hi_valid_q, c_hi_valid_q, c_wodd_q, c_codd_q;
  logic tile_free_q, done_q, unused;

  assign unused = &{1'b0, d2_q};  // its flags that ended at d1_q

  always_comb begin
    a_step.present = issue;
    a_step.valid = issue && !empty;
    a_step.first = issue && first_q;
    a_step.shift = issue && shift_q;
    a_step.neg = issue && !empty && i_q == wmax_q && !bipolar_q;
    a_step.mode = mode_q;
    a_step.last = issue && group_last;
    a_step.bipolar = bipolar_q;
    a_step.npix = left_q <= 20'(Dn) ? left_q[PixW-1:0] : PixW'(Dn);
    a_step.tile_last = issue && tile_last;
    a_step.instr_last = issue && instr_last;
    tile_row = RowW'(32'(short_q ? buf_q : {1'b0, buf_q[0]}) * (short_q ? ColRows / 4 : ColRows / 2));
    b_line = 16'(b_offset_q) + 16'(b_k_q);  // words (mode 1) or wide words from the group's first
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      b_offset_q <= 15'(i_q) * 15'(13'(kmax_q) + 13'd1);
      b_row_q <= tile_row + (j[2] ? RowW'(kwords_q) : '0);
      b_k_q <= k_q;
      b_wg_q <= wg_q;
      b_plane_q <= j[1:0];
      b_hi_valid_q <= {k_q, 1'b1} < 13'(kwords_q);
      c_addr_q <= b_wg_q + (b_q.mode ? {1'b0, b_line[15:1]} : b_line);
      c_wodd_q <= b_q.mode && b_line[0];
      c_row_q <= b_row_q + (b_q.mode ? RowW'(b_k_q) : RowW'({b_k_q, 1'b0}));
      c_codd_q <= b_q.mode && b_k_q[0];
      c_plane_q <= b_plane_q;
      c_hi_valid_q <= b_hi_valid_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      b_q <= '0;
      c_q <= '0;
      d1_q <= '0;
      d2_q <= '0;
      tile_free_q <= 1'b0;
      done_q <= 1'b0;
    end else begin
      tile_free_q <= en_i && d1_q.tile_last;
      done_q <= en_i && d1_q.instr_last;
      if (en_i) begin
        b_q <= a_step;
        c_q <= b_q;
        d1_q <= c_q;
        d2_q <= d1_q;
      end
    end
  end

  assign mem_en_o = en_i && (c_q.valid || d1_q.valid);
  assign wgt_addr_o = c_addr_q;
  assign wgt_mode_o = c_q.mode;
  assign wgt_odd_o = c_wodd_q;
  assign col_row_o = c_row_q;
  assign col_odd_o = c_codd_q;
  assign col_plane_o = c_plane_q;
  assign col_mode_o = c_q.mode;
  assign col_hi_valid_o = c_hi_valid_q;

  assign step_valid_o = d2_q.valid;
  assign step_first_o = d2_q.first;
`ifdef HB_FAULT_ARRAY_CTRL
  assign step_shift_o = d2_q.shift && d2_q.valid;  // seeded fault: an empty step does not double
`else
  assign step_shift_o = d2_q.shift;
`endif
  assign step_neg_o = d2_q.neg;
  assign step_mode_o = d2_q.mode;
  assign step_last_o = d2_q.last;
  assign step_bipolar_o = d2_q.bipolar;
  assign step_npix_o = d2_q.npix;

  assign tile_free_o = tile_free_q;
  assign done_o = done_q;
  assign busy_o = active_q || b_q.present || c_q.present || d1_q.present || done_q;
  assign stall_in_o = active_q && tile_start_q && full_q == 3'd0 && en_i;
  assign stall_out_o = busy_o && !en_i;

endmodule
