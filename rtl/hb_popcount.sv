// Number of ones in a word, combinational.
//
// Style 1 is a bit heap: column c has the bits of weight 2^c. The first stage takes full adders (3
// bits, so that an AND in front fits the same 6-input table), every later one 6:3 counters and full
// adders, until no column holds more than two bits; one adder ends it.
//
// Overflow: none, the count has room for Width.
module hb_popcount #(
    parameter int Width = 64,  // bits to count, at least 4
    parameter int Style = 0,  // 0: $countones, fast to simulate; 1: the bit heap, for synthesis
    parameter int CountW = $clog2(Width + 1)  // derived: bits of the count
) (
    input logic [Width-1:0] data_i,
    output logic [CountW-1:0] count_o
);

  localparam int Cols = CountW;
  localparam int HeightW = 16;
  typedef logic [Cols-1:0][HeightW-1:0] heights_t;

  // Counters of 6 (sixes) and of 3 bits (threes) for a column of height h, and bits left over.
  function automatic int sixes(input int h, input bit first);
    if (first) return 0;
    return h / 6 + (h % 6 >= 4 ? 1 : 0);
  endfunction
  function automatic int threes(input int h, input bit first);
    if (first) return h / 3;
    return h % 6 == 3 ? 1 : 0;
  endfunction
  function automatic int rest(input int h, input bit first);
    if (first) return h % 3;
    return h % 6 < 3 ? h % 6 : 0;
  endfunction

  // Heights after `stage` stages.
  function automatic heights_t heights(input int stage);
    heights_t now, then;
    now = '0;
    now[0] = HeightW'(Width);
    for (int s = 0; s < stage; s++) begin
      then = '0;
      for (int c = 0; c < Cols; c++) begin
        int h, s6, s3;
        h = int'(now[c]);
        s6 = sixes(h, s == 0);
        s3 = threes(h, s == 0);
        then[c] = then[c] + HeightW'(s6 + s3 + rest(h, s == 0));
        if (c + 1 < Cols) then[c+1] = then[c+1] + HeightW'(s6 + s3);
        if (c + 2 < Cols) then[c+2] = then[c+2] + HeightW'(s6);
      end
      now = then;
    end
    return now;
  endfunction
  function automatic int stages();
    heights_t h;
    bit done;
    for (int s = 1; s < 16; s++) begin
      h = heights(s);
      done = 1'b1;
      for (int c = 0; c < Cols; c++) if (h[c] > 2) done = 1'b0;
      if (done) return s;
    end
    return 16;
  endfunction

  if (Style == 0) begin : gen_behavioural
    // $countones(data_i), in the form that C++ compilers know as one instruction.
    logic [63:0] twos, fours, eights;
    assign twos = 64'(data_i) - ((64'(data_i) >> 1) & 64'h5555_5555_5555_5555);
    assign fours = (twos & 64'h3333_3333_3333_3333) + ((twos >> 2) & 64'h3333_3333_3333_3333);
    assign eights = (fours + (fours >> 4)) & 64'h0f0f_0f0f_0f0f_0f0f;
    assign count_o = CountW'((eights * 64'h0101_0101_0101_0101) >> 56);
  end else begin : gen_heap
    localparam int Stages = stages();
    for (genvar s = 0; s < Stages; s++) begin : gen_stage
      localparam heights_t Now = heights(s);
      localparam heights_t Next = heights(s + 1);
      logic [Cols-1:0][Width-1:0] in, out;
      if (s == 0) begin : gen_first
        always_comb begin
          in = '0;
          in[0] = data_i;
        end
      end else begin : gen_later
        assign in = gen_stage[s-1].out;
      end
      for (genvar c = 0; c < Cols; c++) begin : gen_col
        localparam int H = int'(Now[c]);
        localparam int N6 = sixes(H, s == 0);
        localparam int N3 = threes(H, s == 0);
        localparam int N1 = rest(H, s == 0);
        // In the next column: own sums, own rest, carries of column c-1, high carries of c-2.
        localparam int Before = c > 0 ? int'(Now[(c > 0 ? c - 1 : 0)]) : 0;
        localparam int CarryAt = N6 + N3 + N1;
        localparam int C6 = sixes(Before, s == 0);
        localparam int C3 = threes(Before, s == 0);
        localparam int Before2 = c > 1 ? int'(Now[(c > 1 ? c - 2 : 0)]) : 0;
        localparam int HighAt = CarryAt + C6 + C3;
        localparam int D6 = sixes(Before2, s == 0);

        for (genvar i = 0; i < N6; i++) begin : gen_six
          localparam int Bits = H - 6 * i < 6 ? H - 6 * i : 6;
          logic [2:0] n;
          always_comb begin
            n = '0;
            for (int b = 0; b < Bits; b++) n = n + 3'(in[c][6*i+b]);
          end
          assign out[c][i] = n[0];
        end
        for (genvar i = 0; i < N3; i++) begin : gen_three
          localparam int At = 6 * N6 + 3 * i;
          logic [1:0] n;
`ifdef HB_FAULT_POPCOUNT
          assign n = 2'(in[c][At]) + 2'(in[c][At+1]);  // seeded fault: every third bit is lost
`else
          assign n = 2'(in[c][At]) + 2'(in[c][At+1]) + 2'(in[c][At+2]);
`endif
          assign out[c][N6+i] = n[0];
        end
        for (genvar i = 0; i < N1; i++) begin : gen_rest
          assign out[c][N6+N3+i] = in[c][H-N1+i];
        end
        if (c > 0) begin : gen_carry
          for (genvar i = 0; i < C6; i++) begin : gen_six
            assign out[c][CarryAt+i] = gen_stage[s].gen_col[c-1].gen_six[i].n[1];
          end
          for (genvar i = 0; i < C3; i++) begin : gen_three
            assign out[c][CarryAt+C6+i] = gen_stage[s].gen_col[c-1].gen_three[i].n[1];
          end
        end
        if (c > 1) begin : gen_high
          for (genvar i = 0; i < D6; i++) begin : gen_six
            assign out[c][HighAt+i] = gen_stage[s].gen_col[c-2].gen_six[i].n[2];
          end
        end
        if (int'(Next[c]) < Width) begin : gen_zero
          assign out[c][Width-1:int'(Next[c])] = '0;
        end
      end
    end

    logic [Cols-1:0] row0, row1;
    always_comb begin
      for (int c = 0; c < Cols; c++) begin
        row0[c] = gen_stage[Stages-1].out[c][0];
        row1[c] = gen_stage[Stages-1].out[c][1];
      end
    end
    assign count_o = row0 + row1;
  end

endmodule
