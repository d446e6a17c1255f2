// GATHER: fills the column of every output pixel of a tile from the activation store.
module hb_gather #(
    parameter int Dn      = 4,   // pixels of a tile, 2..16
    parameter int W       = 32,  // lanes of a word: 16, 32 or 64
    parameter int ColRows = 512  // rows of a column memory, both buffers together
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    // command
    input  logic                       cmd_valid_i,
    input  hb_pkg::conv_t              cmd_i,
    output logic                       cmd_ready_o,
    output logic                       done_o,
    output logic                       busy_o,
    output logic                       stall_in_o,      // a fetch is not granted
    output logic                       stall_out_o,     // no tile buffer is free
    // activation store
    output logic                       rd_valid_o,
    output logic [               15:0] rd_addr_o,
    input  logic                       rd_ready_i,
    input  logic                       rd_rsp_valid_i,
    input  logic [            8*W-1:0] rd_data_i,
    // column memory, ports A and B
    output logic                       a_we_o,
    output logic [     $clog2(Dn)-1:0] a_col_o,
    output logic [$clog2(ColRows)-1:0] a_row_o,
    output logic                       a_odd_o,
    output logic [            4*W-1:0] a_data_o,
    output logic                       b_we_o,
    output logic [     $clog2(Dn)-1:0] b_col_o,
    output logic [$clog2(ColRows)-1:0] b_row_o,
    output logic                       b_odd_o,
    output logic [            4*W-1:0] b_data_o,
    // tile buffers: done hands one to ARRAY, free gives it back
    input  logic                       tile_free_i,
    output logic                       tile_done_o
);

endmodule
