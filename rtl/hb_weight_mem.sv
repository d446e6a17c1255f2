// The weights: WeightRows wide words of Dm*K bits, in memories of 64 bits.
//
// Row m of the array has bits [m*K +: K] of a wide word, the even word of K/2 lanes below the odd
// one. A write stores 64 bits (chunk c: bits [c*64 +: 64]). A read returns the whole wide word
// (mode 0), or in every row one of its two words twice (mode 1).
//
// Latency: 2 cycles of en_i from address to data. Throughput: one read and one write a cycle.
// A read of the row that is written in the same cycle returns the old or the new bits.
// Overflow: none; addresses of WeightRows and above are the caller's fault.
module hb_weight_mem #(
    parameter int Dm = 16,  // rows of the array
    parameter int K = 128,  // lanes of a row: 32, 64 or 128
    parameter int WeightRows = 512,  // wide words
    parameter int Chunks = Dm * K / 64,  // derived: 64-bit chunks of a wide word
    parameter int ChunkW = Chunks > 1 ? $clog2(Chunks) : 1  // derived
) (
    input logic clk_i,
    input logic rst_ni,
    input logic we_i,
    input logic [15:0] waddr_i,
    input logic [ChunkW-1:0] wchunk_i,
    input logic [63:0] wdata_i,
    input logic en_i,  // the read registers advance
    input logic [15:0] rd_addr_i,
    input logic rd_mode_i,  // 1: repeat one word in both halves of every row
    input logic rd_odd_i,  // mode 1: the odd word (the high half)
    output logic [Dm*K-1:0] rd_data_o
);

  localparam int W = K / 2;
  localparam int AddrW = $clog2(WeightRows);

  logic [AddrW-1:0] waddr, raddr;
  logic [Chunks-1:0][63:0] raw;  // the output registers of the memories: one wide word
  logic mode_q, odd_q;
  logic unused;

  assign waddr = waddr_i[AddrW-1:0];
  assign raddr = rd_addr_i[AddrW-1:0];
  assign unused = &{1'b0, rst_ni, waddr_i, rd_addr_i};  // nothing here needs a reset

  for (genvar c = 0; c < Chunks; c++) begin : gen_chunk
    logic [63:0] mem[WeightRows];
    logic [63:0] raw_q;

    always_ff @(posedge clk_i) begin
      if (we_i && wchunk_i == ChunkW'(c)) mem[waddr] <= wdata_i;
    end
    always_ff @(posedge clk_i) begin
      if (en_i) raw_q <= mem[raddr];
    end
    assign raw[c] = raw_q;
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      mode_q <= rd_mode_i;
      odd_q  <= rd_odd_i;
    end
  end

  for (genvar m = 0; m < Dm; m++) begin : gen_row
    localparam int LowBit = m * K;
    localparam int HighBit = m * K + W;
    logic [W-1:0] low, high, low_q, high_q;

    assign low  = raw[LowBit/64][LowBit%64+:W];
    assign high = raw[HighBit/64][HighBit%64+:W];
    always_ff @(posedge clk_i) begin
      if (en_i) begin
`ifdef HB_FAULT_WEIGHT_MEM
        low_q <= low;
`else
        low_q <= mode_q && odd_q ? high : low;
`endif
        high_q <= mode_q && !odd_q ? low : high;
      end
    end
    assign rd_data_o[m*K+:K] = {high_q, low_q};
  end

endmodule
