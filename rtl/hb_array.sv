// header to come
module hb_array #(
    parameter int Dm = 16,  // output channels of a group
    parameter int Dn = 8,  // pixels of a tile
    parameter int K = 128,  // lanes of a unit
    parameter int R = 16,  // results of a beat, a divisor of Dm
    parameter int PopcountStyle = 0,  // see hb_popcount
    parameter int PixW = $clog2(Dn + 1)  // derived: bits of a pixel count
) (
    input logic clk_i,
    input logic rst_ni,
    output logic en_o,  // the pipeline from hb_array_ctrl to here advances
    // the step and its operands
    input logic step_valid_i,
    input logic step_first_i,
    input logic step_shift_i,
    input logic step_neg_i,
    input logic step_mode_i,
    input logic step_last_i,
    input logic step_bipolar_i,
    input logic [PixW-1:0] step_npix_i,
    input logic [Dm*K-1:0] wgt_i,
    input logic [Dn*K-1:0] col_i,
    // results
    output logic res_valid_o,
    output logic [R*32-1:0] res_data_o,
    input logic res_ready_i
);
endmodule
