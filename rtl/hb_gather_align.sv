// Data side of GATHER: shifts what the activation store returns so that a chunk starts at lane 0,
// puts the zero point in lanes outside the map, appends the chunk to the pixel's words at the next
// multiple of 16 lanes and writes every word when it is full, or at the end of the pixel. Where the
// last chunk fills a word and leaves a rest, the rest is kept and written in the next slot that
// writes nothing. There is one before the next rest comes: a pixel has at least as many chunks as
// words, so one that leaves a rest has a chunk that writes nothing before its last one. After the
// last token of an instruction come three cycles without one (hb_gather_addr): the second quad and
// both quads of a rest are written before the next instruction's first word, whatever its fields.
// Fields of two instructions are kept; tokens carry which one is theirs.
// Latency: first write 6 cycles after the token (7 for the second quad). Throughput: one token a
// cycle; never stalls. Overflow: a column of more than ColRows/2 rows runs into the other buffer;
// the compiler never makes one.
module hb_gather_align #(
    parameter int Dn      = 4,   // pixels of a tile, 2..16
    parameter int W       = 32,  // lanes of a word: 16, 32 or 64
    parameter int ColRows = 512  // rows of a column memory, all buffers together; 4 divides it
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    // of the next instruction, with start_i; never while two are under way
    input  logic                       start_i,
    input  logic [                3:0] ab_i,
    input  logic [                7:0] zp_i,
    input  logic [$clog2(ColRows)-1:0] kwords_i,
    input  logic                       short_i,         // four buffers, else two
    // tokens, see hb_gather_addr; the data comes two cycles later
    input  logic                       tok_valid_i,
    input  logic                       tok_second_i,
    input  logic [      $clog2(W)-1:0] tok_off_i,
    input  logic [        $clog2(W):0] tok_lo_i,
    input  logic [        $clog2(W):0] tok_hi_i,
    input  logic [        $clog2(W):0] tok_len_i,
    input  logic                       tok_pix_end_i,
    input  logic                       tok_tile_end_i,
    input  logic                       tok_instr_end_i,
    input  logic [     $clog2(Dn)-1:0] tok_col_i,
    input  logic [                1:0] tok_buf_i,
    input  logic [            8*W-1:0] rd_data_i,
    // column memory
    output logic                       we_o,
    output logic [     $clog2(Dn)-1:0] col_o,
    output logic [$clog2(ColRows)-1:0] row_o,
    output logic                       odd_o,
    output logic [            4*W-1:0] data_o,
    output logic                       tile_done_o,
    output logic                       done_o
);

  localparam int OffBits = $clog2(W);
  localparam int ColBits = $clog2(Dn);
  localparam int RowBits = $clog2(ColRows);
  localparam int Units = W / 16;  // 16-lane units of a word

  typedef logic [3:0][W-1:0] quad_t;  // four planes of a word
  typedef struct packed {
    logic [3:0]         ab;
    logic [7:0]         zp;
    logic [RowBits-1:0] kwords;
    logic               four;  // buffers, else two
  } fields_t;
  typedef struct packed {
    logic pix_end;
    logic tile_end;
    logic instr_end;
    logic [ColBits-1:0] col;
    logic [1:0] tile_buf;
    logic [2:0] units;
  } place_t;
  typedef struct packed {
    logic tag;  // which of the two instructions
    logic [OffBits-1:0] off;
    logic [OffBits:0] lo;
    logic [OffBits:0] hi;
    logic [OffBits:0] len;
    place_t place;
  } meta_t;

  // ---- fields of the two instructions; the tag changes with the last token of each
  fields_t fields_q[2];
  logic put_q, tag_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      put_q <= 1'b0;
      tag_q <= 1'b0;
    end else begin
      if (start_i) put_q <= !put_q;
      if (tok_valid_i && tok_instr_end_i) tag_q <= !tag_q;
    end
    if (start_i) fields_q[put_q] <= '{ab: ab_i, zp: zp_i, kwords: kwords_i, four: short_i};
  end

  // ---- wait for the data
  logic t1_valid_q, t2_valid_q, t1_second_q, t2_second_q;
  logic [3:0] t2_ab_q;
  meta_t t1_q, t2_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {t1_valid_q, t2_valid_q} <= '0;
    end else begin
      {t1_valid_q, t2_valid_q} <= {tok_valid_i, t1_valid_q};
    end
    t1_second_q <= tok_second_i;
    t1_q <= '{
        tag: tag_q, off: tok_off_i, lo: tok_lo_i, hi: tok_hi_i, len: tok_len_i,
        place: '{
            pix_end: tok_pix_end_i, tile_end: tok_tile_end_i, instr_end: tok_instr_end_i,
            col: tok_col_i, tile_buf: tok_buf_i, units: 3'((8'(tok_len_i) + 8'd15) >> 4)
        }
    };
    t2_second_q <= t1_second_q;
    t2_q <= t1_q;
    t2_ab_q <= fields_q[t1_q.tag].ab;
  end

  // ---- each plane of a quad: this word from the chunk's first lane up, below it the next word
  logic [7:0][W-1:0] words, first_q;
  logic two, emit, second_quad_q, f1_valid_q, f1_quad_q;
  logic [1:0] skip;  // ab - 1 for up to four planes
  logic [W-1:0] t2_from_q, f1_from_q;  // lanes of this word
  quad_t near_hi, f1_data_q, late_hi_q;
  meta_t f1_q;
  assign words = rd_data_i;
  assign two   = t2_ab_q > 4'd4;
  assign emit  = t2_valid_q && (!two || t2_second_q);
  assign skip  = t2_ab_q[1:0] - 2'd1;

  always_comb begin
    near_hi = '0;
    for (int p = 0; p < 4; p++) begin
      for (int x = 0; x < 4; x++) if (skip == 2'(x)) near_hi[p] = words[p+1+x];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      second_quad_q <= 1'b0;
      f1_valid_q    <= 1'b0;
    end else begin
      second_quad_q <= emit && two;
      f1_valid_q    <= emit || second_quad_q;
    end
    for (int i = 0; i < W; i++) t2_from_q[i] <= OffBits'(i) >= t1_q.off;
    f1_from_q <= t2_from_q;
    if (t2_valid_q && !t2_second_q) first_q <= words;
    if (emit) begin
      f1_q      <= t2_q;
      f1_quad_q <= 1'b0;
      late_hi_q <= words[7:4];
    end else begin
      f1_quad_q <= 1'b1;
    end
    for (int p = 0; p < 4; p++) begin
      if (!emit) f1_data_q[p] <= (first_q[p+4] & f1_from_q) | (late_hi_q[p] & ~f1_from_q);
      else if (two) f1_data_q[p] <= (first_q[p] & t2_from_q) | (words[p] & ~t2_from_q);
      else f1_data_q[p] <= (words[p] & t2_from_q) | (near_hi[p] & ~t2_from_q);
    end
  end

  // ---- turn the chunk to lane 0, and masks of lanes inside and outside the map
  logic f2_valid_q, f2_quad_q;
  place_t f2_q;
  fields_t f2_fields_q;
  quad_t f2_data_q;
  quad_t turned;
  logic [W-1:0] f2_in_q, f2_out_q;
  always_comb begin
    turned = f1_data_q;
    for (int s = 0; s < OffBits; s++) begin
      for (int p = 0; p < 4; p++) begin
        if (f1_q.off[s]) turned[p] = W'({turned[p], turned[p]} >> (1 << s));
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) f2_valid_q <= 1'b0;
    else f2_valid_q <= f1_valid_q;
    f2_quad_q   <= f1_quad_q;
    f2_q        <= f1_q.place;
    f2_fields_q <= fields_q[f1_q.tag];
    f2_data_q   <= turned;
    for (int i = 0; i < W; i++) begin
      automatic logic [OffBits:0] n = (OffBits + 1)'(i);
