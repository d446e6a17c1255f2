// Address side of GATHER: walks pixel, kernel row, segment and chunk (up to W lanes), and asks the
// activation store for each. For more than four planes every chunk takes two fetches (the chunk's
// word, then the next one). Chunks that lie outside the map, and second fetches that the chunk does
// not reach, pass as tokens without a fetch.
// Latency: a token reaches the request stage two cycles after it is generated. Throughput: one
// token a cycle while fetches are granted and tile buffers are free; no bubbles between pixels or
// tiles. Only the generator reads the command, so the next may start while tokens wait to be
// granted; three cycles without a token follow the last one of every instruction (the time to start
// the next one, kept also where its tokens have caught up), in which the data side writes what it
// still holds.
// Overflow: word addresses are taken modulo 2^15 within the half; only masked lanes can wrap.
module hb_gather_addr #(
    parameter int Dn = 4,  // pixels of a tile, 2..16
    parameter int W  = 32  // lanes of a word: 16, 32 or 64
) (
    input  logic               clk_i,
    input  logic               rst_ni,
    input  logic               start_i,          // begin; cmd_i holds still until idle_o
    output logic               idle_o,           // every token of the instruction is generated
    /* verilator lint_off UNUSEDSIGNAL */  // the fields of the other engines
    input  hb_pkg::conv_t      cmd_i,
    /* verilator lint_on UNUSEDSIGNAL */
    input  logic               rewind_i,         // with start_i: begin at buffer 0
    input  logic               tile_ok_i,        // a tile buffer is free
    output logic               tile_take_o,      // pulse: the first token of a tile is generated
    output logic               stall_in_o,
    output logic               stall_out_o,
    // activation store
    output logic               rd_valid_o,
    output logic [       15:0] rd_addr_o,
    input  logic               rd_ready_i,
    // tokens; tok_valid_o is the cycle of the grant (or of passing, without a fetch)
    output logic               tok_valid_o,
    output logic               tok_second_o,     // second fetch of a chunk
    output logic [$clog2(W)-1:0] tok_off_o,      // first lane of the chunk within its word
    output logic [  $clog2(W):0] tok_lo_o,       // lanes lo <= i < hi lie inside the map
    output logic [  $clog2(W):0] tok_hi_o,
    output logic [  $clog2(W):0] tok_len_o,      // lanes of the chunk, 1..W
    output logic               tok_pix_end_o,    // last chunk of the pixel
    output logic               tok_tile_end_o,   // ... of the tile
    output logic               tok_instr_end_o,  // last token of the instruction
    output logic [$clog2(Dn)-1:0] tok_col_o,     // the pixel's column
    output logic [        1:0] tok_buf_o         // the tile's buffer
);

  localparam int OffBits = $clog2(W);
  localparam int ColBits = $clog2(Dn);
  localparam int LaneBits = 23;  // signed lane numbers: 4095 * 65535 never occurs in a legal map
  localparam int RowBits = 18;  // signed input rows

  typedef logic signed [LaneBits-1:0] lane_t;
  typedef logic signed [RowBits-1:0] row_t;

  logic m_ready, a_ready;

  // ---- generator
  logic init_q, run_q, first_q, second_q;
  logic [1:0] buf_q;
  logic [19:0] pix_left_q;
  logic [ColBits-1:0] col_q;
  logic [11:0] ox_q;
  logic [7:0] ky_q, sx_q;
  logic [15:0] rem_q;
  lane_t pix_lane_q, seg_lane_q, lane_q;  // start of the pixel, of its segment, of the chunk
  row_t pix_row_q, row_q;  // input row of kernel row 0, of this kernel row

  logic two, gen_valid, step, chunk_end, seg_end, pix_end, tile_end, instr_end, wrap_x;
  logic chunk_last;  // last token of the chunk
  assign two       = cmd_i.ab > 4'd4;
  assign gen_valid = run_q && (!first_q || tile_ok_i);
  assign chunk_last = !two || second_q;
  assign step      = gen_valid && m_ready;
  assign chunk_end = rem_q <= 16'(W);
  assign seg_end   = chunk_end && sx_q == cmd_i.n_seg - 8'd1;
  assign pix_end   = seg_end && ky_q == cmd_i.kh - 8'd1;
  assign instr_end = pix_end && pix_left_q == 20'd1;
  assign tile_end  = instr_end || (pix_end && col_q == ColBits'(Dn - 1));
  assign wrap_x    = ox_q == cmd_i.out_w - 12'd1;

  assign tile_take_o = step && first_q;
  assign stall_out_o = run_q && first_q && !tile_ok_i;

  lane_t first_lane, next_pix_lane;
  row_t first_row, next_pix_row;
  lane_t first_x_q;  // lanes before output column ox0
  logic [15:0] first_y_q;  // rows before output row oy0
  assign first_lane    = first_x_q + lane_t'(cmd_i.x0);
  assign first_row     = row_t'({2'b00, first_y_q}) + row_t'(cmd_i.y0);
  assign next_pix_lane = wrap_x ? lane_t'(cmd_i.x0) : pix_lane_q + lane_t'({7'd0, cmd_i.step_x});
  assign next_pix_row  = wrap_x ? pix_row_q + row_t'({14'd0, cmd_i.stride_y}) : pix_row_q;

  always_ff @(posedge clk_i) begin
    first_x_q <= lane_t'({11'd0, cmd_i.ox0}) * lane_t'({7'd0, cmd_i.step_x});
    first_y_q <= cmd_i.oy0 * cmd_i.stride_y;
    if (init_q) begin
      pix_left_q <= cmd_i.npix;
      col_q      <= '0;
      ox_q       <= cmd_i.ox0;
      ky_q       <= '0;
      sx_q       <= '0;
      rem_q      <= cmd_i.seg_lanes;
      pix_lane_q <= first_lane;
      seg_lane_q <= first_lane;
      lane_q     <= first_lane;
      pix_row_q  <= first_row;
      row_q      <= first_row;
    end else if (step && chunk_last) begin
      rem_q  <= chunk_end ? cmd_i.seg_lanes : rem_q - 16'(W);
      lane_q <= lane_q + lane_t'(W);
      if (chunk_end) begin
        sx_q       <= seg_end ? '0 : sx_q + 8'd1;
        seg_lane_q <= seg_lane_q + lane_t'({7'd0, cmd_i.seg_step});
        lane_q     <= seg_lane_q + lane_t'({7'd0, cmd_i.seg_step});
      end
      if (seg_end) begin
        ky_q       <= pix_end ? '0 : ky_q + 8'd1;
        seg_lane_q <= pix_lane_q;
        lane_q     <= pix_lane_q;
        row_q      <= row_q + row_t'({14'd0, cmd_i.dil_y});
      end
      if (pix_end) begin
        pix_left_q <= pix_left_q - 20'd1;
        col_q      <= tile_end ? '0 : col_q + 1'b1;
        ox_q       <= wrap_x ? '0 : ox_q + 12'd1;
        pix_lane_q <= next_pix_lane;
        seg_lane_q <= next_pix_lane;
        lane_q     <= next_pix_lane;
        pix_row_q  <= next_pix_row;
        row_q      <= next_pix_row;
      end
    end
  end

  // start, the two products, then the first token
  logic start_q;
  assign idle_o = !(start_q || init_q || run_q);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      start_q  <= 1'b0;
      init_q   <= 1'b0;
      run_q    <= 1'b0;
      first_q  <= 1'b1;
      second_q <= 1'b0;
      buf_q    <= '0;
    end else begin
      start_q <= start_i;
      init_q  <= start_q;
      if (init_q) run_q <= 1'b1;
      if (rewind_i) buf_q <= '0;
      if (step) begin
        second_q <= two && !second_q;
        first_q  <= 1'b0;
        if (chunk_last) begin
          first_q <= tile_end;
          buf_q   <= buf_q + 2'(tile_end);
          if (instr_end) run_q <= 1'b0;
        end
      end
    end
  end

  // ---- products
  logic m_valid_q, m_second_q, m_row_ok_q, m_pix_end_q, m_tile_end_q, m_instr_end_q, m_half_q;
  logic [1:0] m_buf_q;
  lane_t m_lane_q, m_room_q;  // first lane; lanes from it to the end of the row
  logic [14:0] m_base_q, m_row_q, m_word_q;
  logic [OffBits:0] m_len_q;
  logic [ColBits-1:0] m_col_q;
  logic [14:0] word;  // word of the row, modulo 2^15
  assign word = 15'(lane_q >>> OffBits);
  assign m_ready = !m_valid_q || a_ready;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) m_valid_q <= 1'b0;
    else if (m_ready) m_valid_q <= gen_valid;
    if (m_ready) begin
      m_second_q    <= second_q;
      m_row_ok_q    <= row_q >= 0 && row_q < row_t'({6'd0, cmd_i.in_h});
      m_pix_end_q   <= pix_end;
      m_tile_end_q  <= tile_end;
      m_instr_end_q <= instr_end && chunk_last;
      m_buf_q       <= buf_q;
      m_lane_q      <= lane_q;
      m_room_q      <= lane_t'({7'd0, cmd_i.in_row_lanes}) - lane_q;
      m_half_q      <= cmd_i.in_base[15];
      m_base_q      <= cmd_i.in_base[14:0] + (second_q ? 15'(cmd_i.ab) : '0);
      m_row_q       <= row_q[14:0] * cmd_i.in_row_words[14:0];
      m_word_q      <= word * 15'(cmd_i.ab);
      m_len_q       <= chunk_end ? rem_q[OffBits:0] : (OffBits + 1)'(W);
      m_col_q       <= col_q;
    end
  end

  // ---- request: address and the lanes that lie inside the map
  logic a_valid_q, a_fetch_q, a_go;
  logic hold_q;  // the three cycles after an instruction
  logic [1:0] tail_q;
  logic in_map, reach;
  assign in_map  = m_row_ok_q && m_lane_q > -lane_t'(W) && m_room_q > 0;
  assign reach   = 8'(m_lane_q[OffBits-1:0]) + 8'(m_len_q) > 8'(W);
  assign a_ready = !a_valid_q || tok_valid_o;

  assign a_go        = a_valid_q && !hold_q;
  assign rd_valid_o  = a_go && a_fetch_q;
  assign tok_valid_o = a_go && (!a_fetch_q || rd_ready_i);
  assign stall_in_o  = rd_valid_o && !rd_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      a_valid_q <= 1'b0;
      hold_q    <= 1'b0;
      tail_q    <= '0;
    end else begin
      if (a_ready) a_valid_q <= m_valid_q;
      hold_q <= (tok_valid_o && tok_instr_end_o) || tail_q != '0;
      tail_q <= {tail_q[0], tok_valid_o && tok_instr_end_o};
    end
    if (a_ready) begin
      a_fetch_q       <= in_map && (!m_second_q || reach);
      rd_addr_o       <= {m_half_q, m_base_q + m_row_q + m_word_q};
      tok_second_o    <= m_second_q;
      tok_off_o       <= m_lane_q[OffBits-1:0];
      tok_lo_o        <= m_lane_q < 0 ? (OffBits + 1)'(-m_lane_q) : '0;
      tok_hi_o        <= !in_map ? '0 :
                         m_room_q > lane_t'(W) ? (OffBits + 1)'(W) : m_room_q[OffBits:0];
      tok_len_o       <= m_len_q;
      tok_pix_end_o   <= m_pix_end_q;
      tok_tile_end_o  <= m_tile_end_q;
      tok_instr_end_o <= m_instr_end_q;
      tok_col_o       <= m_col_q;
      tok_buf_o       <= m_buf_q;
    end
  end

endmodule
