// POOL: sum or maximum over a window of the input map, in the order of the result stream (hb_walk):
// for each beat all taps (ky, kx) of the window; taps outside the map contribute nothing. Both
// start from 0, values being unsigned.
//
//   walker x taps -> A (row, lane, in map?) -> B (address, fetch) -> T1, T2 (the store's latency)
//                 -> E (R bytes) -> sum -> queue
//
// Latency: 6 cycles from the command to the first fetch, 5 from a beat's last grant to its result.
// Throughput: one tap a cycle (also those outside). Overflow: none in the sums (24 bits hold 255 x
// 255 x 255); the queue has room for every beat whose last tap was issued. done_o comes 2 cycles
// after the last beat was taken. Assumes npix, n_groups, out_w, kh, kw of at least 1; in_c and
// out_c0 multiples of R; rows of fewer than 2^16 lanes.
module hb_pool
  import hb_pkg::*;
#(
    // Output channels of a group.
    parameter int Dm = 8,
    // Pixels of a tile.
    parameter int Dn = 4,
    // Lanes of the array; a store word has W = K/2.
    parameter int K = 64,
    // Sums a beat; a power of two that divides Dm.
    parameter int R = 4,
    localparam int W = K / 2
) (
    input logic clk_i,
    input logic rst_ni,
    // Command. The waiver: the fields of REQUANT are not used here.
    input logic cmd_valid_i,
    /* verilator lint_off UNUSEDSIGNAL */
    input pool_t cmd_i,
    /* verilator lint_on UNUSEDSIGNAL */
    output logic cmd_ready_o,
    output logic done_o,
    output logic busy_o,
    output logic stall_in_o,
    output logic stall_out_o,
    // Activation store, read of the input map.
    output logic rd_valid_o,
    output logic [15:0] rd_addr_o,
    input logic rd_ready_i,
    input logic rd_rsp_valid_i,
    input logic [8*W-1:0] rd_data_i,
    // Results: R sums of 32 bits.
    output logic res_valid_o,
    output logic [R*32-1:0] res_data_o,
    input logic res_ready_i
);

  localparam int WordBits = $clog2(W);
  localparam int RBits = $clog2(R);
  localparam int SelBits = (W > R) ? WordBits - RBits : 1;
  localparam int SumBits = 24;
  localparam int Depth = 16;  // of the result queue; 8 would just hide the latency
  localparam int CreditBits = $clog2(Depth + 1);
  // Coordinates and lanes: -128*65535 and less wrap, but then ix is outside and the lane unused.
  localparam int Bits = 18;
  typedef logic signed [Bits-1:0] coord_t;

  typedef enum logic [2:0] {IDLE, SETUP0, SETUP1, START, RUN} state_e;
  state_e state_q;
  /* verilator lint_off UNUSEDSIGNAL */  // as cmd_i
  pool_t cmd_q;
  /* verilator lint_on UNUSEDSIGNAL */
  coord_t iy0_q, ix0_q, row0_q, lane0_q, row_step_q, lane_step_q, lane_first_q;
  logic finished, done_q;

  assign cmd_ready_o = state_q == IDLE;
  assign busy_o = state_q != IDLE;
  assign done_o = done_q;

  always_ff @(posedge clk_i) begin
    done_q <= 1'b0;
    if (!rst_ni) begin
      state_q <= IDLE;
    end else begin
      unique case (state_q)
        IDLE: if (cmd_valid_i) state_q <= SETUP0;
        SETUP0: state_q <= SETUP1;
        SETUP1: state_q <= START;
        START: state_q <= RUN;
        default:
        if (finished) begin
          state_q <= IDLE;
          done_q <= 1'b1;
        end
      endcase
    end
    if (cmd_ready_o) cmd_q <= cmd_i;
    // SETUP0: first coordinates and steps; SETUP1: what depends on them.
    iy0_q <= Bits'(cmd_q.oy0) * Bits'(cmd_q.stride_y) + Bits'(cmd_q.y0);
    ix0_q <= Bits'(cmd_q.ox0) * Bits'(cmd_q.stride_x) + Bits'(cmd_q.x0);
    row_step_q <= Bits'(cmd_q.stride_y) * Bits'(cmd_q.in_row_words);
    lane_step_q <= Bits'(cmd_q.stride_x) * Bits'(cmd_q.in_c);
    lane_first_q <= Bits'(cmd_q.x0) * Bits'(cmd_q.in_c) + Bits'(cmd_q.out_c0);
    row0_q <= iy0_q * Bits'(cmd_q.in_row_words);
    lane0_q <= ix0_q * Bits'(cmd_q.in_c) + Bits'(cmd_q.out_c0);
  end

  // Walker: index 0 counts coordinates, index 1 words (y) and lanes (x).
  logic walk_valid, walk_step;
  logic [1:0][Bits-1:0] walk_y, walk_x;
  logic [15:0] chan;

  /* verilator lint_off PINCONNECTEMPTY */  // REQUANT counts along by itself
  hb_walk #(
      .Dm(Dm),
      .Dn(Dn),
      .R(R),
      .N(2),
      .YBits(Bits),
      .XBits(Bits)
  ) u_walk (
      .clk_i,
      .rst_ni,
      .start_i(state_q == START),
      .npix_i(cmd_q.npix),
      .n_groups_i(cmd_q.n_groups),
      .out_w_i(cmd_q.out_w),
      .ox0_i(cmd_q.ox0),
      .y_init_i({row0_q, iy0_q}),
      .y_step_i({row_step_q, Bits'(cmd_q.stride_y)}),
      .x_init_i({lane0_q, ix0_q}),
      .x_first_i({lane_first_q, Bits'(cmd_q.x0)}),
      .x_step_i({lane_step_q, Bits'(cmd_q.stride_x)}),
      .step_i(walk_step),
      .valid_o(walk_valid),
      .y_o(walk_y),
      .x_o(walk_x),
      .chan_o(chan),
      .last_slice_o(),
      .last_o()
  );
  /* verilator lint_on PINCONNECTEMPTY */

  // Taps of a beat.
  logic [7:0] ky_q, kx_q;
  logic [Bits-1:0] tap_row_q, tap_lane_q;
  coord_t iy, ix;
  logic last_kx, first_tap, last_tap, issue, a_free, in_map;
  logic [CreditBits-1:0] credit_q;
  logic pop;

  assign last_kx = kx_q + 8'd1 == cmd_q.kw;
  assign last_tap = last_kx && ky_q + 8'd1 == cmd_q.kh;
  assign first_tap = kx_q == '0 && ky_q == '0;
  assign iy = $signed(walk_y[0]) + coord_t'({1'b0, ky_q});
  assign ix = $signed(walk_x[0]) + coord_t'({1'b0, kx_q});
`ifdef HB_FAULT_POOL
  assign in_map = iy >= 0 && iy < coord_t'({1'b0, cmd_q.in_h}) && ix >= 0;  // seeded fault
`else
  assign in_map = iy >= 0 && iy < coord_t'({1'b0, cmd_q.in_h}) &&
      ix >= 0 && ix < coord_t'({1'b0, cmd_q.in_w});
