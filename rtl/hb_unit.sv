// One unit of the array: counts the ones of two ANDed words and accumulates them.
//
//   stage 1  p0, p1 <- ones of (wgt & col) in the low and the high half
//   stage 2  s      <- p0 + p1 (lane mode 0) or p0 + 2*p1 (lane mode 1); 0 without operands
//   stage 3  acc    <- (first ? 0 : shift ? 2*acc : acc) +- s; at `last` also res
//
// Every stage takes one cycle of en_i and its own controls; stages without work hold still.
// Latency: 3 cycles from operands to res_o. Throughput: one step a cycle.
// Overflow: acc wraps at 32 bits; the compiler proves that no layer reaches that.
module hb_unit #(
    parameter int K = 128,  // lanes
    parameter int PopcountStyle = 0  // see hb_popcount
) (
    input logic clk_i,
    input logic en_i,
    // stage 1
    input logic count_valid_i,
    input logic [K/2-1:0] wgt_low_i,
    input logic [K/2-1:0] wgt_high_i,
    input logic [K/2-1:0] col_low_i,
    input logic [K/2-1:0] col_high_i,
    // stage 2
    input logic sum_valid_i,
    input logic sum_mode_i,
    // stage 3
    input logic acc_valid_i,  // adds or shifts
    input logic acc_first_i,
    input logic acc_shift_i,
    input logic acc_neg_i,
    input logic acc_last_i,
    output logic [31:0] res_o
);

  localparam int W = K / 2;
  localparam int CountW = $clog2(W + 1);
  localparam int SumW = CountW + 2;

  logic [CountW-1:0] low, high, low_q, high_q;
  logic [SumW-1:0] sum_q;
  logic [31:0] acc_base, acc_d, acc_q, res_q;

  hb_popcount #(
      .Width(W),
      .Style(PopcountStyle)
  ) u_low (
      .data_i (wgt_low_i & col_low_i),
      .count_o(low)
  );
  hb_popcount #(
      .Width(W),
      .Style(PopcountStyle)
  ) u_high (
      .data_i (wgt_high_i & col_high_i),
      .count_o(high)
  );

  always_comb begin
    acc_base = acc_first_i ? 32'd0 : acc_shift_i ? {acc_q[30:0], 1'b0} : acc_q;
`ifdef HB_FAULT_UNIT
    acc_d = acc_base + 32'(sum_q);
`else
    acc_d = acc_neg_i ? acc_base - 32'(sum_q) : acc_base + 32'(sum_q);
`endif
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      if (count_valid_i) begin
        low_q  <= low;
        high_q <= high;
      end
      if (!sum_valid_i) sum_q <= '0;
      else if (sum_mode_i) sum_q <= SumW'(low_q) + SumW'({high_q, 1'b0});
      else sum_q <= SumW'(low_q) + SumW'(high_q);
      if (acc_valid_i) acc_q <= acc_d;
      if (acc_last_i) res_q <= acc_d;
    end
  end

  assign res_o = res_q;

endmodule
