// The bit-serial array: Dm x Dn units of K lanes, a column-sum row, and the drain.
//
//   step, wgt_i, col_i -> operand registers -> count -> sum -> accumulate -> drain -> output
//
// Unit (m, n) meets row m of the weights with column n. The column-sum row does the same with all
// weights 1 and never subtracts. At `last` every accumulator goes to a second register, from where
// beats of R results leave in the order pixel, slice of R rows; only the pixels that exist, and
// with `bipolar` as 2*acc - sum(column).
//
// Latency: 5 cycles from the last step to the first beat. Throughput: one step a cycle; a group of
// S steps takes max(S, npix*Dm/R) cycles. en_o falls, and everything from hb_array_ctrl to the
// accumulators holds still, only while a finished group meets drain registers still in use.
// Overflow: 32 bits wrap; the compiler proves that no layer reaches that.
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

  localparam int Slices = Dm / R;
  localparam int SliceW = Slices > 1 ? $clog2(Slices) : 1;
  localparam int IndexW = $clog2(Dn);

  typedef struct packed {
    logic valid;
    logic first;
    logic shift;
    logic neg;
    logic mode;
    logic last;
    logic bipolar;
    logic [PixW-1:0] npix;
  } step_t;

  // step_q[0] goes with the operand registers, [1] with the counts, [2] with the sums.
  step_t step_d, step_q[3];
  logic en;

  logic drain_valid_q, drain_bipolar_q, drain_move, drain_end;
  logic [PixW-1:0] drain_npix_q, pix_q;
  logic [SliceW-1:0] slice_q;
  logic [31:0] res[Dm*Dn];
  logic [31:0] colsum[Dn];
  logic out_valid_q;

  assign step_d = '{
          valid: step_valid_i,
          first: step_first_i,
          shift: step_shift_i,
          neg: step_neg_i,
          mode: step_mode_i,
          last: step_last_i,
          bipolar: step_bipolar_i,
          npix: step_npix_i
      };

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      step_q[0] <= '0;
      step_q[1] <= '0;
      step_q[2] <= '0;
    end else if (en) begin
      step_q[0] <= step_d;
      step_q[1] <= step_q[0];
      step_q[2] <= step_q[1];
    end
  end

  // Operands and units.
  logic [K/2-1:0] wgt_low_q[Dm];
  logic [K/2-1:0] wgt_high_q[Dm];
  logic [K/2-1:0] col_low_q[Dn];
  logic [K/2-1:0] col_high_q[Dn];
  logic acc_valid;

  assign acc_valid = step_q[2].valid || step_q[2].shift || step_q[2].first;

  for (genvar m = 0; m < Dm; m++) begin : gen_wgt
    always_ff @(posedge clk_i) begin
      if (en && step_valid_i) begin
        wgt_low_q[m]  <= wgt_i[m*K+:K/2];
        wgt_high_q[m] <= wgt_i[m*K+K/2+:K/2];
      end
    end
  end

  for (genvar n = 0; n < Dn; n++) begin : gen_col
    always_ff @(posedge clk_i) begin
      if (en && step_valid_i) begin
        col_low_q[n]  <= col_i[n*K+:K/2];
        col_high_q[n] <= col_i[n*K+K/2+:K/2];
      end
    end

    for (genvar m = 0; m < Dm; m++) begin : gen_unit
      hb_unit #(
          .K(K),
          .PopcountStyle(PopcountStyle)
      ) u_unit (
          .clk_i,
          .en_i(en),
          .count_valid_i(step_q[0].valid),
          .wgt_low_i(wgt_low_q[m]),
          .wgt_high_i(wgt_high_q[m]),
          .col_low_i(col_low_q[n]),
          .col_high_i(col_high_q[n]),
          .sum_valid_i(step_q[1].valid),
          .sum_mode_i(step_q[1].mode),
          .acc_valid_i(acc_valid),
          .acc_first_i(step_q[2].first),
          .acc_shift_i(step_q[2].shift),
          .acc_neg_i(step_q[2].neg),
          .acc_last_i(step_q[2].last),
          .res_o(res[n*Dm+m])
      );
    end

    hb_unit #(
        .K(K),
        .PopcountStyle(PopcountStyle)
    ) u_colsum (
        .clk_i,
        .en_i(en),
        .count_valid_i(step_q[0].valid),
        .wgt_low_i('1),
        .wgt_high_i('1),
        .col_low_i(col_low_q[n]),
        .col_high_i(col_high_q[n]),
        .sum_valid_i(step_q[1].valid),
        .sum_mode_i(step_q[1].mode),
        .acc_valid_i(acc_valid),
        .acc_first_i(step_q[2].first),
        .acc_shift_i(step_q[2].shift),
        .acc_neg_i(1'b0),
        .acc_last_i(step_q[2].last),
        .res_o(colsum[n])
    );
  end

  // The drain: pix_q and slice_q name the beat that goes to the output register next.
  assign drain_move = drain_valid_q && (!out_valid_q || res_ready_i);
  assign drain_end = drain_move && slice_q == SliceW'(Slices - 1) && pix_q == drain_npix_q - 1'b1;
`ifdef HB_FAULT_ARRAY
  assign en = 1'b1;  // seeded fault: results overwrite the ones that still wait
`else
  assign en = !(step_q[2].last && drain_valid_q && !drain_end);
`endif
  assign en_o = en;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      drain_valid_q <= 1'b0;
      pix_q <= '0;
      slice_q <= '0;
    end else begin
      if (en && step_q[2].last) begin
        drain_valid_q <= 1'b1;
        drain_bipolar_q <= step_q[2].bipolar;
        drain_npix_q <= step_q[2].npix;
        pix_q <= '0;
        slice_q <= '0;
      end else if (drain_end) begin
        drain_valid_q <= 1'b0;
      end else if (drain_move) begin
        if (slice_q == SliceW'(Slices - 1)) begin
          slice_q <= '0;
          pix_q   <= pix_q + 1'b1;
        end else slice_q <= slice_q + 1'b1;
      end
    end
  end

  logic [IndexW-1:0] pix;
  logic [31:0] pix_sum;
  logic [31:0] beat_q[R];

  assign pix = pix_q[IndexW-1:0];
  assign pix_sum = drain_bipolar_q ? colsum[pix] : 32'd0;

  for (genvar r = 0; r < R; r++) begin : gen_lane
    logic [31:0] acc;
    assign acc = res[$clog2(Dm*Dn)'(int'(pix)*Dm+int'(slice_q)*R+r)];
    always_ff @(posedge clk_i) begin
      if (drain_move) beat_q[r] <= (drain_bipolar_q ? {acc[30:0], 1'b0} : acc) - pix_sum;
    end
    assign res_data_o[r*32+:32] = beat_q[r];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) out_valid_q <= 1'b0;
    else if (drain_move) out_valid_q <= 1'b1;
    else if (res_ready_i) out_valid_q <= 1'b0;
  end
  assign res_valid_o = out_valid_q;

endmodule
