// The overlay: engines, memories and queues around them. See docs/microarchitecture.md.
//
//   AXI4-Lite -> CSR      SEQUENCER -> six queues -> LOAD GATHER ARRAY POOL REQUANT STORE
//
//   DDR -> LOAD -> weight memory -----------------> ARRAY ---+
//            |                                        ^      v
//            +---> activation store -> GATHER -> columns   REQUANT -> activation store
//                     |         \---> POOL ------------------^            |
//                     +-------------> STORE -> DDR  <---------------------+
//
// Latency and throughput are those of the engines. Overflow rules: those of the modules.
// The soft reset of the CSR resets engines and sequencer; the AXI masters drain meanwhile.
module hb_top
  import hb_pkg::*;
#(
    parameter int Dm = 4,  // output channels of a group: rows of the array, 4, 8 or 16
    parameter int Dn = 4,  // pixels of a tile: columns of the array, 2..16
    parameter int K = 32,  // lanes of a unit: 32, 64 or 128
    parameter int R = 2,  // requantiser lanes, a divisor of Dm
    parameter int ActRows = 512,  // words of each of the 2 x 8 banks of the activation store
    parameter int WeightRows = 1024,  // wide words of the weight memory
    parameter int ColRows = 256,  // rows of a column bank, both tile buffers together
    parameter int ParamChannels = 128,  // entries of the parameter memory
    parameter logic [31:0] CfgHashLo = 0,  // configuration hash, low word
    parameter logic [31:0] CfgHashHi = 0,  // configuration hash, high word
    parameter int PopcountStyle = 0  // see hb_popcount
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    output logic        irq_o,
    // AXI4-Lite slave
    input  logic [11:0] s_axi_awaddr,
    input  logic        s_axi_awvalid,
    output logic        s_axi_awready,
    input  logic [31:0] s_axi_wdata,
    input  logic [3:0]  s_axi_wstrb,
    input  logic        s_axi_wvalid,
    output logic        s_axi_wready,
    output logic [1:0]  s_axi_bresp,
    output logic        s_axi_bvalid,
    input  logic        s_axi_bready,
    input  logic [11:0] s_axi_araddr,
    input  logic        s_axi_arvalid,
    output logic        s_axi_arready,
    output logic [31:0] s_axi_rdata,
    output logic [1:0]  s_axi_rresp,
    output logic        s_axi_rvalid,
    input  logic        s_axi_rready,
    // AXI4 master
    output logic [0:0]  m_axi_awid,
    output logic [39:0] m_axi_awaddr,
    output logic [7:0]  m_axi_awlen,
    output logic [2:0]  m_axi_awsize,
    output logic [1:0]  m_axi_awburst,
    output logic        m_axi_awlock,
    output logic [3:0]  m_axi_awcache,
    output logic [2:0]  m_axi_awprot,
    output logic        m_axi_awvalid,
    input  logic        m_axi_awready,
    output logic [63:0] m_axi_wdata,
    output logic [7:0]  m_axi_wstrb,
    output logic        m_axi_wlast,
    output logic        m_axi_wvalid,
    input  logic        m_axi_wready,
    input  logic [0:0]  m_axi_bid,
    input  logic [1:0]  m_axi_bresp,
    input  logic        m_axi_bvalid,
    output logic        m_axi_bready,
    output logic [0:0]  m_axi_arid,
    output logic [39:0] m_axi_araddr,
    output logic [7:0]  m_axi_arlen,
    output logic [2:0]  m_axi_arsize,
    output logic [1:0]  m_axi_arburst,
    output logic        m_axi_arlock,
    output logic [3:0]  m_axi_arcache,
    output logic [2:0]  m_axi_arprot,
    output logic        m_axi_arvalid,
    input  logic        m_axi_arready,
    input  logic [0:0]  m_axi_rid,
    input  logic [63:0] m_axi_rdata,
    input  logic [1:0]  m_axi_rresp,
    input  logic        m_axi_rlast,
    input  logic        m_axi_rvalid,
    output logic        m_axi_rready
);

  // Requests are incrementing bursts of 8 bytes a beat, one ID, bufferable and modifiable.
  assign m_axi_awid = 1'b0;
  assign m_axi_awsize = 3'd3;
  assign m_axi_awburst = 2'b01;
  assign m_axi_awlock = 1'b0;
  assign m_axi_awcache = 4'b0011;
  assign m_axi_awprot = 3'b000;
  assign m_axi_arid = 1'b0;
  assign m_axi_arsize = 3'd3;
  assign m_axi_arburst = 2'b01;
  assign m_axi_arlock = 1'b0;
  assign m_axi_arcache = 4'b0011;
  assign m_axi_arprot = 3'b000;
  logic unused_ids;  // there is only one ID
  assign unused_ids = &{1'b0, m_axi_bid, m_axi_rid};

  // ---- registers
  logic run_n;  // reset of everything but the registers and the AXI masters
  logic start, soft_reset, halt, rd_busy, wr_busy, rd_error, wr_error, rd_beat, wr_beat;
  logic data_progress, seq_done, seq_error;
  logic [7:0] seq_error_code;
  logic [39:0] prog_addr;
  logic [31:0] prog_len, dispatched;
  logic [2:0][39:0] base;
  logic [N_ENGINES-1:0] done, busy, waiting, stall_in, stall_out, cmd_valid, cmd_ready;
  logic [N_ENGINES-1:0][15:0] count;
  logic [15:0] requant_layer, store_layer;

  always_ff @(posedge clk_i) run_n <= rst_ni && !soft_reset;
  assign rd_beat = m_axi_rvalid && m_axi_rready;
  assign wr_beat = m_axi_wvalid && m_axi_wready;

  hb_csr #(
      .CfgHashLo(CfgHashLo),
      .CfgHashHi(CfgHashHi)
  ) u_csr (
      .clk_i,
      .rst_ni,
      .s_axi_awaddr,
      .s_axi_awvalid,
      .s_axi_awready,
      .s_axi_wdata,
      .s_axi_wstrb,
      .s_axi_wvalid,
      .s_axi_wready,
      .s_axi_bresp,
      .s_axi_bvalid,
      .s_axi_bready,
      .s_axi_araddr,
      .s_axi_arvalid,
      .s_axi_arready,
      .s_axi_rdata,
      .s_axi_rresp,
      .s_axi_rvalid,
      .s_axi_rready,
      .irq_o,
      .start_o         (start),
      .soft_reset_o    (soft_reset),
      .halt_o          (halt),
      .axi_busy_i      (rd_busy || wr_busy),
      .prog_addr_o     (prog_addr),
      .prog_len_o      (prog_len),
      .base_o          (base),
      .seq_done_i      (seq_done),
      .seq_error_i     (seq_error),
      .seq_error_code_i(seq_error_code),
      .dispatched_i    (dispatched),
      .rd_error_i      (rd_error),
      .wr_error_i      (wr_error),
      .progress_i      (rd_beat || wr_beat || m_axi_bvalid || data_progress || done != '0),
      .rd_beat_i       (rd_beat),
      .wr_beat_i       (wr_beat),
      .done_i          (done),
      .busy_i          (busy),
      .waiting_i       (waiting),
      .stall_in_i      (stall_in),
      .stall_out_i     (stall_out),
      .requant_layer_i (requant_layer),
      .store_layer_i   (store_layer),
      .count_o         (count)
  );

  // ---- DDR
  logic [1:0] rd_req_valid, rd_req_ready, rd_rsp_valid, rd_rsp_ready;
  logic [1:0][39:0] rd_req_addr;
  logic [1:0][23:0] rd_req_beats;
  logic [63:0] rd_rsp_data;
  logic wr_req_valid, wr_req_ready, wr_data_valid, wr_data_ready, wr_done;
  logic [39:0] wr_req_addr;
  logic [23:0] wr_req_beats;
  logic [63:0] wr_data;

  hb_axi_rd u_axi_rd (
      .clk_i,
      .rst_ni,
      .flush_i    (soft_reset),
      .busy_o     (rd_busy),
      .req_valid_i(rd_req_valid),
      .req_addr_i (rd_req_addr),
      .req_beats_i(rd_req_beats),
      .req_ready_o(rd_req_ready),
      .rsp_valid_o(rd_rsp_valid),
      .rsp_data_o (rd_rsp_data),
      .rsp_ready_i(rd_rsp_ready),
      .error_o    (rd_error),
      .m_axi_araddr,
      .m_axi_arlen,
      .m_axi_arvalid,
      .m_axi_arready,
      .m_axi_rdata,
      .m_axi_rresp,
      .m_axi_rlast,
      .m_axi_rvalid,
      .m_axi_rready
  );

  hb_axi_wr u_axi_wr (
      .clk_i,
      .rst_ni,
      .flush_i     (soft_reset),
      .busy_o      (wr_busy),
      .req_valid_i (wr_req_valid),
      .req_addr_i  (wr_req_addr),
      .req_beats_i (wr_req_beats),
      .req_ready_o (wr_req_ready),
      .data_valid_i(wr_data_valid),
      .data_i      (wr_data),
      .data_ready_o(wr_data_ready),
      .done_o      (wr_done),
      .error_o     (wr_error),
      .m_axi_awaddr,
      .m_axi_awlen,
      .m_axi_awvalid,
      .m_axi_awready,
      .m_axi_wdata,
      .m_axi_wstrb,
      .m_axi_wlast,
      .m_axi_wvalid,
      .m_axi_wready,
      .m_axi_bresp,
      .m_axi_bvalid,
      .m_axi_bready
  );

  // ---- instructions and engines
  load_t load_cmd;
  conv_t gather_cmd, array_cmd;
  pool_t pool_cmd;
  requant_t requant_cmd;
  store_t store_cmd;

  hb_control u_control (
      .clk_i,
      .rst_ni         (run_n),
      .start_i        (start),
      .prog_addr_i    (prog_addr),
      .prog_len_i     (prog_len),
      .halt_i         (halt),
      .req_valid_o    (rd_req_valid[0]),
      .req_addr_o     (rd_req_addr[0]),
      .req_beats_o    (rd_req_beats[0]),
      .req_ready_i    (rd_req_ready[0]),
      .rsp_valid_i    (rd_rsp_valid[0]),
      .rsp_data_i     (rd_rsp_data),
      .rsp_ready_o    (rd_rsp_ready[0]),
      .busy_i         (busy),
      .done_i         (done),
      .count_i        (count),
      .cmd_valid_o    (cmd_valid),
      .cmd_ready_i    (cmd_ready),
      .load_cmd_o     (load_cmd),
      .gather_cmd_o   (gather_cmd),
      .array_cmd_o    (array_cmd),
      .pool_cmd_o     (pool_cmd),
      .requant_cmd_o  (requant_cmd),
      .store_cmd_o    (store_cmd),
      .waiting_o      (waiting),
      .requant_layer_o(requant_layer),
      .store_layer_o  (store_layer),
      .done_o         (seq_done),
      .error_o        (seq_error),
      .error_code_o   (seq_error_code),
      .dispatched_o   (dispatched)
  );

  hb_datapath #(
      .Dm           (Dm),
      .Dn           (Dn),
      .K            (K),
      .R            (R),
      .ActRows      (ActRows),
      .WeightRows   (WeightRows),
      .ColRows      (ColRows),
      .ParamChannels(ParamChannels),
      .PopcountStyle(PopcountStyle)
  ) u_datapath (
      .clk_i,
      .rst_ni         (run_n),
      .base_i         (base),
      .cmd_valid_i    (cmd_valid),
      .cmd_ready_o    (cmd_ready),
      .load_cmd_i     (load_cmd),
      .gather_cmd_i   (gather_cmd),
      .array_cmd_i    (array_cmd),
      .pool_cmd_i     (pool_cmd),
      .requant_cmd_i  (requant_cmd),
      .store_cmd_i    (store_cmd),
      .done_o         (done),
      .busy_o         (busy),
      .stall_in_o     (stall_in),
      .stall_out_o    (stall_out),
      .progress_o     (data_progress),
      .rd_req_valid_o (rd_req_valid[1]),
      .rd_req_addr_o  (rd_req_addr[1]),
      .rd_req_beats_o (rd_req_beats[1]),
      .rd_req_ready_i (rd_req_ready[1]),
      .rd_rsp_valid_i (rd_rsp_valid[1]),
      .rd_rsp_data_i  (rd_rsp_data),
      .rd_rsp_ready_o (rd_rsp_ready[1]),
      .wr_req_valid_o (wr_req_valid),
      .wr_req_addr_o  (wr_req_addr),
      .wr_req_beats_o (wr_req_beats),
      .wr_req_ready_i (wr_req_ready),
      .wr_data_valid_o(wr_data_valid),
      .wr_data_o      (wr_data),
      .wr_data_ready_i(wr_data_ready),
      .wr_done_i      (wr_done)
  );

endmodule
