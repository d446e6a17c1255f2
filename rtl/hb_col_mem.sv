// Column memories: for each of Dn pixels four banks of W-bit words; two tile buffers by row address.
// Plane b of the quad of word k is in bank (b + 2*(k%2)) % 4, so a write stores a quad at once and
// a read returns either one plane of two words or two planes of one word without conflict.
// Latency: a write in cycle t is seen by reads issued in cycle t+1 or later; rd_data_o follows the
// read controls by two cycles of en_i, pixel n at [n*2*W +: 2*W]. Throughput: one read and one
// write a cycle. Overflow: a row of ColRows or more writes nothing and reads anything.
module hb_col_mem #(
    parameter int Dn      = 4,   // pixels of a tile, 2..16
    parameter int W       = 32,  // lanes (bits) of a word
    parameter int ColRows = 512  // rows of each bank, both buffers together
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    // write: plane b of the quad at [b*W +: W]
    input  logic                       we_i,
    input  logic [   $clog2(Dn)-1:0]   wr_col_i,
    input  logic [$clog2(ColRows)-1:0] wr_row_i,
    input  logic                       wr_odd_i,         // k % 2
    input  logic [          4*W-1:0]   wr_data_i,
    // read: mode 0: low W bits = plane of word k, high = the same plane of word k+1 (the next row)
    // or zero; mode 1: low = plane rd_plane_i (even) of word k, high = plane rd_plane_i + 1
    input  logic                       en_i,
    input  logic [$clog2(ColRows)-1:0] rd_row_i,
    input  logic                       rd_odd_i,         // k % 2
    input  logic [                1:0] rd_plane_i,
    input  logic                       rd_mode_i,
    input  logic                       rd_hi_valid_i,    // mode 0: word k+1 exists
    output logic [       Dn*2*W-1:0]   rd_data_o
);

  localparam int RowBits = $clog2(ColRows);
  localparam int ColBits = $clog2(Dn);

  // ---- read controls, the same for all columns
  logic [1:0] lo_bank, hi_bank, lo_bank_q, hi_bank_q;
  logic hi_valid_q;
  logic [RowBits-1:0] hi_row;
  assign lo_bank = rd_plane_i + {rd_odd_i, 1'b0};
  assign hi_bank = rd_mode_i ? lo_bank + 2'd1 : lo_bank + 2'd2;
`ifdef HB_FAULT_COL_MEM
  assign hi_row = rd_row_i;
`else
  assign hi_row = rd_mode_i ? rd_row_i : rd_row_i + 1'b1;
`endif

  always_ff @(posedge clk_i) begin
    if (!rst_ni) hi_valid_q <= 1'b0;
    else if (en_i) hi_valid_q <= rd_mode_i || rd_hi_valid_i;
    if (en_i) begin
      lo_bank_q <= lo_bank;
      hi_bank_q <= hi_bank;
    end
  end

  // ---- write by bank: planes of an odd word are two banks further on
  logic [4*W-1:0] banks;
  assign banks = wr_odd_i ? {wr_data_i[2*W-1:0], wr_data_i[4*W-1:2*W]} : wr_data_i;

  for (genvar n = 0; n < Dn; n++) begin : gen_col
    logic [3:0][W-1:0] bank_data;

    for (genvar b = 0; b < 4; b++) begin : gen_bank
      hb_sdp_ram #(
          .Width  (W),
          .Granule(W),
          .Depth  (ColRows)
      ) u_ram (
          .clk_i,
          .wr_en_i  (we_i && wr_col_i == ColBits'(n)),
          .wr_addr_i(wr_row_i),
          .wr_data_i(banks[b*W+:W]),
          .rd_en_i  (en_i),
          .rd_addr_i(hi_bank == 2'(b) ? hi_row : rd_row_i),
          .rd_data_o(bank_data[b])
      );
    end

    always_ff @(posedge clk_i) begin
      if (en_i) begin
        rd_data_o[n*2*W+:W]   <= bank_data[lo_bank_q];
        rd_data_o[n*2*W+W+:W] <= hi_valid_q ? bank_data[hi_bank_q] : '0;
      end
    end
  end

endmodule
