// Fetches the program and hands every instruction to the queues of the engines it names.
// Instructions are read ahead by credit into a buffer of two, and dispatched when all their
// queues have room, in the same cycle. END waits until every engine is idle, then done_o pulses.
// Latency: 18 cycles from the first word to the dispatch. Throughput: 1 instruction in 17 cycles.
// Overflow: words are asked for only where the buffer has room. After error_o (one pulse with its
// code) nothing is dispatched until the next reset.
module hb_sequencer
  import hb_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic                       start_i,
    input  logic [39:0]                prog_addr_i,
    input  logic [31:0]                prog_len_i,       // instructions
    input  logic                       halt_i,           // the run has failed: dispatch nothing
    // client of hb_axi_rd
    output logic                       req_valid_o,
    output logic [39:0]                req_addr_o,
    output logic [23:0]                req_beats_o,
    input  logic                       req_ready_i,
    input  logic                       rsp_valid_i,
    input  logic [63:0]                rsp_data_i,
    output logic                       rsp_ready_o,
    // the engines' queues
    output logic [N_ENGINES-1:0]       push_valid_o,
    input  logic [N_ENGINES-1:0]       push_ready_i,
    output logic [BODY_BITS-1:0]       push_body_o,
    output logic [15:0]                push_layer_o,
    output logic [N_ENGINES-1:0][15:0] push_waits_o,
    output logic                       push_from_pool_o, // for REQUANT: results come from POOL
    input  logic                       all_idle_i,       // all queues empty, all engines idle
    output logic                       done_o,
    output logic                       error_o,
    output logic [7:0]                 error_code_o,
    output logic [31:0]                dispatched_o      // instructions, END included
);

  localparam int Beats = INSTR_BITS / 64;
  localparam int Buffer = 2 * Beats;

  typedef enum logic [1:0] {
    IDLE,
    RUN,
    END_WAIT,  // END is reached
    FAILED
  } state_e;

  state_e state_q;
  logic [39:0] addr_q;  // next instruction to ask for
  logic [31:0] to_ask_q;
  logic [5:0] credit_q;  // words asked for and not yet taken from the buffer
  logic [4:0] filled_q;  // words of the instruction in hand
  logic [INSTR_BITS-1:0] instr_q;
  logic asked, buf_valid, buf_ready, taken, complete;
  logic [63:0] buf_data;
  header_t head;
  logic [N_ENGINES-1:0] targets;
  logic bad_isa, bad_opcode, room, dispatch, at_end, ran_out;

  assign req_valid_o = state_q == RUN && to_ask_q != '0 && credit_q <= 6'(Buffer - Beats);
  assign req_addr_o = addr_q;
  assign req_beats_o = 24'(Beats);
  assign asked = req_valid_o && req_ready_i;

  hb_fifo #(
      .Width(64),
      .Depth(Buffer)
  ) u_buffer (
      .clk_i,
      .rst_ni,
      .in_valid_i (rsp_valid_i),
      .in_data_i  (rsp_data_i),
      .in_ready_o (rsp_ready_o),
      .out_valid_o(buf_valid),
      .out_data_o (buf_data),
      .out_ready_i(buf_ready)
  );

  // What was read beyond END is dropped before done_o.
  assign complete = filled_q == 5'(Beats);
  assign buf_ready = (state_q == RUN && !complete) || state_q == END_WAIT;
  assign taken = buf_valid && buf_ready;

  assign head = instr_q[HEADER_BITS-1:0];
  assign push_body_o = instr_q[INSTR_BITS-1:HEADER_BITS];
  assign push_layer_o = head.layer;
  assign push_waits_o = {
    head.wait_store, head.wait_requant, head.wait_pool, head.wait_array, head.wait_gather,
    head.wait_load
  };
  assign push_from_pool_o = head.opcode == OP_POOL;

  always_comb begin
    targets = '0;
    bad_opcode = 1'b0;
    unique case (head.opcode)
      OP_LOAD: targets[ENG_LOAD] = 1'b1;
      OP_CONV: begin
        targets[ENG_GATHER] = 1'b1;
        targets[ENG_ARRAY] = 1'b1;
        targets[ENG_REQUANT] = 1'b1;
      end
      OP_POOL: begin
        targets[ENG_POOL] = 1'b1;
        targets[ENG_REQUANT] = 1'b1;
      end
      OP_STORE: targets[ENG_STORE] = 1'b1;
      OP_END: targets = '0;
      default: bad_opcode = 1'b1;
    endcase
  end

  assign bad_isa = head.isa != 8'(ISA_VERSION);
`ifdef HB_FAULT_SEQUENCER
  assign room = |(targets & push_ready_i) || targets == '0;  // seeded fault: one queue is enough
`else
  assign room = (targets & ~push_ready_i) == '0;
`endif
  assign dispatch = state_q == RUN && complete && !bad_isa && !bad_opcode && room && !halt_i;
  assign at_end = dispatch && head.opcode == OP_END;
  assign push_valid_o = dispatch ? targets : '0;
  assign ran_out = to_ask_q == '0 && credit_q == '0 && filled_q == '0;

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    error_o <= 1'b0;
    if (asked) begin
      addr_q <= addr_q + 40'(INSTR_BITS / 8);
      to_ask_q <= to_ask_q - 1'b1;
    end
    credit_q <= credit_q + (asked ? 6'(Beats) : 6'd0) - {5'd0, taken};
    if (taken && state_q == RUN) begin
      instr_q <= {buf_data, instr_q[INSTR_BITS-1:64]};
      filled_q <= filled_q + 1'b1;
    end
    if (dispatch) begin
      filled_q <= '0;
      dispatched_o <= dispatched_o + 1'b1;
    end
    unique case (state_q)
      IDLE:
      if (start_i) begin
        state_q <= RUN;
        addr_q <= prog_addr_i;
        to_ask_q <= prog_len_i;
        dispatched_o <= '0;
      end
      RUN:
      if (at_end) begin
        state_q <= END_WAIT;
      end else if ((complete && (bad_isa || bad_opcode)) || ran_out) begin
        state_q <= FAILED;
        error_o <= 1'b1;
        if (ran_out) error_code_o <= ERR_NO_END;
        else error_code_o <= bad_isa ? ERR_ISA_VERSION : ERR_ILLEGAL_OPCODE;
      end
      END_WAIT:
      if (all_idle_i && credit_q == '0) begin
        state_q <= IDLE;
        done_o <= 1'b1;
      end
      default: ;
    endcase
    if (!rst_ni) begin
      state_q <= IDLE;
      to_ask_q <= '0;
      credit_q <= '0;
      filled_q <= '0;
      dispatched_o <= '0;
      done_o <= 1'b0;
      error_o <= 1'b0;
    end
  end

endmodule
