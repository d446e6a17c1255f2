// STORE: a feature map from the activation store to DDR as bytes, row by row without gaps.
// A word of the map (`bits` planes in one fetch) becomes up to W bytes, a row row_lanes bytes
// (a multiple of 16, so the last word of a row may be used in part).
//
//   bit i of plane p  ->  bit p of byte i; bits beyond `bits` are zero
//
// Latency: 6 cycles from the command to the first beat. Throughput: one beat a cycle while reads
// are granted: up to four words are asked for ahead.
// Overflow: words are fetched only where the buffer has room. done_o comes after the last write
// response.
module hb_store
  import hb_pkg::*;
#(
    parameter int W = 32  // lanes of a word: 16, 32 or 64
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic [2:0][39:0] base_i,          // base addresses by number of Base
    // command
    input  logic             cmd_valid_i,
    input  store_t           cmd_i,
    output logic             cmd_ready_o,
    output logic             done_o,
    output logic             busy_o,
    output logic             stall_in_o,      // no word from the activation store
    output logic             stall_out_o,     // DDR takes no beat
    // activation store, read
    output logic             rd_valid_o,
    output logic [15:0]      rd_addr_o,
    input  logic             rd_ready_i,
    input  logic             rd_rsp_valid_i,
    input  logic [8*W-1:0]   rd_data_i,
    // client of hb_axi_wr
    output logic             req_valid_o,
    output logic [39:0]      req_addr_o,
    output logic [23:0]      req_beats_o,
    input  logic             req_ready_i,
    output logic             data_valid_o,
    output logic [63:0]      data_o,
    input  logic             data_ready_i,
    input  logic             wr_done_i
);

  localparam int Ahead = 4;  // words in the buffer or on their way
  localparam int Slots = W / 8;  // beats of a full word
  localparam int SlotW = $clog2(Slots);

  typedef enum logic [1:0] {
    IDLE,
    SIZE,  // multiply rows by row_lanes
    ASK,
    MOVE
  } state_e;

  state_e state_q;
  logic [15:0] rows_q, row_lanes_q;
  logic [3:0] bits_q;
  logic [23:0] beats_q;  // of the whole map
  // fetching
  logic [15:0] fetch_rows_q, fetch_lanes_q, addr_q;
  logic [2:0] credit_q;  // words asked for and not yet used up
  logic fetch, fetch_row_end;
  // sending
  logic [15:0] send_lanes_q;  // lanes of this row not yet sent
  logic [SlotW-1:0] slot_q;
  logic word_valid, word_room, word_end, row_end, send;
  logic [8*W-1:0] word;

  assign cmd_ready_o = state_q == IDLE;
  assign busy_o = state_q != IDLE;

  // ---- fetch: one word after the other, rows follow each other without gaps
  assign rd_valid_o = (state_q == ASK || state_q == MOVE) && fetch_rows_q != '0 &&
                      credit_q != 3'(Ahead);
  assign rd_addr_o = addr_q;
  assign fetch = rd_valid_o && rd_ready_i;
  assign fetch_row_end = fetch_lanes_q <= 16'(W);

  hb_fifo #(
      .Width(8 * W),
      .Depth(Ahead)
  ) u_words (
      .clk_i,
      .rst_ni,
      .in_valid_i (rd_rsp_valid_i),
      .in_data_i  (rd_data_i),
      .in_ready_o (word_room),
      .out_valid_o(word_valid),
      .out_data_o (word),
      .out_ready_i(send && word_end)
  );

  // ---- send: eight lanes a beat
  assign data_valid_o = state_q == MOVE && word_valid;
  assign send = data_valid_o && data_ready_i;
  assign row_end = send_lanes_q == 16'd8;
  assign word_end = row_end || slot_q == SlotW'(Slots - 1);
  assign stall_in_o = state_q == MOVE && !word_valid && send_lanes_q != '0;
  assign stall_out_o = data_valid_o && !data_ready_i;

  always_comb begin
    data_o = '0;
    for (int i = 0; i < 8; i++) begin
      for (int p = 0; p < 8; p++) begin
`ifdef HB_FAULT_STORE
        data_o[8*i+p] = word[p*W+8*{32'(slot_q)}+i];  // seeded fault: planes beyond `bits` too
`else
        data_o[8*i+p] = word[p*W+8*{32'(slot_q)}+i] && 4'(p) < bits_q;
`endif
      end
    end
  end

  assign req_valid_o = state_q == ASK && beats_q != '0;
  assign req_beats_o = beats_q;

  logic unused;  // beyond the fields of STORE; the credit keeps room in the buffer
  assign unused = &{1'b0, cmd_i.spare, word_room};

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    if (fetch) begin
      addr_q <= addr_q + 16'(bits_q);
      fetch_lanes_q <= fetch_row_end ? row_lanes_q : fetch_lanes_q - 16'(W);
      if (fetch_row_end) fetch_rows_q <= fetch_rows_q - 1'b1;
    end
    credit_q <= credit_q + {2'd0, fetch} - {2'd0, send && word_end};
    if (send) begin
      slot_q <= word_end ? '0 : slot_q + 1'b1;
      send_lanes_q <= row_end ? row_lanes_q : send_lanes_q - 16'd8;
    end

    unique case (state_q)
      IDLE:
      if (cmd_valid_i) begin
        state_q <= SIZE;
        rows_q <= cmd_i.rows;
        row_lanes_q <= cmd_i.row_lanes;
        bits_q <= cmd_i.bits;
        addr_q <= cmd_i.src;
        req_addr_o <= base_i[cmd_i.base == 2'd3 ? BASE_OUTPUT : cmd_i.base] + {8'd0, cmd_i.ddr};
        fetch_rows_q <= cmd_i.row_lanes == '0 ? '0 : cmd_i.rows;
        fetch_lanes_q <= cmd_i.row_lanes;
        send_lanes_q <= cmd_i.row_lanes;
        slot_q <= '0;
      end
      SIZE: begin
        beats_q <= 24'(rows_q) * 24'(row_lanes_q[15:3]);
        state_q <= ASK;
      end
      ASK:
      if (beats_q == '0) begin
        state_q <= IDLE;
        done_o <= 1'b1;
      end else if (req_ready_i) begin
        state_q <= MOVE;
      end
      MOVE:
      if (wr_done_i) begin
        state_q <= IDLE;
        done_o <= 1'b1;
      end
      default: ;
    endcase
    if (!rst_ni) begin
      state_q <= IDLE;
      credit_q <= '0;
      done_o <= 1'b0;
    end
  end

endmodule
