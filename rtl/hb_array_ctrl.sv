// header to come
module hb_array_ctrl
  import hb_pkg::*;
#(
    parameter int Dn = 8,  // pixels of a tile
    parameter int ColRows = 512,  // rows of a column bank, both tile buffers together
    parameter int RowW = $clog2(ColRows),  // derived: bits of a column row
    parameter int PixW = $clog2(Dn + 1)  // derived: bits of a pixel count
) (
    input logic clk_i,
    input logic rst_ni,
    // commands
    input logic cmd_valid_i,
    input conv_t cmd_i,
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
    output logic mem_en_o,  // to both memories: en_i, where a read is under way
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
endmodule
