// Command queue of one engine: each entry waits until every engine has completed enough.
// The head is offered while count_i[e] >= waits[e] for all six engines and hold_i is low.
// Latency: an entry is offered one cycle after its push. Throughput: one entry a cycle.
// Overflow: none, push_ready_o is low while full.
module hb_engine_queue
  import hb_pkg::*;
#(
    parameter int Width = 64,  // bits of a command
    parameter int Depth = 4    // entries
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic                       hold_i,        // offer nothing (the run has failed)
    input  logic                       push_valid_i,
    input  logic [Width-1:0]           push_data_i,
    input  logic [15:0]                push_layer_i,
    input  logic [N_ENGINES-1:0][15:0] push_waits_i,
    output logic                       push_ready_o,
    input  logic [N_ENGINES-1:0][15:0] count_i,       // instructions completed by each engine
    output logic                       cmd_valid_o,
    output logic [Width-1:0]           cmd_o,
    output logic [15:0]                cmd_layer_o,
    input  logic                       cmd_ready_i,
    output logic                       waiting_o,     // a head is there, its waits are not met
    output logic                       empty_o
);

  logic head_valid, met;
  logic [N_ENGINES-1:0][15:0] waits;

  hb_fifo #(
      .Width(Width + 16 + 16 * N_ENGINES),
      .Depth(Depth)
  ) u_fifo (
      .clk_i,
      .rst_ni,
      .in_valid_i (push_valid_i),
      .in_data_i  ({push_waits_i, push_layer_i, push_data_i}),
      .in_ready_o (push_ready_o),
      .out_valid_o(head_valid),
      .out_data_o ({waits, cmd_layer_o, cmd_o}),
      .out_ready_i(cmd_ready_i && met && !hold_i)
  );

  always_comb begin
    met = 1'b1;
    for (int e = 0; e < N_ENGINES; e++) begin
`ifdef HB_FAULT_ENGINE_QUEUE
      if (count_i[e] + 16'd1 < waits[e]) met = 1'b0;  // seeded fault: one completion too early
`else
      if (count_i[e] < waits[e]) met = 1'b0;
`endif
    end
  end

  assign cmd_valid_o = head_valid && met && !hold_i;
  assign waiting_o = head_valid && !met;
  assign empty_o = !head_valid;

endmodule
