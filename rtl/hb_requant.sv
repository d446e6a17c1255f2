// REQUANT (ports only so far).
module hb_requant
  import hb_pkg::*;
#(
    // Output channels of the array (a group).
    parameter int Dm = 8,
    // Pixels of a tile.
    parameter int Dn = 4,
    // Lanes of the array; a store word has W = K/2.
    parameter int K = 64,
    // Requantiser lanes: results a beat; divides Dm.
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

endmodule
