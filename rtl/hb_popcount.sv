// Number of ones in a word, combinational.
//
// Overflow: none, the count has room for Width.
module hb_popcount #(
    parameter int Width = 64,  // bits to count
    parameter int Style = 0,  // 0: $countones, fast to simulate; 1: compressor tree for synthesis
    parameter int CountW = $clog2(Width + 1)  // derived: bits of the count
) (
    input logic [Width-1:0] data_i,
    output logic [CountW-1:0] count_o
);
endmodule
