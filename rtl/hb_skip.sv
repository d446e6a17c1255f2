// Prefetcher of the residual: walks the order of the results ahead of REQUANT, fetches from the
// activation store the word that holds the Dm channels of each (group, pixel), and queues them as
// bytes. One fetch returns all planes of a word.
//
// Latency: 6 cycles from start_i to the first bytes where the store grants at once. Throughput: one
// pixel (Dm channels) a cycle. Overflow: none, a fetch is issued only while the queue has room.
module hb_skip
  import hb_pkg::*;
#(
    // Output channels of a group.
    parameter int Dm = 8,
    // Pixels of a tile.
    parameter int Dn = 4,
    // Lanes of a word, a multiple of Dm.
    parameter int W = 32,
    // Entries of the queue; 8 hides the latency.
    parameter int Depth = 8
) (
    input logic clk_i,
    input logic rst_ni,
    input logic start_i,
    // Stable from start_i until the last bytes are taken. The waiver: only the residual's fields
    // and the loop bounds are used.
    /* verilator lint_off UNUSEDSIGNAL */
    input requant_t cmd_i,
    /* verilator lint_on UNUSEDSIGNAL */
    // Words before row oy0, oy0*skip_row_words; lanes before the first pixel, ox0*out_c + out_c0.
    input logic [14:0] y_init_i,
    input logic [16:0] x_init_i,
    // Activation store.
    output logic rd_valid_o,
    output logic [15:0] rd_addr_o,
    input logic rd_ready_i,
    input logic rd_rsp_valid_i,
    input logic [8*W-1:0] rd_data_i,
    // Dm bytes per (group, pixel).
    output logic out_valid_o,
    output logic [Dm*8-1:0] out_data_o,
    input logic out_ready_i
);

  localparam int WordBits = $clog2(W);
  localparam int DmBits = $clog2(Dm);
  localparam int SelBits = (W > Dm) ? WordBits - DmBits : 1;
  localparam int CreditBits = $clog2(Depth + 1);

  logic walk_valid, step;
  logic [14:0] walk_y;
  logic [16:0] walk_x, lane;
  logic [15:0] chan;
  logic [CreditBits-1:0] credit_q;
  logic pop;

  /* verilator lint_off PINCONNECTEMPTY */  // one position a pixel: every slice is the last
  hb_walk #(
      .Dm(Dm),
      .Dn(Dn),
      .R (Dm)
  ) u_walk (
      .clk_i,
      .rst_ni,
      .start_i,
      .npix_i(cmd_i.npix),
      .n_groups_i(cmd_i.n_groups),
      .out_w_i(cmd_i.out_w),
      .ox0_i(cmd_i.ox0),
      .y_init_i,
      .y_step_i(cmd_i.skip_row_words[14:0]),
      .x_init_i,
      .x_first_i({1'b0, cmd_i.out_c0}),
      .x_step_i({1'b0, cmd_i.out_c}),
      .step_i(step),
      .valid_o(walk_valid),
      .y_o(walk_y),
      .x_o(walk_x),
      .chan_o(chan),
      .last_slice_o(),
      .last_o()
  );
  /* verilator lint_on PINCONNECTEMPTY */

  // Address stage.
  logic a_valid_q, grant;
  logic [14:0] a_row_q, a_word_q;
  logic [SelBits-1:0] a_sel_q, t1_sel_q, t2_sel_q;

  function automatic logic [SelBits-1:0] granule(input logic [WordBits-1:0] at);
    granule = (W > Dm) ? SelBits'(at >> DmBits) : '0;
  endfunction

  assign lane = walk_x + {1'b0, chan};
  assign grant = rd_valid_o && rd_ready_i;
`ifdef HB_FAULT_SKIP
  assign step = walk_valid && (!a_valid_q || rd_ready_i);  // seeded fault: no credit
`else
  assign step = walk_valid && credit_q != '0 && (!a_valid_q || rd_ready_i);
`endif
  assign pop = out_valid_o && out_ready_i;
  assign rd_valid_o = a_valid_q;
  assign rd_addr_o = {cmd_i.skip_base[15], cmd_i.skip_base[14:0] + a_row_q + a_word_q};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      a_valid_q <= 1'b0;
      credit_q <= CreditBits'(Depth);
    end else begin
      if (step) a_valid_q <= 1'b1;
      else if (rd_ready_i) a_valid_q <= 1'b0;
      credit_q <= credit_q + CreditBits'(pop) - CreditBits'(step);
    end
    if (step) begin
      a_row_q <= walk_y;
      a_word_q <= 15'(lane[16:WordBits]) * 15'(cmd_i.skip_bits);
      a_sel_q <= granule(lane[WordBits-1:0]);
    end
    if (grant) t1_sel_q <= a_sel_q;
    t2_sel_q <= t1_sel_q;
  end

  // Response, two cycles after the grant: the Dm lanes of the word as bytes.
  logic e_valid_q;
  logic [Dm*8-1:0] e_data_q;
  logic [7:0][W-1:0] planes;
  assign planes = rd_data_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) e_valid_q <= 1'b0;
    else e_valid_q <= rd_rsp_valid_i;
    for (int l = 0; l < Dm; l++) begin
      for (int p = 0; p < 8; p++) begin
        e_data_q[l*8+p] <= planes[p][int'(t2_sel_q)*Dm+l] && p < int'(cmd_i.skip_bits);
      end
    end
  end

  /* verilator lint_off PINCONNECTEMPTY */  // there is always room: credits
  hb_fifo #(
      .Width(Dm * 8),
      .Depth(Depth)
  ) u_fifo (
      .clk_i,
      .rst_ni,
      .in_valid_i(e_valid_q),
      .in_data_i(e_data_q),
      .in_ready_o(),
      .out_valid_o,
      .out_data_o,
      .out_ready_i
  );
  /* verilator lint_on PINCONNECTEMPTY */

endmodule