`endif
  assign issue = walk_valid && a_free && (!last_tap || credit_q != '0);
  assign walk_step = issue && last_tap;
  assign pop = res_valid_o && res_ready_i;
  assign finished = state_q == RUN && !walk_valid && credit_q == CreditBits'(Depth);

  // A: place of the tap. B: address and fetch. T1, T2: beside the store. E: bytes.
  typedef struct packed {
    logic in_map;
    logic first;
    logic last;
    logic [SelBits-1:0] sel;
  } tag_t;

  logic a_valid_q, b_valid_q, b_go, t1_valid_q, t2_valid_q, e_valid_q, f_valid_q;
  logic [14:0] a_row_q, b_offset_q;
  logic [Bits-1:0] lane;
  logic [Bits-WordBits-1:0] a_word_q;
  logic [SelBits-1:0] a_sel_q;
  logic a_in_map_q, a_first_q, a_last_q;
  tag_t b_q, t1_q, t2_q;

  function automatic logic [SelBits-1:0] granule(input logic [WordBits-1:0] at);
    granule = (W > R) ? SelBits'(at >> RBits) : '0;
  endfunction

  assign lane = walk_x[1] + tap_lane_q + Bits'(chan);
  assign rd_valid_o = b_valid_q && b_q.in_map;
  assign rd_addr_o = {cmd_q.in_base[15], b_offset_q};
  assign b_go = !b_valid_q || !b_q.in_map || rd_ready_i;
  assign a_free = !a_valid_q || b_go;
  assign stall_in_o = rd_valid_o && !rd_ready_i;
  assign stall_out_o = walk_valid && last_tap && credit_q == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      a_valid_q <= 1'b0;
      b_valid_q <= 1'b0;
      t1_valid_q <= 1'b0;
      t2_valid_q <= 1'b0;
      credit_q <= CreditBits'(Depth);
    end else begin
      if (a_free) a_valid_q <= issue;
      if (b_go) b_valid_q <= a_valid_q;
      t1_valid_q <= b_valid_q && b_go;
      t2_valid_q <= t1_valid_q;
      credit_q <= credit_q + CreditBits'(pop) - CreditBits'(walk_step);
    end
    if (state_q == START) begin
      {ky_q, kx_q} <= '0;
      tap_row_q <= '0;
      tap_lane_q <= '0;
    end else if (issue) begin
      kx_q <= last_kx ? '0 : kx_q + 8'd1;
      tap_lane_q <= last_kx ? '0 : tap_lane_q + Bits'(cmd_q.in_c);
      if (last_kx) begin
        ky_q <= last_tap ? '0 : ky_q + 8'd1;
        tap_row_q <= last_tap ? '0 : tap_row_q + Bits'(cmd_q.in_row_words);
      end
    end
    if (a_free) begin
      a_row_q <= walk_y[1][14:0] + tap_row_q[14:0];
      a_word_q <= lane[Bits-1:WordBits];
      a_sel_q <= granule(lane[WordBits-1:0]);
      a_in_map_q <= in_map;
      a_first_q <= first_tap;
      a_last_q <= last_tap;
    end
    if (b_go) begin
      b_offset_q <= cmd_q.in_base[14:0] + a_row_q + 15'(a_word_q) * 15'(cmd_q.ab);
      b_q <= '{in_map: a_in_map_q, first: a_first_q, last: a_last_q, sel: a_sel_q};
    end
    t1_q <= b_q;
    t2_q <= t1_q;
  end

  // E: the R bytes of the word, zero for a tap outside; then the sums.
  logic [7:0][W-1:0] planes;
  logic [R-1:0][7:0] e_data_q;
  logic [R-1:0][SumBits-1:0] sum_q;
  logic e_first_q, e_last_q;
  assign planes = rd_data_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      e_valid_q <= 1'b0;
      f_valid_q <= 1'b0;
    end else begin
      e_valid_q <= t2_valid_q && (rd_rsp_valid_i || !t2_q.in_map);
      f_valid_q <= e_valid_q && e_last_q;
    end
    e_first_q <= t2_q.first;
    e_last_q <= t2_q.last;
    for (int l = 0; l < R; l++) begin
      for (int p = 0; p < 8; p++) begin
        e_data_q[l][p] <= planes[p][int'(t2_q.sel)*R+l] && p < int'(cmd_q.ab) && t2_q.in_map;
      end
      if (e_valid_q) begin
        if (e_first_q) sum_q[l] <= SumBits'(e_data_q[l]);
        else if (cmd_q.pool_op == POOL_SUM) sum_q[l] <= sum_q[l] + SumBits'(e_data_q[l]);
        else if (SumBits'(e_data_q[l]) > sum_q[l]) sum_q[l] <= SumBits'(e_data_q[l]);
      end
    end
  end

  logic [R-1:0][SumBits-1:0] out_sum;
  /* verilator lint_off PINCONNECTEMPTY */  // there is always room: credits
  hb_fifo #(
      .Width(R * SumBits),
      .Depth(Depth)
  ) u_fifo (
      .clk_i,
      .rst_ni,
      .in_valid_i(f_valid_q),
      .in_data_i(sum_q),
      .in_ready_o(),
      .out_valid_o(res_valid_o),
      .out_data_o(out_sum),
      .out_ready_i(res_ready_i)
  );
  /* verilator lint_on PINCONNECTEMPTY */
  for (genvar l = 0; l < R; l++) begin : gen_res
    assign res_data_o[l*32+:32] = 32'(out_sum[l]);
  end

endmodule
