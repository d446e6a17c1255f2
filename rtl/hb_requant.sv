// REQUANT: takes the result stream of ARRAY or POOL, adds bias and residual, scales, clamps (see
// hb_requant_lane) and writes the values as planes to the activation store (hb_pack). It counts
// along with the stream: tile, group, pixel, slice (hb_walk). hb_skip fetches the residual ahead.
//
//   stream -> S1 (parameters read beside) -> R lanes, 8 stages -> PACK -> activation store
//                  residual: hb_skip -^
//
// Latency: 10 cycles from a beat to its write, 3 from the command to the first beat (8 with a
// residual). Throughput: one beat a cycle, across pixels, groups and tiles. Overflow: none; the
// whole pipeline holds while a write waits. done_o comes the cycle after the last write was
// accepted. Assumes npix, n_groups and out_w of at least 1; out_c, out_c0 and p_base multiples of
// Dm; rows of fewer than 2^16 lanes.
module hb_requant
  import hb_pkg::*;
#(
    // Output channels of the array (a group).
    parameter int Dm = 8,
    // Pixels of a tile.
    parameter int Dn = 4,
    // Lanes of the array; a store word has W = K/2.
    parameter int K = 64,
    // Requantiser lanes: results a beat; a power of two that divides Dm.
    parameter int R = 4,
    localparam int W = K / 2
) (
    input logic clk_i,
    input logic rst_ni,
    // Command.
    input logic cmd_valid_i,
    input requant_t cmd_i,
    output logic cmd_ready_o,
    output logic done_o,
    output logic busy_o,
    output logic stall_in_o,
    output logic stall_out_o,
    // Results of ARRAY.
    input logic arr_valid_i,
    input logic [R*32-1:0] arr_data_i,
    output logic arr_ready_o,
    // Results of POOL.
    input logic pool_valid_i,
    input logic [R*32-1:0] pool_data_i,
    output logic pool_ready_o,
    // Parameter memory; the address is a row (entry / R), data 1 cycle later, held.
    output logic par_rd_en_o,
    output logic [15:0] par_rd_addr_o,
    input param_t [R-1:0] par_rd_data_i,
    // Activation store, read of the residual.
    output logic rd_valid_o,
    output logic [15:0] rd_addr_o,
    input logic rd_ready_i,
    input logic rd_rsp_valid_i,
    input logic [8*W-1:0] rd_data_i,
    // Activation store, write of the output.
    output logic wr_valid_o,
    output logic [15:0] wr_addr_o,
    output logic [3:0] wr_count_o,
    output logic [W/Dm-1:0] wr_mask_o,
    output logic [8*W-1:0] wr_data_o,
    input logic wr_ready_i
);

  localparam int LaneLatency = 8;  // of hb_requant_lane
  localparam int WordBits = $clog2(W);
  localparam int DmBits = $clog2(Dm);
  localparam int RBits = $clog2(R);
  localparam int SelBits = (W > Dm) ? WordBits - DmBits : 1;

  typedef enum logic [1:0] {IDLE, SETUP, START, RUN} state_e;
  state_e state_q;
  requant_t cmd_q;
  logic [14:0] y_init_q, skip_y_init_q;
  logic [16:0] x_init_q;
  logic done_q, wr_last, last_written;

  assign cmd_ready_o = state_q == IDLE;
  assign busy_o = state_q != IDLE;
  assign done_o = done_q;
  assign last_written = wr_valid_o && wr_ready_i && wr_last;

  always_ff @(posedge clk_i) begin
    done_q <= 1'b0;
    if (!rst_ni) begin
      state_q <= IDLE;
    end else begin
      unique case (state_q)
        IDLE: if (cmd_valid_i) state_q <= SETUP;
        SETUP: state_q <= START;
        START: state_q <= RUN;
        default:
        if (last_written) begin
          state_q <= IDLE;
          done_q <= 1'b1;
        end
      endcase
    end
    if (cmd_ready_o) cmd_q <= cmd_i;
    y_init_q <= 15'(cmd_q.oy0) * cmd_q.out_row_words[14:0];
    skip_y_init_q <= 15'(cmd_q.oy0) * cmd_q.skip_row_words[14:0];
    x_init_q <= 17'(cmd_q.ox0) * 17'(cmd_q.out_c) + 17'(cmd_q.out_c0);
  end

  logic walk_valid, last_slice, last, go, en;
  logic [15:0] chan;
  logic [14:0] walk_y;
  logic [16:0] walk_x;

  hb_walk #(
      .Dm(Dm),
      .Dn(Dn),
      .R (R)
  ) u_walk (
      .clk_i,
      .rst_ni,
      .start_i(state_q == START),
      .npix_i(cmd_q.npix),
      .n_groups_i(cmd_q.n_groups),
      .out_w_i(cmd_q.out_w),
      .ox0_i(cmd_q.ox0),
      .y_init_i(y_init_q),
      .y_step_i(cmd_q.out_row_words[14:0]),
      .x_init_i(x_init_q),
      .x_first_i({1'b0, cmd_q.out_c0}),
      .x_step_i({1'b0, cmd_q.out_c}),
      .step_i(go),
      .valid_o(walk_valid),
      .y_o(walk_y),
      .x_o(walk_x),
      .chan_o(chan),
      .last_slice_o(last_slice),
      .last_o(last)
  );

  logic skip_valid, skip_ready;
  logic [Dm*8-1:0] skip_data;

  hb_skip #(
      .Dm(Dm),
      .Dn(Dn),
      .W (W)
  ) u_skip (
      .clk_i,
      .rst_ni,
      .start_i(state_q == START && cmd_q.skip_en),
      .cmd_i(cmd_q),
      .y_init_i(skip_y_init_q),
      .x_init_i(x_init_q),
      .rd_valid_o,
      .rd_addr_o,
      .rd_ready_i,
      .rd_rsp_valid_i,
      .rd_data_i,
      .out_valid_o(skip_valid),
      .out_data_o(skip_data),
      .out_ready_i(skip_ready)
  );

  // Acceptance of a beat.
  logic in_valid, take;
  assign in_valid = cmd_q.from_pool ? pool_valid_i : arr_valid_i;
  assign take = walk_valid && en && (skip_valid || !cmd_q.skip_en);
  assign go = take && in_valid;
  assign arr_ready_o = take && !cmd_q.from_pool;
  assign pool_ready_o = take && cmd_q.from_pool;
  assign skip_ready = go && last_slice && cmd_q.skip_en;
  assign stall_in_o = walk_valid && en && !go;
  assign stall_out_o = busy_o && !en;

  assign par_rd_en_o = go;
  assign par_rd_addr_o = (cmd_q.p_base + chan) >> RBits;

  // S1: operands; meta stages 2.. run beside the lanes.
  typedef struct packed {
    logic [15:0] addr;
    logic [SelBits-1:0] sel;
    logic last_slice;
    logic last;
  } meta_t;

  logic [LaneLatency:0] valid_q;
  logic [R*32-1:0] acc_q;
  logic [R*8-1:0] skip_q;
  logic [14:0] row_q;
  logic [16:0] lane_q;
  logic last_slice_q, last_q;
  meta_t meta_q[LaneLatency];

  function automatic logic [SelBits-1:0] granule(input logic [WordBits-1:0] at);
    granule = (W > Dm) ? SelBits'(at >> DmBits) : '0;
  endfunction

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
    end else if (en) begin
      valid_q <= {valid_q[LaneLatency-1:0], go};
    end
    if (en) begin
      acc_q <= cmd_q.from_pool ? pool_data_i : arr_data_i;
      skip_q <= (R == Dm) ? skip_data[R*8-1:0] : skip_data[(int'(chan)%Dm)*8+:R*8];
      row_q <= cmd_q.out_base[14:0] + walk_y;
`ifdef HB_FAULT_REQUANT
      lane_q <= walk_x;  // seeded fault: every group at the first channels
`else
      lane_q <= walk_x + {1'b0, chan};
`endif
      last_slice_q <= last_slice;
      last_q <= last;

      meta_q[0].addr <= {
        cmd_q.out_base[15], row_q + 15'(lane_q[16:WordBits]) * 15'(cmd_q.ob)
      };
      meta_q[0].sel <= granule(lane_q[WordBits-1:0]);
      meta_q[0].last_slice <= last_slice_q;
      meta_q[0].last <= last_q;
      for (int i = 1; i < LaneLatency; i++) meta_q[i] <= meta_q[i-1];
    end
  end

  logic [R*8-1:0] y;
  for (genvar r = 0; r < R; r++) begin : gen_lane
    hb_requant_lane u_lane (
        .clk_i,
        .en_i(en),
        .acc_i($signed(acc_q[r*32+:32])),
        .skip_i(skip_q[r*8+:8]),
        .param_i(par_rd_data_i[r]),
        .skip_en_i(cmd_q.skip_en),
        .skip_zp_i(cmd_q.skip_zp),
        .zp_out_i(cmd_q.zp_out),
        .lo_i(cmd_q.lo),
        .hi_i(cmd_q.hi),
        .y_o(y[r*8+:8])
    );
  end

  hb_pack #(
      .Dm(Dm),
      .W (W),
      .R (R)
  ) u_pack (
      .clk_i,
      .rst_ni,
      .in_valid_i(valid_q[LaneLatency]),
      .in_data_i(y),
      .in_last_slice_i(meta_q[LaneLatency-1].last_slice),
      .in_last_i(meta_q[LaneLatency-1].last),
      .in_addr_i(meta_q[LaneLatency-1].addr),
      .in_sel_i(meta_q[LaneLatency-1].sel),
      .in_ready_o(en),
      .bits_i(cmd_q.ob),
      .wr_valid_o,
      .wr_addr_o,
      .wr_count_o,
      .wr_mask_o,
      .wr_data_o,
      .wr_ready_i,
      .wr_last_o(wr_last)
  );

endmodule
