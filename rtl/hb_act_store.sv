// Activation store: two halves of eight banks; any eight consecutive words of a half in one read.
// Ports: four readers (0 skip, 1 store, 2 pool, 3 gather) and two writers (0 pack, 1 load). Each
// half serves one read and one write a cycle, the lowest requester first; the halves are independent.
// Latency: a read granted in cycle t (valid and ready high) answers in cycle t+2: rd_rsp_valid_o of
// that reader is high and rd_data_o holds word A+j at [j*W +: W]. Throughput: one read a cycle.
// A write accepted in cycle t is seen by reads granted in cycle t+1 or later.
// Overflow: addresses beyond the end of a half read anything; the compiler never writes there.
module hb_act_store #(
    parameter int W       = 32,   // lanes (bits) of a word
    parameter int Dm      = 8,    // lanes that one bit of a write mask covers; divides W
    parameter int ActRows = 1536  // words in each bank, 8..4096
) (
    input  logic                 clk_i,
    input  logic                 rst_ni,
    // readers
    input  logic [3:0]           rd_valid_i,
    input  logic [3:0][15:0]     rd_addr_i,
    output logic [3:0]           rd_ready_o,
    output logic [3:0]           rd_rsp_valid_o,
    output logic [3:0][8*W-1:0]  rd_data_o,
    // writers: wr_count_i words (1..8) from wr_addr_i on, all with the same lane mask
    input  logic [1:0]           wr_valid_i,
    input  logic [1:0][15:0]     wr_addr_i,
    input  logic [1:0][3:0]      wr_count_i,
    input  logic [1:0][W/Dm-1:0] wr_mask_i,
    input  logic [1:0][8*W-1:0]  wr_data_i,
    output logic [1:0]           wr_ready_o
);

  localparam int RowBits = $clog2(ActRows);

  logic [1:0][8*W-1:0] half_data;

  // ---- one half: arbiter, banks, rotation
  for (genvar h = 0; h < 2; h++) begin : gen_half
    logic [3:0] rd_want, rd_grant;
    logic [1:0] wr_want, wr_grant;
    logic [14:0] rd_addr, wr_addr;
    logic [3:0] wr_count;
    logic [W/Dm-1:0] wr_mask;
    logic [8*W-1:0] wr_data;
    logic [2:0] rd_rot_q;
    logic rd_any_q;
    logic [7:0][W-1:0] bank_data;

    always_comb begin
      for (int i = 0; i < 4; i++) rd_want[i] = rd_valid_i[i] && rd_addr_i[i][15] == 1'(h);
      for (int i = 0; i < 2; i++) wr_want[i] = wr_valid_i[i] && wr_addr_i[i][15] == 1'(h);
      rd_grant = rd_want & ~(rd_want - 4'd1);
      wr_grant = wr_want & ~(wr_want - 2'd1);
`ifdef HB_FAULT_ACT_STORE
      rd_grant = rd_want;
`endif
      rd_addr = '0;
      for (int i = 0; i < 4; i++) rd_addr |= rd_grant[i] ? rd_addr_i[i][14:0] : '0;
    end

    assign wr_addr  = wr_grant[0] ? wr_addr_i[0][14:0] : wr_addr_i[1][14:0];
    assign wr_count = wr_grant[0] ? wr_count_i[0] : wr_count_i[1];
    assign wr_mask  = wr_grant[0] ? wr_mask_i[0] : wr_mask_i[1];
    assign wr_data  = wr_grant[0] ? wr_data_i[0] : wr_data_i[1];

    for (genvar b = 0; b < 8; b++) begin : gen_bank
      // word of the access that lies in this bank
      logic [2:0] wr_word;
      logic [11:0] wr_row, rd_row;
      logic wr_hit;
      assign wr_word = 3'(b) - wr_addr[2:0];
      assign wr_hit  = |wr_grant && {1'b0, wr_word} < wr_count;
      assign wr_row  = wr_addr[14:3] + 12'({1'b0, wr_addr[2:0]} > 4'(b));
      assign rd_row  = rd_addr[14:3] + 12'({1'b0, rd_addr[2:0]} > 4'(b));
      hb_sdp_ram #(
          .Width  (W),
          .Granule(Dm),
          .Depth  (ActRows)
      ) u_ram (
          .clk_i,
          .wr_en_i  (wr_hit ? wr_mask : '0),
          .wr_addr_i(wr_row[RowBits-1:0]),
          .wr_data_i(wr_data[wr_word*W+:W]),
          .rd_en_i  (|rd_grant),
          .rd_addr_i(rd_row[RowBits-1:0]),
          .rd_data_o(bank_data[b])
      );
      // rows that the memory does not have
      if (RowBits < 12) begin : gen_spare
        logic unused_row;
        assign unused_row = ^{wr_row[11:RowBits], rd_row[11:RowBits]};
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) rd_any_q <= 1'b0;
      else rd_any_q <= |rd_grant;
      rd_rot_q <= rd_addr[2:0];
      if (rd_any_q) begin
        for (int j = 0; j < 8; j++) half_data[h][j*W+:W] <= bank_data[3'(j)+rd_rot_q];
      end
    end
  end

  assign rd_ready_o = gen_half[0].rd_grant | gen_half[1].rd_grant;
  assign wr_ready_o = gen_half[0].wr_grant | gen_half[1].wr_grant;

  // ---- who gets the answer
  logic [3:0] valid_q, half_q, half_qq;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q        <= '0;
      rd_rsp_valid_o <= '0;
    end else begin
      valid_q        <= rd_ready_o;
      rd_rsp_valid_o <= valid_q;
    end
    for (int i = 0; i < 4; i++) half_q[i] <= rd_addr_i[i][15];
    half_qq <= half_q;
  end

  always_comb begin
    for (int i = 0; i < 4; i++) rd_data_o[i] = half_data[half_qq[i]];
  end

endmodule
