// GATHER: fills the column of every output pixel of a tile from the activation store, for any
// kernel, stride, padding and dilation. Keeps count of the tile buffers, four where a column fits a
// quarter of the rows and else two: a tile starts when one is neither filled nor being filled,
// tile_done_o hands one over (a read in the next cycle sees it), tile_free_i gives one back; the
// buffers take turns across instructions, and where their number changes the first tile waits until
// all are free and takes buffer 0.
// Throughput: a chunk of up to W lanes a cycle for up to four planes, every second cycle for more;
// no bubbles between chunks, pixels and tiles. Two instructions may be under way: the next command
// is taken once the last token of the one before is generated, and three issue slots stay empty
// between them. Latency: about 13 cycles from a command to the first write. Overflow: see
// the two parts.
module hb_gather #(
    parameter int Dn      = 4,   // pixels of a tile, 2..16
    parameter int W       = 32,  // lanes of a word: 16, 32 or 64
    parameter int ColRows = 512  // rows of a column memory, all buffers together; 4 divides it
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    // command
    input  logic                       cmd_valid_i,
    input  hb_pkg::conv_t              cmd_i,
    output logic                       cmd_ready_o,
    output logic                       done_o,
    output logic                       busy_o,
    output logic                       stall_in_o,      // a fetch is not granted
    output logic                       stall_out_o,     // no tile buffer is free
    // activation store
    output logic                       rd_valid_o,
    output logic [               15:0] rd_addr_o,
    input  logic                       rd_ready_i,
    input  logic                       rd_rsp_valid_i,
    input  logic [            8*W-1:0] rd_data_i,
    // column memory
    output logic                       col_we_o,
    output logic [     $clog2(Dn)-1:0] col_sel_o,
    output logic [$clog2(ColRows)-1:0] col_row_o,
    output logic                       col_odd_o,
    output logic [            4*W-1:0] col_data_o,
    // tile buffers: done hands one to ARRAY, free gives it back
    input  logic                       tile_free_i,
    output logic                       tile_done_o
);

  localparam int OffBits = $clog2(W);

  // ---- command: the address side reads one, the data side keeps what it needs of two
  hb_pkg::conv_t cmd_q;
  logic start, addr_idle;
  logic [1:0] flight_q;  // instructions taken and not done
  assign busy_o      = flight_q != 2'd0;
  assign cmd_ready_o = addr_idle && (!flight_q[1] || done_o);
  assign start       = cmd_valid_i && cmd_ready_o;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) flight_q <= '0;
    else flight_q <= flight_q + 2'(start) - 2'(done_o);
    if (start) cmd_q <= cmd_i;
  end

  // ---- tile buffers filled or being filled
  logic [2:0] used_q;
  logic take, short_new, short_q, resync_q, tile_ok;
  assign short_new = ({1'b0, cmd_i.kwords} << (cmd_i.ab > 4'd4)) <= 13'(ColRows / 4);
  assign tile_ok = resync_q ? used_q == 3'd0 : used_q < (short_q ? 3'd4 : 3'd2);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      used_q   <= '0;
      short_q  <= 1'b0;
      resync_q <= 1'b0;
    end else begin
      used_q   <= used_q + 3'(take) - 3'(tile_free_i);
      if (start) short_q <= short_new;
      resync_q <= (resync_q && !take) || (start && short_new != short_q);
    end
  end

  logic tok_valid, tok_second, tok_pix_end, tok_tile_end, tok_instr_end;
  logic [1:0] tok_buf;
  logic [OffBits-1:0] tok_off;
  logic [OffBits:0] tok_lo, tok_hi, tok_len;
  logic [$clog2(Dn)-1:0] tok_col;

  hb_gather_addr #(
      .Dn(Dn),
      .W (W)
  ) u_addr (
      .clk_i,
      .rst_ni,
      .start_i        (start),
      .idle_o         (addr_idle),
      .cmd_i          (cmd_q),
      .tile_ok_i      (tile_ok),
      .rewind_i       (start && short_new != short_q),
      .tile_take_o    (take),
      .stall_in_o,
      .stall_out_o,
      .rd_valid_o,
      .rd_addr_o,
      .rd_ready_i,
      .tok_valid_o    (tok_valid),
      .tok_second_o   (tok_second),
      .tok_off_o      (tok_off),
      .tok_lo_o       (tok_lo),
      .tok_hi_o       (tok_hi),
      .tok_len_o      (tok_len),
      .tok_pix_end_o  (tok_pix_end),
      .tok_tile_end_o (tok_tile_end),
      .tok_instr_end_o(tok_instr_end),
      .tok_col_o      (tok_col),
      .tok_buf_o      (tok_buf)
  );

  hb_gather_align #(
      .Dn     (Dn),
      .W      (W),
      .ColRows(ColRows)
  ) u_align (
      .clk_i,
      .rst_ni,
      .start_i        (start),
      .ab_i           (cmd_i.ab),
      .zp_i           (cmd_i.zp_in),
      .short_i        (short_new),
      .kwords_i       ($clog2(ColRows)'(cmd_i.kwords)),
      .tok_valid_i    (tok_valid),
      .tok_second_i   (tok_second),
      .tok_off_i      (tok_off),
      .tok_lo_i       (tok_lo),
      .tok_hi_i       (tok_hi),
      .tok_len_i      (tok_len),
      .tok_pix_end_i  (tok_pix_end),
      .tok_tile_end_i (tok_tile_end),
      .tok_instr_end_i(tok_instr_end),
      .tok_col_i      (tok_col),
      .tok_buf_i      (tok_buf),
      .rd_data_i,
      .we_o          (col_we_o),
      .col_o         (col_sel_o),
      .row_o         (col_row_o),
      .odd_o         (col_odd_o),
      .data_o        (col_data_o),
      .tile_done_o,
      .done_o
  );

  // the answer comes a fixed two cycles after the grant; the port has it like that of every reader
  logic unused_rsp;
  assign unused_rsp = rd_rsp_valid_i;

endmodule
