// One requantiser lane:
//   y = clamp((((acc + bias)*m + (((skip - skip_zp)*m2) << t) + 2^(s-1)) >>> s) + zp_out, lo, hi)
//
// Latency: Latency = 8 steps of en_i; throughput: one value a step. There is no valid and no reset:
// the engine carries validity beside the data. Overflow: acc + bias wraps in 32 bits and the sum
// in 56 bits, both of which the numerics exclude; the shifted value is saturated to 10 bits, which
// the clamp to lo..hi (0..255) does not notice.
module hb_requant_lane
  import hb_pkg::*;
(
    input logic clk_i,
    // Every register advances.
    input logic en_i,
    // Accumulator, residual as stored, parameters of the channel.
    input logic signed [31:0] acc_i,
    input logic [7:0] skip_i,
    // The waiver: reserved bits of an entry are read by nobody.
    /* verilator lint_off UNUSEDSIGNAL */
    input param_t param_i,
    /* verilator lint_on UNUSEDSIGNAL */
    // Constants of the instruction: stable while values are in the pipeline.
    input logic skip_en_i,
    input logic [7:0] skip_zp_i,
    input logic [7:0] zp_out_i,
    input logic [7:0] lo_i,
    input logic [7:0] hi_i,
    output logic [7:0] y_o
);

  // 1: operands of the products.
  logic signed [31:0] a1_q;
  logic signed [8:0] d1_q;
  logic signed [16:0] m1_q, n1_q;
  logic [5:0] s1_q, s2_q, s3_q, s4_q;
  logic [4:0] t1_q, t2_q;
  logic [2:0] s5_q;
  // 2: products.
  logic signed [48:0] p2_q;
  logic signed [25:0] q2_q;
  // 3: rounding and the shift of the residual; 4: their sum; 5, 6: the shift down.
  logic signed [55:0] p3_q, q3_q, sum4_q, sh5_q, sh6_q;
  // 7: saturated, with the zero point; 8: clamped.
  logic signed [10:0] z7_q;
  logic [7:0] y8_q;

  logic signed [9:0] sat;
  assign sat = (sh6_q > 56'sd511) ? 10'sd511 : (sh6_q < -56'sd512) ? -10'sd512 : sh6_q[9:0];

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      a1_q <= acc_i + param_i.bias;
      d1_q <= skip_en_i ? $signed({1'b0, skip_i}) - $signed({1'b0, skip_zp_i}) : 9'sd0;
      m1_q <= param_i.m;
      n1_q <= param_i.m2;
      s1_q <= param_i.s;
      t1_q <= param_i.t;

      p2_q <= 49'(a1_q) * 49'(m1_q);
      q2_q <= 26'(d1_q) * 26'(n1_q);
      s2_q <= s1_q;
      t2_q <= t1_q;

`ifdef HB_FAULT_REQUANT_LANE
      p3_q <= 56'(p2_q);  // seeded fault: no rounding
`else
      p3_q <= 56'(p2_q) + $signed(56'd1 << (s2_q - 6'd1));
`endif
      q3_q <= 56'(q2_q) <<< t2_q;
      s3_q <= s2_q;

      sum4_q <= p3_q + q3_q;
      s4_q <= s3_q;

      sh5_q <= sum4_q >>> {s4_q[5:3], 3'b000};
      s5_q <= s4_q[2:0];

      sh6_q <= sh5_q >>> s5_q;

      z7_q <= 11'(sat) + $signed({3'b000, zp_out_i});

      if (z7_q < $signed({3'b000, lo_i})) y8_q <= lo_i;
      else if (z7_q > $signed({3'b000, hi_i})) y8_q <= hi_i;
      else y8_q <= z7_q[7:0];
    end
  end

  assign y_o = y8_q;

endmodule