`ifdef HB_FAULT_GATHER
      automatic logic in_map = n >= f1_q.lo && n <= f1_q.hi;
`else
      automatic logic in_map = n >= f1_q.lo && n < f1_q.hi;
`endif
      f2_in_q[i]  <= n < f1_q.len && in_map;
      f2_out_q[i] <= n < f1_q.len && !in_map;
    end
  end

  // ---- zero points; planes that the map does not have are zero
  logic f3_valid_q, f3_quad_q;
  place_t f3_q;
  logic f3_two_q, f3_four_q;
  logic [RowBits-1:0] f3_kwords_q;
  quad_t f3_data_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) f3_valid_q <= 1'b0;
    else f3_valid_q <= f2_valid_q;
    f3_quad_q   <= f2_quad_q;
    f3_q        <= f2_q;
    f3_two_q    <= f2_fields_q.ab > 4'd4;
    f3_four_q   <= f2_fields_q.four;
    f3_kwords_q <= f2_fields_q.kwords;
    for (int p = 0; p < 4; p++) begin
      if ({1'b0, f2_quad_q, 2'(p)} < f2_fields_q.ab) begin
        f3_data_q[p] <= (f2_data_q[p] & f2_in_q)
                        | (f2_out_q & {W{f2_fields_q.zp[{f2_quad_q, 2'(p)}]}});
      end else f3_data_q[p] <= '0;
    end
  end

  // ---- append to the pixel's words
  logic [2:0] fill_q;  // 16-lane units of the unfinished word
  logic [RowBits-1:0] k_q, row;
  logic [3:0] total;
  logic full, flush, last_quad;
  logic [RowBits-1:0] tile_row;  // first row of the tile's buffer
  quad_t [1:0] rest_q;  // unfinished word of each quad; meaningless where fill_q is 0
  quad_t word, over;

  assign total     = 4'(fill_q) + 4'(f3_q.units);
  assign full      = total >= 4'(Units);
  assign flush     = f3_q.pix_end && total > 4'(Units);
  assign last_quad = !f3_two_q || f3_quad_q;
  assign tile_row = RowBits'(32'(f3_four_q ? f3_q.tile_buf : {1'b0, f3_q.tile_buf[0]})
                             * (f3_four_q ? ColRows / 4 : ColRows / 2));
  assign row = tile_row + k_q + (f3_quad_q ? f3_kwords_q : '0);

  always_comb begin
    for (int p = 0; p < 4; p++) begin
      {over[p], word[p]} = (2 * W)'(f3_data_q[p]) << {fill_q, 4'd0};
      if (fill_q != '0) word[p] |= rest_q[f3_quad_q][p];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fill_q <= '0;
      k_q    <= '0;
    end else if (f3_valid_q && last_quad) begin
      fill_q <= f3_q.pix_end ? '0 : 3'(full ? total - 4'(Units) : total);
      k_q    <= f3_q.pix_end ? '0 : k_q + RowBits'(full);
    end
    if (f3_valid_q) rest_q[f3_quad_q] <= full ? over : word;
  end

  // ---- the write: this word, else a kept rest (the row after its pixel's last full word)
  logic write, pick;
  logic [1:0] keep_valid_q;
  quad_t [1:0] keep_q;
  logic [1:0][RowBits-1:0] keep_row_q;
  logic [ColBits-1:0] keep_col_q;
  logic keep_odd_q;
  assign write = f3_valid_q && (full || f3_q.pix_end);
  assign pick  = !keep_valid_q[0];  // quad of the rest to write

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      we_o         <= 1'b0;
      keep_valid_q <= '0;
    end else begin
      we_o <= write || (|keep_valid_q);
      if (!write) keep_valid_q[pick] <= 1'b0;
      if (f3_valid_q && flush) keep_valid_q[f3_quad_q] <= 1'b1;
    end
    col_o  <= write ? f3_q.col : keep_col_q;
    row_o  <= write ? row : keep_row_q[pick];
    odd_o  <= write ? k_q[0] : keep_odd_q;
    data_o <= write ? word : keep_q[pick];
    if (f3_valid_q && flush) begin
      keep_q[f3_quad_q]     <= over;
      keep_row_q[f3_quad_q] <= row + 1'b1;
      keep_col_q            <= f3_q.col;
      keep_odd_q            <= !k_q[0];
    end
  end

  // ---- a tile is complete when its last word and its last rest are written
  logic tile_wait_q, instr_wait_q, complete;
  assign complete = tile_wait_q && keep_valid_q == '0;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      tile_wait_q  <= 1'b0;
      tile_done_o  <= 1'b0;
      done_o       <= 1'b0;
    end else begin
      if (f3_valid_q && last_quad && f3_q.tile_end) tile_wait_q <= 1'b1;
      else if (complete) tile_wait_q <= 1'b0;
      tile_done_o <= complete;
      done_o      <= complete && instr_wait_q;
    end
    if (f3_valid_q && last_quad && f3_q.tile_end) instr_wait_q <= f3_q.instr_end;
  end

endmodule
