// LOAD: a stream of 64-bit beats from DDR to the weight memory, the parameter memory, or (bytes to
// planes) the activation store.
//   WEIGHTS  beat n goes to chunk n % Chunks of wide word dst + n / Chunks
//   PARAMS   beats 2n (low) and 2n+1 make entry dst + n
//   ACTS     rows of row_bytes bytes without gaps; each row starts a new word; a word of W bytes
//            becomes `bits` planes at consecutive addresses, lanes beyond the row are zero
//
//   bytes   b0 b1 b2 ... bW-1     bit p of byte i  ->  bit i of plane p
//
// Latency: 3 cycles from the command to the read request, 1 from the last beat to its write.
// Throughput: one beat a cycle; ACTS with row_bytes % 8 != 0 one byte a cycle.
// Overflow: beats are taken only when their write has room; surplus bytes of the last beat and
// surplus beats are dropped. done_o comes with the last write, or with the last surplus beat.
module hb_load
  import hb_pkg::*;
#(
    parameter int Dm = 8,                          // output channels of a group
    parameter int K = 64,                          // lanes of the array
    parameter int W = K / 2,                       // derived: lanes of a word
    parameter int Chunks = Dm * K / 64,            // derived: beats of a wide word
    parameter int ChunkW = Chunks > 1 ? $clog2(Chunks) : 1  // derived: bits of a chunk number
) (
    input  logic              clk_i,
    input  logic              rst_ni,
    input  logic [2:0][39:0]  base_i,       // base addresses by number of Base
    // command
    input  logic              cmd_valid_i,
    input  load_t             cmd_i,
    output logic              cmd_ready_o,
    output logic              done_o,
    output logic              busy_o,
    output logic              stall_in_o,   // no beat from DDR
    output logic              stall_out_o,  // the activation store takes no write
    // client of hb_axi_rd
    output logic              req_valid_o,
    output logic [39:0]       req_addr_o,
    output logic [23:0]       req_beats_o,
    input  logic              req_ready_i,
    input  logic              rsp_valid_i,
    input  logic [63:0]       rsp_data_i,
    output logic              rsp_ready_o,
    // weight memory
    output logic              wgt_we_o,
    output logic [15:0]       wgt_addr_o,
    output logic [ChunkW-1:0] wgt_chunk_o,
    output logic [63:0]       wgt_data_o,
    // parameter memory
    output logic              par_we_o,
    output logic [15:0]       par_addr_o,
    output param_t            par_data_o,
    // activation store, write
    output logic              wr_valid_o,
    output logic [15:0]       wr_addr_o,
    output logic [3:0]        wr_count_o,
    output logic [W/Dm-1:0]   wr_mask_o,
    output logic [8*W-1:0]    wr_data_o,
    input  logic              wr_ready_i
);

  localparam int PosW = $clog2(W);

  typedef enum logic [2:0] {
    IDLE,
    ASK,
    WEIGHTS,
    PARAMS,
    ACTS,
    FINISH  // drop surplus beats, wait for the last write
  } state_e;

  state_e state_q;
  logic [1:0] kind_q;
  logic [15:0] row_bytes_q;
  logic [3:0] bits_q;
  logic [23:0] left_q;  // beats not yet taken
  logic [ChunkW-1:0] chunk_q;  // of the wide word
  logic half_q;  // PARAMS: the low half of the entry is there
  logic [15:0] dst_q;
  logic [63:0] low_q;
  logic take;

  // ---- ACTS
  logic [8*W-1:0] word_q, word_d;  // plane p at [p*W +: W]
  logic [PosW-1:0] pos_q;  // lane of the next byte
  logic [15:0] row_left_q, rows_left_q;  // bytes of this row, rows with this one
  logic [2:0] byte_q;  // next byte of the beat, narrow only
  logic wide, step, word_end, row_end, beat_end, room;
  logic [7:0] one_byte;

  assign wide = row_bytes_q[2:0] == '0;
  assign room = !wr_valid_o || wr_ready_i;
  assign row_end = wide ? row_left_q == 16'd8 : row_left_q == 16'd1;
  assign word_end = row_end || (wide ? pos_q == PosW'(W - 8) : pos_q == PosW'(W - 1));
  assign beat_end = wide || byte_q == 3'd7 || (row_end && rows_left_q == 16'd1);
  assign step = state_q == ACTS && rsp_valid_i && (room || !word_end);
  assign one_byte = rsp_data_i[8*byte_q+:8];

  // Every lane looks whether it is its turn: eight lanes at once (wide) or one.
  always_comb begin
    word_d = pos_q == '0 ? '0 : word_q;
    for (int l = 0; l < W; l++) begin
      if (pos_q[PosW-1:3] == (PosW - 3)'(l / 8) && (wide || pos_q[2:0] == 3'(l))) begin
        for (int p = 0; p < 8; p++) begin
          word_d[p*W+l] = wide ? rsp_data_i[8*(l%8)+p] : one_byte[p];
        end
      end
    end
  end

  // ---- beats
  always_comb begin
    unique case (state_q)
      WEIGHTS, PARAMS: rsp_ready_o = 1'b1;
      ACTS: rsp_ready_o = (room || !word_end) && beat_end;
      FINISH: rsp_ready_o = left_q != '0;
      default: rsp_ready_o = 1'b0;
    endcase
  end
  assign take = rsp_valid_i && rsp_ready_o;

  assign cmd_ready_o = state_q == IDLE;
  assign busy_o = state_q != IDLE;
  assign stall_in_o = (state_q == WEIGHTS || state_q == PARAMS || state_q == ACTS) && !rsp_valid_i;
  assign stall_out_o = wr_valid_o && !wr_ready_i;
  assign req_valid_o = state_q == ASK && left_q != '0;
  assign req_beats_o = left_q;
  assign wr_count_o = bits_q;
  assign wr_mask_o = '1;

  logic unused;  // beyond the fields of LOAD
  assign unused = &{1'b0, cmd_i.spare};

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    wgt_we_o <= 1'b0;
    par_we_o <= 1'b0;
    if (wr_ready_i) wr_valid_o <= 1'b0;
    if (take) left_q <= left_q - 1'b1;

    unique case (state_q)
      IDLE:
      if (cmd_valid_i) begin
        state_q <= ASK;
        kind_q <= cmd_i.kind;
        row_bytes_q <= cmd_i.row_bytes;
        bits_q <= cmd_i.bits;
        left_q <= cmd_i.beats;
        dst_q <= cmd_i.dst;
        row_left_q <= cmd_i.row_bytes;
        rows_left_q <= cmd_i.rows;
        req_addr_o <= base_i[cmd_i.base == 2'd3 ? BASE_OUTPUT : cmd_i.base] + {8'd0, cmd_i.ddr};
        chunk_q <= '0;
        half_q <= 1'b0;
        pos_q <= '0;
        byte_q <= '0;
      end
      ASK: begin
        if (left_q == '0) state_q <= FINISH;
        else if (req_ready_i) begin
          unique case (kind_q)
            LOAD_WEIGHTS: state_q <= WEIGHTS;
            LOAD_PARAMS: state_q <= PARAMS;
            default: state_q <= row_left_q == '0 || rows_left_q == '0 ? FINISH : ACTS;
          endcase
        end
      end
      WEIGHTS:
      if (take) begin
        wgt_we_o <= 1'b1;
        wgt_addr_o <= dst_q;
        wgt_chunk_o <= chunk_q;
        wgt_data_o <= rsp_data_i;
        chunk_q <= chunk_q == ChunkW'(Chunks - 1) ? '0 : chunk_q + 1'b1;
        if (chunk_q == ChunkW'(Chunks - 1)) dst_q <= dst_q + 1'b1;
        if (left_q == 24'd1) begin
          state_q <= IDLE;
          done_o <= 1'b1;
        end
      end
      PARAMS:
      if (take) begin
        low_q <= rsp_data_i;
        par_we_o <= half_q;
        par_addr_o <= dst_q;
        par_data_o <= {rsp_data_i[$bits(param_t)-65:0], low_q};
        half_q <= !half_q;
        if (half_q) dst_q <= dst_q + 1'b1;
        if (left_q == 24'd1) begin
          state_q <= IDLE;
          done_o <= 1'b1;
        end
      end
      ACTS:
      if (step) begin
        word_q <= word_d;
        byte_q <= beat_end ? '0 : byte_q + 1'b1;
        pos_q <= word_end ? '0 : pos_q + (wide ? PosW'(8) : PosW'(1));
        row_left_q <= row_end ? row_bytes_q : row_left_q - (wide ? 16'd8 : 16'd1);
        if (row_end) rows_left_q <= rows_left_q - 1'b1;
        if (word_end) begin
          wr_valid_o <= 1'b1;
          wr_addr_o <= dst_q;
`ifdef HB_FAULT_LOAD
          wr_data_o <= word_q;  // seeded fault: the last bytes of a word are missing
`else
          wr_data_o <= word_d;
`endif
          dst_q <= dst_q + 16'(bits_q);
        end
        if (row_end && rows_left_q == 16'd1) state_q <= FINISH;
      end
      FINISH:
      if (room && (left_q == '0 || (take && left_q == 24'd1))) begin
        state_q <= IDLE;
        done_o <= 1'b1;
      end
      default: ;
    endcase
    if (!rst_ni) begin
      state_q <= IDLE;
      wr_valid_o <= 1'b0;
      wgt_we_o <= 1'b0;
      par_we_o <= 1'b0;
      done_o <= 1'b0;
    end
  end

endmodule
