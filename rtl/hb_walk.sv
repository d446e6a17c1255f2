// Walker over the result order: tile, group, pixel of the tile, slice of R lanes. Keeps running
// sums along the output's rows (y) and columns (x), so that addresses need no multiplier:
// y grows by y_step_i from one output row to the next, x by x_step_i from one output column to the
// next and returns to x_first_i at the start of a row. Every group of a tile starts again
// at the tile's first pixel.
//
// Latency: the first position is at the outputs in the cycle after start_i. Throughput: one
// position a cycle (step_i). Overflow: sums wrap modulo 2^YBits and 2^XBits. npix_i, n_groups_i and
// out_w_i are at least 1; all inputs but start_i and step_i stay as they are while valid_o.
module hb_walk #(
    // Output channels of a group.
    parameter int Dm = 8,
    // Pixels of a tile.
    parameter int Dn = 4,
    // Lanes of a slice, divides Dm; Dm for one position a pixel.
    parameter int R = 4,
    // Number of sums along each direction.
    parameter int N = 1,
    // Widths of the sums along y and along x.
    parameter int YBits = 15,
    parameter int XBits = 17
) (
    input logic clk_i,
    input logic rst_ni,
    input logic start_i,
    // Output pixels of the instruction, groups, columns of the output map, first column.
    input logic [19:0] npix_i,
    input logic [11:0] n_groups_i,
    input logic [11:0] out_w_i,
    input logic [11:0] ox0_i,
    // Sums: at the first pixel, at column 0 of a row (x), and per row or column.
    input logic [N-1:0][YBits-1:0] y_init_i,
    input logic [N-1:0][YBits-1:0] y_step_i,
    input logic [N-1:0][XBits-1:0] x_init_i,
    input logic [N-1:0][XBits-1:0] x_first_i,
    input logic [N-1:0][XBits-1:0] x_step_i,
    // Take the position at the outputs.
    input logic step_i,
    output logic valid_o,
    output logic [N-1:0][YBits-1:0] y_o,
    output logic [N-1:0][XBits-1:0] x_o,
    // Channel within the layer: group*Dm + slice*R.
    output logic [15:0] chan_o,
    // Last slice of the pixel; last position of the instruction.
    output logic last_slice_o,
    output logic last_o
);

  localparam int PixBits = $clog2(Dn + 1);
  localparam int SliceBits = $clog2(Dm / R + 1);

  // Where a pixel is: column and sums.
  typedef struct packed {
    logic [11:0] ox;
    logic [N-1:0][YBits-1:0] y;
    logic [N-1:0][XBits-1:0] x;
  } place_t;

  place_t here_q, tile_q, next;
  logic valid_q;
  logic [19:0] left_q;  // pixels of this tile and those behind it
  logic [PixBits-1:0] pix_q;
  logic [SliceBits-1:0] slice_q;
  logic [11:0] group_q;
  logic [15:0] chan_q;

  wire last_slice = slice_q == SliceBits'(Dm / R - 1);
  wire last_pix = pix_q == PixBits'(Dn - 1) || 20'(pix_q) + 20'd1 == left_q;
  wire last_group = group_q + 12'd1 == n_groups_i;
  wire last_tile = left_q <= 20'(Dn);

  always_comb begin
    next = here_q;
    if (here_q.ox + 12'd1 == out_w_i) begin
      next.ox = '0;
      next.x = x_first_i;
      for (int n = 0; n < N; n++) next.y[n] = here_q.y[n] + y_step_i[n];
    end else begin
      next.ox = here_q.ox + 12'd1;
      for (int n = 0; n < N; n++) next.x[n] = here_q.x[n] + x_step_i[n];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else if (start_i) begin
      valid_q <= 1'b1;
      here_q <= '{ox: ox0_i, y: y_init_i, x: x_init_i};
      tile_q <= '{ox: ox0_i, y: y_init_i, x: x_init_i};
      left_q <= npix_i;
      pix_q <= '0;
      slice_q <= '0;
      group_q <= '0;
      chan_q <= '0;
    end else if (valid_q && step_i) begin
      if (!last_slice) begin
        slice_q <= slice_q + 1'b1;
        chan_q <= chan_q + 16'(R);
      end else begin
        slice_q <= '0;
        if (!last_pix) begin
          pix_q <= pix_q + 1'b1;
          chan_q <= chan_q - 16'(Dm - R);
          here_q <= next;
        end else begin
          pix_q <= '0;
          if (!last_group) begin
            group_q <= group_q + 12'd1;
            chan_q <= chan_q + 16'(R);
            here_q <= tile_q;
          end else begin
            group_q <= '0;
            chan_q <= '0;
            here_q <= next;
`ifndef HB_FAULT_WALK
            tile_q <= next;
`endif
            left_q <= left_q - 20'(Dn);
            valid_q <= !last_tile;
          end
        end
      end
    end
  end

  assign valid_o = valid_q;
  assign y_o = here_q.y;
  assign x_o = here_q.x;
  assign chan_o = chan_q;
  assign last_slice_o = last_slice;
  assign last_o = last_slice && last_pix && last_group && last_tile;

endmodule
