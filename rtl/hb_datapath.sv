// The six engines, the four memories between them and nothing else.
// Latency, throughput and overflow rules are those of the engines.
module hb_datapath
  import hb_pkg::*;
#(
    parameter int Dm = 4,  // output channels of a group
    parameter int Dn = 4,  // pixels of a tile
    parameter int K = 32,  // lanes of a unit
    parameter int R = 2,  // requantiser lanes
    parameter int ActRows = 512,  // words of a bank of the activation store
    parameter int WeightRows = 1024,  // wide words of the weight memory
    parameter int ColRows = 256,  // rows of a column bank
    parameter int ParamChannels = 128,  // entries of the parameter memory
    parameter int PopcountStyle = 0  // see hb_popcount
) (
    input  logic                 clk_i,
    input  logic                 rst_ni,
    input  logic [2:0][39:0]     base_i,        // base addresses by number of Base
    // commands by number of Engine
    input  logic [N_ENGINES-1:0] cmd_valid_i,
    output logic [N_ENGINES-1:0] cmd_ready_o,
    input  load_t                load_cmd_i,
    input  conv_t                gather_cmd_i,
    input  conv_t                array_cmd_i,
    input  pool_t                pool_cmd_i,
    input  requant_t             requant_cmd_i,
    input  store_t               store_cmd_i,
    output logic [N_ENGINES-1:0] done_o,
    output logic [N_ENGINES-1:0] busy_o,
    output logic [N_ENGINES-1:0] stall_in_o,
    output logic [N_ENGINES-1:0] stall_out_o,
    output logic                 progress_o,    // a memory access or an array step
    // client of hb_axi_rd
    output logic                 rd_req_valid_o,
    output logic [39:0]          rd_req_addr_o,
    output logic [23:0]          rd_req_beats_o,
    input  logic                 rd_req_ready_i,
    input  logic                 rd_rsp_valid_i,
    input  logic [63:0]          rd_rsp_data_i,
    output logic                 rd_rsp_ready_o,
    // client of hb_axi_wr
    output logic                 wr_req_valid_o,
    output logic [39:0]          wr_req_addr_o,
    output logic [23:0]          wr_req_beats_o,
    input  logic                 wr_req_ready_i,
    output logic                 wr_data_valid_o,
    output logic [63:0]          wr_data_o,
    input  logic                 wr_data_ready_i,
    input  logic                 wr_done_i
);

  localparam int W = K / 2;
  localparam int Chunks = Dm * K / 64;
  localparam int ChunkW = Chunks > 1 ? $clog2(Chunks) : 1;
  localparam int ColW = $clog2(Dn);
  localparam int RowW = $clog2(ColRows);
  localparam int PixW = $clog2(Dn + 1);

  // Requesters of the activation store.
  localparam int RdSkip = 0, RdStore = 1, RdPool = 2, RdGather = 3, WrPack = 0, WrLoad = 1;

  logic [3:0] rd_valid, rd_ready, rsp_valid;
  logic [3:0][15:0] rd_addr;
  logic [3:0][8*W-1:0] rd_data;
  logic [1:0] wr_valid, wr_ready;
  logic [1:0][15:0] wr_addr;
  logic [1:0][3:0] wr_count;
  logic [1:0][W/Dm-1:0] wr_mask;
  logic [1:0][8*W-1:0] wr_data;

  hb_act_store #(
      .W(W), .Dm(Dm), .ActRows(ActRows)
  ) u_act_store (
      .clk_i, .rst_ni,
      .rd_valid_i(rd_valid), .rd_addr_i(rd_addr), .rd_ready_o(rd_ready),
      .rd_rsp_valid_o(rsp_valid), .rd_data_o(rd_data),
      .wr_valid_i(wr_valid), .wr_addr_i(wr_addr), .wr_count_i(wr_count), .wr_mask_i(wr_mask),
      .wr_data_i(wr_data), .wr_ready_o(wr_ready)
  );

  // ---- LOAD, weight and parameter memory
  logic wgt_we, par_we, par_rd_en;
  logic [15:0] wgt_waddr, par_waddr, par_rd_addr;
  logic [ChunkW-1:0] wgt_chunk;
  logic [63:0] wgt_wdata;
  param_t par_wdata;
  param_t [R-1:0] par_rd_data;

  hb_load #(
      .Dm(Dm), .K(K)
  ) u_load (
      .clk_i, .rst_ni, .base_i,
      .cmd_valid_i(cmd_valid_i[ENG_LOAD]), .cmd_i(load_cmd_i),
      .cmd_ready_o(cmd_ready_o[ENG_LOAD]), .done_o(done_o[ENG_LOAD]), .busy_o(busy_o[ENG_LOAD]),
      .stall_in_o(stall_in_o[ENG_LOAD]), .stall_out_o(stall_out_o[ENG_LOAD]),
      .req_valid_o(rd_req_valid_o), .req_addr_o(rd_req_addr_o), .req_beats_o(rd_req_beats_o),
      .req_ready_i(rd_req_ready_i), .rsp_valid_i(rd_rsp_valid_i), .rsp_data_i(rd_rsp_data_i),
      .rsp_ready_o(rd_rsp_ready_o),
      .wgt_we_o(wgt_we), .wgt_addr_o(wgt_waddr), .wgt_chunk_o(wgt_chunk), .wgt_data_o(wgt_wdata),
      .par_we_o(par_we), .par_addr_o(par_waddr), .par_data_o(par_wdata),
      .wr_valid_o(wr_valid[WrLoad]), .wr_addr_o(wr_addr[WrLoad]), .wr_count_o(wr_count[WrLoad]),
      .wr_mask_o(wr_mask[WrLoad]), .wr_data_o(wr_data[WrLoad]), .wr_ready_i(wr_ready[WrLoad])
  );

  hb_param_mem #(
      .R(R), .ParamChannels(ParamChannels)
  ) u_param_mem (
      .clk_i, .rst_ni,
      .we_i(par_we), .waddr_i(par_waddr), .wdata_i(par_wdata),
      .rd_en_i(par_rd_en), .rd_addr_i(par_rd_addr), .rd_data_o(par_rd_data)
  );

  // ---- GATHER and the columns
  logic tile_done, tile_free, wr_col_we, wr_col_odd;
  logic [ColW-1:0] wr_col_sel;
  logic [RowW-1:0] wr_col_row;
  logic [4*W-1:0] wr_col_data;

  hb_gather #(
      .Dn(Dn), .W(W), .ColRows(ColRows)
  ) u_gather (
      .clk_i, .rst_ni,
      .cmd_valid_i(cmd_valid_i[ENG_GATHER]), .cmd_i(gather_cmd_i),
      .cmd_ready_o(cmd_ready_o[ENG_GATHER]), .done_o(done_o[ENG_GATHER]),
      .busy_o(busy_o[ENG_GATHER]), .stall_in_o(stall_in_o[ENG_GATHER]),
      .stall_out_o(stall_out_o[ENG_GATHER]),
      .rd_valid_o(rd_valid[RdGather]), .rd_addr_o(rd_addr[RdGather]),
      .rd_ready_i(rd_ready[RdGather]), .rd_rsp_valid_i(rsp_valid[RdGather]),
      .rd_data_i(rd_data[RdGather]),
      .col_we_o(wr_col_we), .col_sel_o(wr_col_sel), .col_row_o(wr_col_row),
      .col_odd_o(wr_col_odd), .col_data_o(wr_col_data),
      .tile_free_i(tile_free), .tile_done_o(tile_done)
  );

  logic array_en, mem_en, col_odd, col_mode, col_hi_valid, wgt_mode, wgt_odd;
  logic [RowW-1:0] col_row;
  logic [1:0] col_plane;
  logic [15:0] wgt_addr;
  logic [Dn*K-1:0] col_data;
  logic [Dm*K-1:0] wgt_data;

  hb_col_mem #(
      .Dn(Dn), .W(W), .ColRows(ColRows)
  ) u_col_mem (
      .clk_i, .rst_ni,
      .we_i(wr_col_we), .wr_col_i(wr_col_sel), .wr_row_i(wr_col_row), .wr_odd_i(wr_col_odd),
      .wr_data_i(wr_col_data),
      .en_i(mem_en), .rd_row_i(col_row), .rd_odd_i(col_odd), .rd_plane_i(col_plane),
      .rd_mode_i(col_mode), .rd_hi_valid_i(col_hi_valid), .rd_data_o(col_data)
  );

  hb_weight_mem #(
      .Dm(Dm), .K(K), .WeightRows(WeightRows)
  ) u_weight_mem (
      .clk_i, .rst_ni,
      .we_i(wgt_we), .waddr_i(wgt_waddr), .wchunk_i(wgt_chunk), .wdata_i(wgt_wdata),
      .en_i(mem_en), .rd_addr_i(wgt_addr), .rd_mode_i(wgt_mode), .rd_odd_i(wgt_odd),
      .rd_data_o(wgt_data)
  );

  // ---- ARRAY
  logic step_valid, step_first, step_shift, step_neg, step_mode, step_last, step_bipolar;
  logic [PixW-1:0] step_npix;
  logic arr_valid, arr_ready, pool_valid, pool_ready;
  logic [R*32-1:0] arr_data, pool_data;

  hb_array_ctrl #(
      .Dn(Dn), .ColRows(ColRows)
  ) u_array_ctrl (
      .clk_i, .rst_ni,
      .cmd_valid_i(cmd_valid_i[ENG_ARRAY]), .cmd_i(array_cmd_i),
      .cmd_ready_o(cmd_ready_o[ENG_ARRAY]), .done_o(done_o[ENG_ARRAY]),
      .busy_o(busy_o[ENG_ARRAY]), .stall_in_o(stall_in_o[ENG_ARRAY]),
      .stall_out_o(stall_out_o[ENG_ARRAY]),
      .tile_done_i(tile_done), .tile_free_o(tile_free),
      .en_i(array_en), .mem_en_o(mem_en),
      .wgt_addr_o(wgt_addr), .wgt_mode_o(wgt_mode), .wgt_odd_o(wgt_odd),
      .col_row_o(col_row), .col_odd_o(col_odd), .col_plane_o(col_plane), .col_mode_o(col_mode),
      .col_hi_valid_o(col_hi_valid),
      .step_valid_o(step_valid), .step_first_o(step_first), .step_shift_o(step_shift),
      .step_neg_o(step_neg), .step_mode_o(step_mode), .step_last_o(step_last),
      .step_bipolar_o(step_bipolar), .step_npix_o(step_npix)
  );

  hb_array #(
      .Dm(Dm), .Dn(Dn), .K(K), .R(R), .PopcountStyle(PopcountStyle)
  ) u_array (
      .clk_i, .rst_ni, .en_o(array_en),
      .step_valid_i(step_valid), .step_first_i(step_first), .step_shift_i(step_shift),
      .step_neg_i(step_neg), .step_mode_i(step_mode), .step_last_i(step_last),
      .step_bipolar_i(step_bipolar), .step_npix_i(step_npix),
      .wgt_i(wgt_data), .col_i(col_data),
      .res_valid_o(arr_valid), .res_data_o(arr_data), .res_ready_i(arr_ready)
  );

  // ---- POOL, REQUANT, STORE
  hb_pool #(
      .Dm(Dm), .Dn(Dn), .K(K), .R(R)
  ) u_pool (
      .clk_i, .rst_ni,
      .cmd_valid_i(cmd_valid_i[ENG_POOL]), .cmd_i(pool_cmd_i),
      .cmd_ready_o(cmd_ready_o[ENG_POOL]), .done_o(done_o[ENG_POOL]), .busy_o(busy_o[ENG_POOL]),
      .stall_in_o(stall_in_o[ENG_POOL]), .stall_out_o(stall_out_o[ENG_POOL]),
      .rd_valid_o(rd_valid[RdPool]), .rd_addr_o(rd_addr[RdPool]), .rd_ready_i(rd_ready[RdPool]),
      .rd_rsp_valid_i(rsp_valid[RdPool]), .rd_data_i(rd_data[RdPool]),
      .res_valid_o(pool_valid), .res_data_o(pool_data), .res_ready_i(pool_ready)
  );

  hb_requant #(
      .Dm(Dm), .Dn(Dn), .K(K), .R(R)
  ) u_requant (
      .clk_i, .rst_ni,
      .cmd_valid_i(cmd_valid_i[ENG_REQUANT]), .cmd_i(requant_cmd_i),
      .cmd_ready_o(cmd_ready_o[ENG_REQUANT]), .done_o(done_o[ENG_REQUANT]),
      .busy_o(busy_o[ENG_REQUANT]), .stall_in_o(stall_in_o[ENG_REQUANT]),
      .stall_out_o(stall_out_o[ENG_REQUANT]),
      .arr_valid_i(arr_valid), .arr_data_i(arr_data), .arr_ready_o(arr_ready),
      .pool_valid_i(pool_valid), .pool_data_i(pool_data), .pool_ready_o(pool_ready),
      .par_rd_en_o(par_rd_en), .par_rd_addr_o(par_rd_addr), .par_rd_data_i(par_rd_data),
      .rd_valid_o(rd_valid[RdSkip]), .rd_addr_o(rd_addr[RdSkip]), .rd_ready_i(rd_ready[RdSkip]),
      .rd_rsp_valid_i(rsp_valid[RdSkip]), .rd_data_i(rd_data[RdSkip]),
      .wr_valid_o(wr_valid[WrPack]), .wr_addr_o(wr_addr[WrPack]), .wr_count_o(wr_count[WrPack]),
      .wr_mask_o(wr_mask[WrPack]), .wr_data_o(wr_data[WrPack]), .wr_ready_i(wr_ready[WrPack])
  );

  hb_store #(
      .W(W)
  ) u_store (
      .clk_i, .rst_ni, .base_i,
      .cmd_valid_i(cmd_valid_i[ENG_STORE]), .cmd_i(store_cmd_i),
      .cmd_ready_o(cmd_ready_o[ENG_STORE]), .done_o(done_o[ENG_STORE]),
      .busy_o(busy_o[ENG_STORE]), .stall_in_o(stall_in_o[ENG_STORE]),
      .stall_out_o(stall_out_o[ENG_STORE]),
      .rd_valid_o(rd_valid[RdStore]), .rd_addr_o(rd_addr[RdStore]),
      .rd_ready_i(rd_ready[RdStore]), .rd_rsp_valid_i(rsp_valid[RdStore]),
      .rd_data_i(rd_data[RdStore]),
      .req_valid_o(wr_req_valid_o), .req_addr_o(wr_req_addr_o), .req_beats_o(wr_req_beats_o),
      .req_ready_i(wr_req_ready_i), .data_valid_o(wr_data_valid_o), .data_o(wr_data_o),
      .data_ready_i(wr_data_ready_i), .wr_done_i
  );

  assign progress_o = |(rd_valid & rd_ready) || |(wr_valid & wr_ready) || (step_valid && array_en);

endmodule
