// Parameter memory: one entry (param_t) per output channel, written one entry at a time by LOAD,
// read R consecutive entries at a time by REQUANT. One array per requantiser lane, so each is a
// simple dual-port memory.
//
// Latency: read data 1 cycle after rd_en_i, held while rd_en_i is low. Throughput: one write and
// one read a cycle. A read of the row written in the same cycle returns the old entry. Addresses
// beyond ParamChannels wrap (the compiler never makes them).
module hb_param_mem
  import hb_pkg::*;
#(
    // Requantiser lanes: entries read at once (a power of two).
    parameter int R = 4,
    // Entries in all, a multiple of R.
    parameter int ParamChannels = 512
) (
    input logic clk_i,
    // The waiver: memory contents and its read register are never reset; the port is there because
    // every module has it.
    /* verilator lint_off UNUSEDSIGNAL */
    input logic rst_ni,
    // Write: entry number and entry. Upper address bits are unused below 65536 entries.
    input logic we_i,
    input logic [15:0] waddr_i,
    input param_t wdata_i,
    // Read: row number, entry / R.
    input logic rd_en_i,
    input logic [15:0] rd_addr_i,
    /* verilator lint_on UNUSEDSIGNAL */
    output param_t [R-1:0] rd_data_o
);

  localparam int Rows = ParamChannels / R;
  localparam int RowBits = (Rows > 1) ? $clog2(Rows) : 1;
  localparam int LaneBits = $clog2(R);

  logic [RowBits-1:0] wrow;
  assign wrow = RowBits'(waddr_i >> LaneBits);

  for (genvar r = 0; r < R; r++) begin : gen_lane
    param_t mem[Rows];
    param_t data_q;
    always_ff @(posedge clk_i) begin
      if (we_i && (int'(waddr_i) % R == r)) mem[wrow] <= wdata_i;
      if (rd_en_i) data_q <= mem[rd_addr_i[RowBits-1:0]];
    end
`ifdef HB_FAULT_PARAM_MEM
    assign rd_data_o[R-1-r] = data_q;
`else
    assign rd_data_o[r] = data_q;
`endif
  end

endmodule
