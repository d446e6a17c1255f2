// AXI4 write master, 64 bits, one client.
// A request (byte address, a multiple of 8, and beats) is cut into INCR bursts of at most 16 beats
// that never cross 4 KiB; the client then delivers exactly that many beats.
// Latency: address out 2 cycles after the request, data one cycle after they were taken.
// Throughput: one beat a cycle with up to 8 bursts outstanding.
// done_o pulses when the last response of the request is in; only then the next one is taken.
// Overflow: data_ready_o is low while the bus has no room.
// flush_i: the request is forgotten, started bursts end with strobe 0; busy_o falls when done.
module hb_axi_wr (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        flush_i,
    output logic        busy_o,
    input  logic        req_valid_i,
    input  logic [39:0] req_addr_i,
    input  logic [23:0] req_beats_i,    // at least 1
    output logic        req_ready_o,
    input  logic        data_valid_i,
    input  logic [63:0] data_i,
    output logic        data_ready_o,
    output logic        done_o,
    output logic        error_o,        // sticky until flush_i: a response was not OKAY
    output logic [39:0] m_axi_awaddr,
    output logic [7:0]  m_axi_awlen,
    output logic        m_axi_awvalid,
    input  logic        m_axi_awready,
    output logic [63:0] m_axi_wdata,
    output logic [7:0]  m_axi_wstrb,
    output logic        m_axi_wlast,
    output logic        m_axi_wvalid,
    input  logic        m_axi_wready,
    input  logic [1:0]  m_axi_bresp,
    input  logic        m_axi_bvalid,
    output logic        m_axi_bready
);

  localparam int Outstanding = 8;

  logic active_q;  // a request is in hand
  logic [36:0] word_q;  // next address in 64-bit words
  logic [23:0] beats_q;  // beats not yet in a burst
  logic [3:0] open_q;  // bursts without response
  logic [3:0] sent_q;  // beats of the current burst already sent
  logic issue, room, burst_valid, take, last, response;
  logic [9:0] to_page;
  logic [4:0] length;
  logic [3:0] burst_len;  // beats - 1

  assign req_ready_o = !active_q && !flush_i;
  assign to_page = 10'd512 - {1'b0, word_q[8:0]};

  always_comb begin
    length = 5'd16;
    if (to_page < 10'd16) length = to_page[4:0];
    if (beats_q < {19'd0, length}) length = beats_q[4:0];
  end

  assign issue = active_q && beats_q != '0 && room && open_q != 4'(Outstanding) && !flush_i &&
                 (!m_axi_awvalid || m_axi_awready);

  hb_fifo #(
      .Width(4),
      .Depth(Outstanding)
  ) u_lengths (
      .clk_i,
      .rst_ni,
      .in_valid_i (issue),
      .in_data_i  (4'(length - 5'd1)),
      .in_ready_o (room),
      .out_valid_o(burst_valid),
      .out_data_o (burst_len),
      .out_ready_i(take && last)
  );

  assign data_ready_o = burst_valid && !flush_i && (!m_axi_wvalid || m_axi_wready);
  assign take = burst_valid && (flush_i || data_valid_i) && (!m_axi_wvalid || m_axi_wready);
  assign last = sent_q == burst_len;
  assign m_axi_bready = 1'b1;
  assign response = m_axi_bvalid;
  assign busy_o = active_q || burst_valid || m_axi_awvalid || m_axi_wvalid || open_q != '0;

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    if (m_axi_awready) m_axi_awvalid <= 1'b0;
    if (m_axi_wready) m_axi_wvalid <= 1'b0;
    if (issue) begin
      m_axi_awvalid <= 1'b1;
      m_axi_awaddr <= {word_q, 3'b000};
      m_axi_awlen <= {3'd0, length} - 8'd1;
      word_q <= word_q + {32'd0, length};
      beats_q <= beats_q - {19'd0, length};
    end
    if (take) begin
      m_axi_wvalid <= 1'b1;
      m_axi_wdata <= data_i;
      m_axi_wstrb <= flush_i ? 8'h00 : 8'hff;
`ifdef HB_FAULT_AXI_WR
      m_axi_wlast <= sent_q == 4'd15;  // seeded fault: short bursts do not end
`else
      m_axi_wlast <= last;
`endif
      sent_q <= last ? '0 : sent_q + 1'b1;
    end
    if (issue && !response) open_q <= open_q + 1'b1;
    if (response && !issue) open_q <= open_q - 1'b1;
    if (response && m_axi_bresp != 2'b00) error_o <= 1'b1;
    if (response && open_q == 4'd1 && beats_q == '0 && active_q) begin
      active_q <= 1'b0;
      done_o <= !flush_i;
    end
    if (req_valid_i && req_ready_o) begin
      active_q <= 1'b1;
      word_q <= req_addr_i[39:3];
      beats_q <= req_beats_i;
    end
    if (flush_i) begin
      active_q <= 1'b0;
      beats_q <= '0;
      error_o <= 1'b0;
    end
    if (!rst_ni) begin
      active_q <= 1'b0;
      open_q <= '0;
      sent_q <= '0;
      beats_q <= '0;
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
      error_o <= 1'b0;
    end
  end

  // Requests are 64-bit words; the low address bits carry nothing.
  logic unused;
  assign unused = &{1'b0, req_addr_i[2:0]};

endmodule
