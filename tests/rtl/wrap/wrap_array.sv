// hb_array_ctrl, hb_array and their two memories, wired as in hb_top, for tb_array.
module wrap_array
  import hb_pkg::*;
#(
    parameter int Dm = 16,
    parameter int Dn = 8,
    parameter int K = 128,
    parameter int R = 16,
    parameter int WeightRows = 512,
    parameter int ColRows = 512,
    parameter int PopcountStyle = 0,
    parameter int W = K / 2,
    parameter int Chunks = Dm * K / 64,
    parameter int ChunkW = Chunks > 1 ? $clog2(Chunks) : 1,
    parameter int RowW = $clog2(ColRows),
    parameter int PixW = $clog2(Dn + 1)
) (
    input logic clk_i,
    input logic rst_ni,
    // the fields of the command that the array reads
    input logic cmd_valid_i,
    input logic [19:0] npix_i,
    input logic [11:0] n_groups_i,
    input logic [11:0] kwords_i,
    input logic [3:0] wb_i,
    input logic [3:0] ab_i,
    input logic bipolar_i,
    input logic lane_mode_i,
    input logic [15:0] w_base_i,
    input logic [15:0] w_stride_i,
    output logic cmd_ready_o,
    output logic done_o,
    output logic busy_o,
    output logic stall_in_o,
    output logic stall_out_o,
    input logic tile_done_i,
    output logic tile_free_o,
    input logic we_i,
    input logic [15:0] waddr_i,
    input logic [ChunkW-1:0] wchunk_i,
    input logic [63:0] wdata_i,
    input logic a_we_i,
    input logic [$clog2(Dn)-1:0] a_col_i,
    input logic [RowW-1:0] a_row_i,
    input logic a_odd_i,
    input logic [4*W-1:0] a_data_i,
    output logic res_valid_o,
    output logic [R*32-1:0] res_data_o,
    input logic res_ready_i
);

  conv_t cmd;
  logic en, mem_en, wgt_mode, wgt_odd, col_odd, col_mode, col_hi_valid;
  logic step_valid, step_first, step_shift, step_neg, step_mode, step_last, step_bipolar;
  logic [15:0] wgt_addr;
  logic [RowW-1:0] col_row;
  logic [1:0] col_plane;
  logic [PixW-1:0] step_npix;
  logic [Dm*K-1:0] wgt;
  logic [Dn*K-1:0] col;

  always_comb begin
    cmd = '1;  // what the array must not read
    cmd.npix = npix_i;
    cmd.n_groups = n_groups_i;
    cmd.kwords = kwords_i;
    cmd.wb = wb_i;
    cmd.ab = ab_i;
    cmd.bipolar = bipolar_i;
    cmd.lane_mode = lane_mode_i;
    cmd.w_base = w_base_i;
    cmd.w_stride = w_stride_i;
  end

  hb_array_ctrl #(
      .Dn(Dn),
      .ColRows(ColRows)
  ) u_ctrl (
      .clk_i,
      .rst_ni,
      .cmd_valid_i,
      .cmd_i(cmd),
      .cmd_ready_o,
      .done_o,
      .busy_o,
      .stall_in_o,
      .stall_out_o,
      .tile_done_i,
      .tile_free_o,
      .en_i(en),
      .mem_en_o(mem_en),
      .wgt_addr_o(wgt_addr),
      .wgt_mode_o(wgt_mode),
      .wgt_odd_o(wgt_odd),
      .col_row_o(col_row),
      .col_odd_o(col_odd),
      .col_plane_o(col_plane),
      .col_mode_o(col_mode),
      .col_hi_valid_o(col_hi_valid),
      .step_valid_o(step_valid),
      .step_first_o(step_first),
      .step_shift_o(step_shift),
      .step_neg_o(step_neg),
      .step_mode_o(step_mode),
      .step_last_o(step_last),
      .step_bipolar_o(step_bipolar),
      .step_npix_o(step_npix)
  );

  hb_weight_mem #(
      .Dm(Dm),
      .K(K),
      .WeightRows(WeightRows)
  ) u_weight_mem (
      .clk_i,
      .rst_ni,
      .we_i,
      .waddr_i,
      .wchunk_i,
      .wdata_i,
      .en_i(mem_en),
      .rd_addr_i(wgt_addr),
      .rd_mode_i(wgt_mode),
      .rd_odd_i(wgt_odd),
      .rd_data_o(wgt)
  );

  hb_col_mem #(
      .Dn(Dn),
      .W(W),
      .ColRows(ColRows)
  ) u_col_mem (
      .clk_i,
      .rst_ni,
      .we_i(a_we_i),
      .wr_col_i(a_col_i),
      .wr_row_i(a_row_i),
      .wr_odd_i(a_odd_i),
      .wr_data_i(a_data_i),
      .en_i(mem_en),
      .rd_row_i(col_row),
      .rd_odd_i(col_odd),
      .rd_plane_i(col_plane),
      .rd_mode_i(col_mode),
      .rd_hi_valid_i(col_hi_valid),
      .rd_data_o(col)
  );

  hb_array #(
      .Dm(Dm),
      .Dn(Dn),
      .K(K),
      .R(R),
      .PopcountStyle(PopcountStyle)
  ) u_array (
      .clk_i,
      .rst_ni,
      .en_o(en),
      .step_valid_i(step_valid),
      .step_first_i(step_first),
      .step_shift_i(step_shift),
      .step_neg_i(step_neg),
      .step_mode_i(step_mode),
      .step_last_i(step_last),
      .step_bipolar_i(step_bipolar),
      .step_npix_i(step_npix),
      .wgt_i(wgt),
      .col_i(col),
      .res_valid_o,
      .res_data_o,
      .res_ready_i
  );

endmodule
