// Counters of a run and the completion log, for hb_csr.
// Everything counts while run_i and is cleared by clear_i. The log takes one entry for each
// completion of REQUANT or STORE; two in one cycle are written one after the other.
// Latency: rd_data_o belongs to the address one cycle before. Throughput: one read a cycle.
// Overflow: counters wrap at 2^32, the log keeps its first LOG_ENTRIES entries.
module hb_stats
  import hb_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic                       clear_i,
    input  logic                       run_i,
    input  logic                       rd_beat_i,
    input  logic                       wr_beat_i,
    input  logic [N_ENGINES-1:0]       done_i,
    input  logic [N_ENGINES-1:0]       busy_i,
    input  logic [N_ENGINES-1:0]       waiting_i,
    input  logic [N_ENGINES-1:0]       stall_in_i,
    input  logic [N_ENGINES-1:0]       stall_out_i,
    input  logic [15:0]                requant_layer_i,  // layer that REQUANT works on
    input  logic [15:0]                store_layer_i,
    output logic [N_ENGINES-1:0][15:0] count_o,          // instructions completed
    input  logic [11:0]                rd_addr_i,        // byte offset of isa.md
    output logic [31:0]                rd_data_o
);

  localparam int LogBits = $clog2(LOG_ENTRIES);

  logic [31:0] cycles_q, rd_beats_q, wr_beats_q;
  logic [N_ENGINES-1:0][3:0][31:0] cycles_of_q;  // busy, waiting, stall in, stall out
  logic [50:0] log_mem[LOG_ENTRIES];  // engine (3), layer (16), cycle (32)
  logic [50:0] log_q, log_d, store_entry_q;
  logic [LogBits:0] log_count_q;
  logic store_pending_q, log_we, log_full, requant_done, store_done;
  logic [31:0] reg_q;
  logic [1:0] sel_q;  // 0 register, 2 log cycle, 3 log engine and layer

  assign log_full = log_count_q[LogBits];
  assign requant_done = run_i && done_i[ENG_REQUANT];
  assign store_done = run_i && done_i[ENG_STORE];
`ifdef HB_FAULT_STATS
  assign log_we = requant_done ^ store_done;  // seeded fault: two in one cycle are lost
  assign log_d = requant_done ? {3'(ENG_REQUANT), requant_layer_i, cycles_q}
                              : {3'(ENG_STORE), store_layer_i, cycles_q};
`else
  assign log_we = (requant_done || store_pending_q) && !log_full;
  assign log_d = requant_done ? {3'(ENG_REQUANT), requant_layer_i, cycles_q} : store_entry_q;
`endif

  always_ff @(posedge clk_i) begin
    if (log_we) log_mem[log_count_q[LogBits-1:0]] <= log_d;
    log_q <= log_mem[rd_addr_i[LogBits+2:3]];
  end

  always_ff @(posedge clk_i) begin
    if (store_done) begin
      store_entry_q <= {3'(ENG_STORE), store_layer_i, cycles_q};
      store_pending_q <= 1'b1;
    end else if (!requant_done) begin
      store_pending_q <= 1'b0;
    end
    if (log_we) log_count_q <= log_count_q + 1'b1;
    if (run_i) begin
      cycles_q <= cycles_q + 1'b1;
      if (rd_beat_i) rd_beats_q <= rd_beats_q + 1'b1;
      if (wr_beat_i) wr_beats_q <= wr_beats_q + 1'b1;
      for (int e = 0; e < N_ENGINES; e++) begin
        if (busy_i[e]) cycles_of_q[e][0] <= cycles_of_q[e][0] + 1'b1;
        if (waiting_i[e]) cycles_of_q[e][1] <= cycles_of_q[e][1] + 1'b1;
        if (stall_in_i[e]) cycles_of_q[e][2] <= cycles_of_q[e][2] + 1'b1;
        if (stall_out_i[e]) cycles_of_q[e][3] <= cycles_of_q[e][3] + 1'b1;
        if (done_i[e]) count_o[e] <= count_o[e] + 1'b1;
      end
    end
    if (clear_i || !rst_ni) begin
      cycles_q <= '0;
      rd_beats_q <= '0;
      wr_beats_q <= '0;
      cycles_of_q <= '0;
      count_o <= '0;
      log_count_q <= '0;
      store_pending_q <= 1'b0;
    end
  end

  // Registers of the block 0x080..0x0df are numbered engine (bits 6:4, from 0), counter (3:2).
  logic [2:0] block, done_at;
  assign block = rd_addr_i[6:4];
  assign done_at = {rd_addr_i[4], rd_addr_i[3:2]};

  always_ff @(posedge clk_i) begin
    sel_q <= {rd_addr_i[11], rd_addr_i[2]};
    unique case (rd_addr_i)
      REG_CYCLES: reg_q <= cycles_q;
      REG_READ_BEATS: reg_q <= rd_beats_q;
      REG_WRITE_BEATS: reg_q <= wr_beats_q;
      REG_LOG_COUNT: reg_q <= 32'(log_count_q);
      default: begin
        reg_q <= '0;
        if (rd_addr_i >= REG_LOAD_BUSY && rd_addr_i < REG_LOAD_DONE) begin
          reg_q <= cycles_of_q[block][rd_addr_i[3:2]];
        end else if (rd_addr_i >= REG_LOAD_DONE && rd_addr_i <= REG_STORE_DONE) begin
          reg_q <= 32'(count_o[done_at]);
        end
      end
    endcase
  end

  always_comb begin
    unique case (sel_q)
      2'd2: rd_data_o = log_q[31:0];
      2'd3: rd_data_o = {13'd0, log_q[50:32]};
      default: rd_data_o = reg_q;
    endcase
  end

endmodule
