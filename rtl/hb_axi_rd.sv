// AXI4 read master, 64 bits, with two clients: 0 fetches instructions, 1 is LOAD.
// A request (byte address, a multiple of 8, and beats) is cut into INCR bursts of at most 16 beats
// that never cross 4 KiB. Clients take turns burst by burst; bursts return in order (one AXI ID).
// Latency: address out 2 cycles after the request; data pass in the cycle they arrive.
// Throughput: one beat a cycle with up to 8 bursts outstanding.
// Overflow: rready follows the ready of the client that the burst belongs to.
// flush_i: requests are forgotten, started bursts are drained and dropped; busy_o falls when done.
module hb_axi_rd (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             flush_i,
    output logic             busy_o,
    input  logic [1:0]       req_valid_i,
    input  logic [1:0][39:0] req_addr_i,
    input  logic [1:0][23:0] req_beats_i,    // at least 1
    output logic [1:0]       req_ready_o,
    output logic [1:0]       rsp_valid_o,
    output logic [63:0]      rsp_data_o,
    input  logic [1:0]       rsp_ready_i,
    output logic             error_o,        // sticky until flush_i: a response was not OKAY
    output logic [39:0]      m_axi_araddr,
    output logic [7:0]       m_axi_arlen,
    output logic             m_axi_arvalid,
    input  logic             m_axi_arready,
    input  logic [63:0]      m_axi_rdata,
    input  logic [1:0]       m_axi_rresp,
    input  logic             m_axi_rlast,
    input  logic             m_axi_rvalid,
    output logic             m_axi_rready
);

  localparam int Outstanding = 8;

  logic [1:0] pending_q;
  logic [1:0][36:0] word_q;  // address in 64-bit words
  logic [1:0][23:0] beats_q;
  logic last_client_q;  // who had the last burst
  logic client;  // whose burst is next
  logic issue, owner, owner_valid, room;
  logic [9:0] to_page;  // words up to the next 4 KiB, 1..512
  logic [4:0] length;

  assign req_ready_o = flush_i ? 2'b00 : ~pending_q;
  assign client = (pending_q == 2'b11) ? !last_client_q : pending_q[1];
  assign to_page = 10'd512 - {1'b0, word_q[client][8:0]};

  always_comb begin
    length = 5'd16;
`ifdef HB_FAULT_AXI_RD
    // seeded fault: pages are not looked at
`else
    if (to_page < 10'd16) length = to_page[4:0];
`endif
    if (beats_q[client] < {19'd0, length}) length = beats_q[client][4:0];
  end

  assign issue = |pending_q && room && !flush_i && (!m_axi_arvalid || m_axi_arready);

  hb_fifo #(
      .Width(1),
      .Depth(Outstanding)
  ) u_owners (
      .clk_i,
      .rst_ni,
      .in_valid_i (issue),
      .in_data_i  (client),
      .in_ready_o (room),
      .out_valid_o(owner_valid),
      .out_data_o (owner),
      .out_ready_i(m_axi_rvalid && m_axi_rready && m_axi_rlast)
  );

  assign m_axi_rready = owner_valid && (flush_i || rsp_ready_i[owner]);
  assign rsp_data_o = m_axi_rdata;
  always_comb begin
    rsp_valid_o = 2'b00;
    rsp_valid_o[owner] = m_axi_rvalid && owner_valid && !flush_i;
  end
  assign busy_o = owner_valid || m_axi_arvalid || |pending_q;

  always_ff @(posedge clk_i) begin
    if (m_axi_arready) m_axi_arvalid <= 1'b0;
    if (issue) begin
      m_axi_arvalid <= 1'b1;
      m_axi_araddr <= {word_q[client], 3'b000};
      m_axi_arlen <= {3'd0, length} - 8'd1;
      last_client_q <= client;
      word_q[client] <= word_q[client] + {32'd0, length};
      beats_q[client] <= beats_q[client] - {19'd0, length};
      if (beats_q[client] == {19'd0, length}) pending_q[client] <= 1'b0;
    end
    for (int c = 0; c < 2; c++) begin
      if (req_valid_i[c] && req_ready_o[c]) begin
        pending_q[c] <= 1'b1;
        word_q[c] <= req_addr_i[c][39:3];
        beats_q[c] <= req_beats_i[c];
      end
    end
    if (m_axi_rvalid && m_axi_rready && m_axi_rresp != 2'b00) error_o <= 1'b1;
    if (flush_i) begin
      pending_q <= 2'b00;
      error_o <= 1'b0;
    end
    if (!rst_ni) begin
      pending_q <= 2'b00;
      m_axi_arvalid <= 1'b0;
      last_client_q <= 1'b0;
      error_o <= 1'b0;
    end
  end

  // Requests are 64-bit words; the low address bits carry nothing.
  logic unused;
  assign unused = &{1'b0, req_addr_i[0][2:0], req_addr_i[1][2:0]};

endmodule
