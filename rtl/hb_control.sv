// Sequencer and command queues: from the program in DDR to one typed command per engine.
// Latency: 19 cycles from the first word of an instruction to its offer. Throughput: see
// hb_sequencer. Overflow: none, the sequencer waits for room in the queues.
module hb_control
  import hb_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic                       start_i,
    input  logic [39:0]                prog_addr_i,
    input  logic [31:0]                prog_len_i,
    input  logic                       halt_i,          // the run has failed: offer nothing more
    // fetch client of hb_axi_rd
    output logic                       req_valid_o,
    output logic [39:0]                req_addr_o,
    output logic [23:0]                req_beats_o,
    input  logic                       req_ready_i,
    input  logic                       rsp_valid_i,
    input  logic [63:0]                rsp_data_i,
    output logic                       rsp_ready_o,
    // engines
    input  logic [N_ENGINES-1:0]       busy_i,
    input  logic [N_ENGINES-1:0]       done_i,
    input  logic [N_ENGINES-1:0][15:0] count_i,         // instructions completed
    output logic [N_ENGINES-1:0]       cmd_valid_o,
    input  logic [N_ENGINES-1:0]       cmd_ready_i,
    output load_t                      load_cmd_o,
    output conv_t                      gather_cmd_o,
    output conv_t                      array_cmd_o,
    output pool_t                      pool_cmd_o,
    output requant_t                   requant_cmd_o,
    output store_t                     store_cmd_o,
    output logic [N_ENGINES-1:0]       waiting_o,
    output logic [15:0]                requant_layer_o, // layer that REQUANT works on
    output logic [15:0]                store_layer_o,
    // the run
    output logic                       done_o,
    output logic                       error_o,
    output logic [7:0]                 error_code_o,
    output logic [31:0]                dispatched_o
);

  logic [N_ENGINES-1:0] push_valid, push_ready, empty;
  logic [N_ENGINES-1:0][15:0] push_waits, layer;
  logic [BODY_BITS-1:0] body;
  logic [15:0] push_layer;
  logic from_pool;

  hb_sequencer u_sequencer (
      .clk_i,
      .rst_ni,
      .start_i,
      .prog_addr_i,
      .prog_len_i,
      .halt_i,
      .req_valid_o,
      .req_addr_o,
      .req_beats_o,
      .req_ready_i,
      .rsp_valid_i,
      .rsp_data_i,
      .rsp_ready_o,
      .push_valid_o    (push_valid),
      .push_ready_i    (push_ready),
      .push_body_o     (body),
      .push_layer_o    (push_layer),
      .push_waits_o    (push_waits),
      .push_from_pool_o(from_pool),
      .all_idle_i      (&empty && busy_i == '0 && done_i == '0),
      .done_o,
      .error_o,
      .error_code_o,
      .dispatched_o
  );

  // Only the fields of an opcode are kept; `spare` above them is zero.
  logic [LOAD_BITS-1:0] load;
  logic [CONV_BITS-1:0] gather, array;
  logic [POOL_BITS-1:0] pool;
  logic [STORE_BITS-1:0] store;
  assign load_cmd_o = load_t'({{BODY_BITS - LOAD_BITS{1'b0}}, load});
  assign gather_cmd_o = conv_t'({{BODY_BITS - CONV_BITS{1'b0}}, gather});
  assign array_cmd_o = conv_t'({{BODY_BITS - CONV_BITS{1'b0}}, array});
  assign pool_cmd_o = pool_t'({{BODY_BITS - POOL_BITS{1'b0}}, pool});
  assign store_cmd_o = store_t'({{BODY_BITS - STORE_BITS{1'b0}}, store});

  hb_engine_queue #(
      .Width(LOAD_BITS)
  ) u_queue_load (
      .clk_i,
      .rst_ni,
      .hold_i      (halt_i),
      .push_valid_i(push_valid[ENG_LOAD]),
      .push_data_i (body[LOAD_BITS-1:0]),
      .push_layer_i(push_layer),
      .push_waits_i(push_waits),
      .push_ready_o(push_ready[ENG_LOAD]),
      .count_i,
      .cmd_valid_o (cmd_valid_o[ENG_LOAD]),
      .cmd_o       (load),
      .cmd_layer_o (layer[ENG_LOAD]),
      .cmd_ready_i (cmd_ready_i[ENG_LOAD]),
      .waiting_o   (waiting_o[ENG_LOAD]),
      .empty_o     (empty[ENG_LOAD])
  );

  hb_engine_queue #(
      .Width(CONV_BITS)
  ) u_queue_gather (
      .clk_i,
      .rst_ni,
      .hold_i      (halt_i),
      .push_valid_i(push_valid[ENG_GATHER]),
      .push_data_i (body[CONV_BITS-1:0]),
      .push_layer_i(push_layer),
      .push_waits_i(push_waits),
      .push_ready_o(push_ready[ENG_GATHER]),
      .count_i,
      .cmd_valid_o (cmd_valid_o[ENG_GATHER]),
      .cmd_o       (gather),
      .cmd_layer_o (layer[ENG_GATHER]),
      .cmd_ready_i (cmd_ready_i[ENG_GATHER]),
      .waiting_o   (waiting_o[ENG_GATHER]),
      .empty_o     (empty[ENG_GATHER])
  );

  hb_engine_queue #(
      .Width(CONV_BITS)
  ) u_queue_array (
      .clk_i,
      .rst_ni,
      .hold_i      (halt_i),
      .push_valid_i(push_valid[ENG_ARRAY]),
      .push_data_i (body[CONV_BITS-1:0]),
      .push_layer_i(push_layer),
      .push_waits_i(push_waits),
      .push_ready_o(push_ready[ENG_ARRAY]),
      .count_i,
      .cmd_valid_o (cmd_valid_o[ENG_ARRAY]),
      .cmd_o       (array),
      .cmd_layer_o (layer[ENG_ARRAY]),
      .cmd_ready_i (cmd_ready_i[ENG_ARRAY]),
      .waiting_o   (waiting_o[ENG_ARRAY]),
      .empty_o     (empty[ENG_ARRAY])
  );

  hb_engine_queue #(
      .Width(POOL_BITS)
  ) u_queue_pool (
      .clk_i,
      .rst_ni,
      .hold_i      (halt_i),
      .push_valid_i(push_valid[ENG_POOL]),
      .push_data_i (body[POOL_BITS-1:0]),
      .push_layer_i(push_layer),
      .push_waits_i(push_waits),
      .push_ready_o(push_ready[ENG_POOL]),
      .count_i,
      .cmd_valid_o (cmd_valid_o[ENG_POOL]),
      .cmd_o       (pool),
      .cmd_layer_o (layer[ENG_POOL]),
      .cmd_ready_i (cmd_ready_i[ENG_POOL]),
      .waiting_o   (waiting_o[ENG_POOL]),
      .empty_o     (empty[ENG_POOL])
  );

  hb_engine_queue #(
      .Width(OUTPUT_BITS + 1)
  ) u_queue_requant (
      .clk_i,
      .rst_ni,
      .hold_i      (halt_i),
      .push_valid_i(push_valid[ENG_REQUANT]),
      .push_data_i ({body[OUTPUT_BITS-1:0], from_pool}),
      .push_layer_i(push_layer),
      .push_waits_i(push_waits),
      .push_ready_o(push_ready[ENG_REQUANT]),
      .count_i,
      .cmd_valid_o (cmd_valid_o[ENG_REQUANT]),
      .cmd_o       (requant_cmd_o),
      .cmd_layer_o (layer[ENG_REQUANT]),
      .cmd_ready_i (cmd_ready_i[ENG_REQUANT]),
      .waiting_o   (waiting_o[ENG_REQUANT]),
      .empty_o     (empty[ENG_REQUANT])
  );

  hb_engine_queue #(
      .Width(STORE_BITS)
  ) u_queue_store (
      .clk_i,
      .rst_ni,
      .hold_i      (halt_i),
      .push_valid_i(push_valid[ENG_STORE]),
      .push_data_i (body[STORE_BITS-1:0]),
      .push_layer_i(push_layer),
      .push_waits_i(push_waits),
      .push_ready_o(push_ready[ENG_STORE]),
      .count_i,
      .cmd_valid_o (cmd_valid_o[ENG_STORE]),
      .cmd_o       (store),
      .cmd_layer_o (layer[ENG_STORE]),
      .cmd_ready_i (cmd_ready_i[ENG_STORE]),
      .waiting_o   (waiting_o[ENG_STORE]),
      .empty_o     (empty[ENG_STORE])
  );

  always_ff @(posedge clk_i) begin
    if (cmd_valid_o[ENG_REQUANT] && cmd_ready_i[ENG_REQUANT]) requant_layer_o <= layer[ENG_REQUANT];
    if (cmd_valid_o[ENG_STORE] && cmd_ready_i[ENG_STORE]) store_layer_o <= layer[ENG_STORE];
  end

  logic unused;  // the log names the layers of REQUANT and STORE alone
  assign unused = &{1'b0, layer[ENG_POOL:ENG_LOAD], body[BODY_BITS-1:CONV_BITS]};

endmodule
