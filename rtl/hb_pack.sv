// PACK: collects Dm/R slices of R bytes to Dm lanes and writes them, as planes, with one masked
// write to the activation store. Plane p of the values stands at the same lanes of word p:
//
//   wr_data_o  word 0: | any | plane 0 of Dm lanes | any |     wr_mask_o: one bit per Dm lanes
//              word 1: | any | plane 1 of Dm lanes | any |     (here granule 1)
//
// Masked lanes carry copies of the same bits. Latency: the write is offered the cycle after its
// last slice. Throughput: one slice a cycle. Overflow: none, in_ready_o is low while a write waits.
module hb_pack #(
    // Channels of a write.
    parameter int Dm = 8,
    // Lanes of a word, a multiple of Dm.
    parameter int W = 32,
    // Lanes of a slice, divides Dm.
    parameter int R = 4,
    localparam int SelBits = (W > Dm) ? $clog2(W / Dm) : 1
) (
    input logic clk_i,
    input logic rst_ni,
    // Slices in order; the address, the granule and the flags count with the last slice of a pixel.
    input logic in_valid_i,
    input logic [R*8-1:0] in_data_i,
    input logic in_last_slice_i,
    input logic in_last_i,
    input logic [15:0] in_addr_i,
    input logic [SelBits-1:0] in_sel_i,
    output logic in_ready_o,
    // Planes to write, 1..8; stable while the instruction runs.
    input logic [3:0] bits_i,
    // Activation store.
    output logic wr_valid_o,
    output logic [15:0] wr_addr_o,
    output logic [3:0] wr_count_o,
    output logic [W/Dm-1:0] wr_mask_o,
    output logic [8*W-1:0] wr_data_o,
    input logic wr_ready_i,
    // The write on offer is the last of the instruction.
    output logic wr_last_o
);

  logic valid_q, last_q;
  logic [15:0] addr_q;
  logic [SelBits-1:0] sel_q;
  logic [Dm*8-1:0] data_q, all;

  if (R == Dm) begin : gen_whole
    assign all = in_data_i;
  end else begin : gen_collect
    // Earlier slices shift down; the newest enters at the top.
    logic [(Dm-R)*8-1:0] held_q;
    assign all = {in_data_i, held_q};
    always_ff @(posedge clk_i) if (in_valid_i && in_ready_o) held_q <= all[Dm*8-1:R*8];
  end

  assign in_ready_o = !valid_q || wr_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else if (in_ready_o) begin
      valid_q <= in_valid_i && in_last_slice_i;
    end
    if (in_ready_o) begin
      last_q <= in_last_i;
      addr_q <= in_addr_i;
      sel_q <= in_sel_i;
      data_q <= all;
    end
  end

  assign wr_valid_o = valid_q;
  assign wr_last_o = last_q;
  assign wr_addr_o = addr_q;
  assign wr_count_o = bits_i;
`ifdef HB_FAULT_PACK
  assign wr_mask_o = '1;  // seeded fault: overwrites its neighbours
`else
  for (genvar g = 0; g < W / Dm; g++) begin : gen_mask
    assign wr_mask_o[g] = sel_q == SelBits'(g);
  end
`endif

  for (genvar p = 0; p < 8; p++) begin : gen_plane
    for (genvar l = 0; l < W; l++) begin : gen_lane
      assign wr_data_o[p*W+l] = data_q[(l%Dm)*8+p];
    end
  end

endmodule
