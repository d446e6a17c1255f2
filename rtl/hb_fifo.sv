// First-word fall-through FIFO for ready/valid streams.
// Latency: a word is at the output one cycle after it entered. Throughput: one word a cycle.
// Overflow: none, in_ready_o is low while full.
module hb_fifo #(
    parameter int Width = 8,  // bits of a word
    parameter int Depth = 4   // words it holds, at least 1
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             in_valid_i,
    input  logic [Width-1:0] in_data_i,
    output logic             in_ready_o,
    output logic             out_valid_o,
    output logic [Width-1:0] out_data_o,
    input  logic             out_ready_i
);

  localparam int PtrBits = Depth > 1 ? $clog2(Depth) : 1;
  localparam int CountBits = $clog2(Depth + 1);

  logic [Width-1:0] mem[Depth];
  logic [PtrBits-1:0] head_q, tail_q;
  logic [CountBits-1:0] count_q;
  logic push, pop;

`ifdef HB_FAULT_FIFO
  assign in_ready_o = 1'b1;  // seeded fault: overruns when full
`else
  assign in_ready_o = count_q != CountBits'(Depth);
`endif
  assign out_valid_o = count_q != '0;
  assign out_data_o = mem[head_q];
  assign push = in_valid_i && in_ready_o;
  assign pop = out_valid_o && out_ready_i;

  function automatic logic [PtrBits-1:0] next(input logic [PtrBits-1:0] at);
    next = at == PtrBits'(Depth - 1) ? '0 : at + 1'b1;
  endfunction

  always_ff @(posedge clk_i) begin
    if (push) mem[tail_q] <= in_data_i;
    if (!rst_ni) begin
      head_q <= '0;
      tail_q <= '0;
      count_q <= '0;
    end else begin
      if (push) tail_q <= next(tail_q);
      if (pop) head_q <= next(head_q);
      if (push && !pop) count_q <= count_q + 1'b1;
      if (pop && !push) count_q <= count_q - 1'b1;
    end
  end

endmodule
