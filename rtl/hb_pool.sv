// POOL (ports only so far).
module hb_pool
  import hb_pkg::*;
#(
    // Output channels of a group.
    parameter int Dm = 8,
    // Pixels of a tile.
    parameter int Dn = 4,
    // Lanes of the array; a store word has W = K/2.
    parameter int K = 64,
    // Sums a beat; divides Dm.
    parameter int R = 4,
    localparam int W = K / 2
) (
    input logic clk_i,
    input logic rst_ni,
    // Command.
    input logic cmd_valid_i,
    input pool_t cmd_i,
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

endmodule
