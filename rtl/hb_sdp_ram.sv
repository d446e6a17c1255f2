// Simple dual port memory: one write port with lane enables, one registered read port (block RAM).
// Latency: rd_data_o holds the word one cycle after rd_en_i and keeps it until the next rd_en_i.
// A read in the cycle of a write to the same address returns the old word.
// Overflow: an address of Depth or more writes nothing and reads anything.
module hb_sdp_ram #(
    parameter int Width   = 64,  // bits of a word
    parameter int Granule = 16,  // bits that one write enable covers; divides Width
    parameter int Depth   = 512  // words
) (
    input  logic                       clk_i,
    input  logic [  Width/Granule-1:0] wr_en_i,
    input  logic [  $clog2(Depth)-1:0] wr_addr_i,
    input  logic [          Width-1:0] wr_data_i,
    input  logic                       rd_en_i,
    input  logic [  $clog2(Depth)-1:0] rd_addr_i,
    output logic [          Width-1:0] rd_data_o
);

  logic [Width-1:0] mem_q[Depth];

  always_ff @(posedge clk_i) begin
    for (int g = 0; g < Width / Granule; g++) begin
`ifdef HB_FAULT_SDP_RAM
      if (|wr_en_i)  // seeded fault: writes all lanes
        mem_q[wr_addr_i][g*Granule+:Granule] <= wr_data_i[g*Granule+:Granule];
`else
      if (wr_en_i[g]) mem_q[wr_addr_i][g*Granule+:Granule] <= wr_data_i[g*Granule+:Granule];
`endif
    end
    if (rd_en_i) rd_data_o <= mem_q[rd_addr_i];
  end

endmodule
