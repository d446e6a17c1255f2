// Control registers of docs/isa.md behind an AXI4-Lite slave, the state of the run, the watchdog.
// start is taken when no run is going on and no error is latched; soft reset always. During the
// soft reset soft_reset_o is high: engines are held in reset and the AXI masters drain; STATUS
// says busy until they have. The first error of a run is latched and halt_o stops the engines'
// supply until the soft reset.
// Latency: read data 3 cycles after the address, a write takes effect in the next cycle.
// Throughput: a read in 3 cycles, a write in 2. Unknown addresses read 0; every answer is OKAY.
// Overflow: not possible, one read and one write are in hand at most.
module hb_csr
  import hb_pkg::*;
#(
    parameter logic [31:0] CfgHashLo = 0,  // configuration hash, low word
    parameter logic [31:0] CfgHashHi = 0   // configuration hash, high word
) (
    input  logic                       clk_i,
    input  logic                       rst_ni,
    // AXI4-Lite
    input  logic [11:0]                s_axi_awaddr,
    input  logic                       s_axi_awvalid,
    output logic                       s_axi_awready,
    input  logic [31:0]                s_axi_wdata,
    input  logic [3:0]                 s_axi_wstrb,
    input  logic                       s_axi_wvalid,
    output logic                       s_axi_wready,
    output logic [1:0]                 s_axi_bresp,
    output logic                       s_axi_bvalid,
    input  logic                       s_axi_bready,
    input  logic [11:0]                s_axi_araddr,
    input  logic                       s_axi_arvalid,
    output logic                       s_axi_arready,
    output logic [31:0]                s_axi_rdata,
    output logic [1:0]                 s_axi_rresp,
    output logic                       s_axi_rvalid,
    input  logic                       s_axi_rready,
    output logic                       irq_o,
    // the run
    output logic                       start_o,          // pulse
    output logic                       soft_reset_o,
    output logic                       halt_o,
    input  logic                       axi_busy_i,       // a master has something outstanding
    output logic [39:0]                prog_addr_o,
    output logic [31:0]                prog_len_o,
    output logic [2:0][39:0]           base_o,           // by number of Base
    input  logic                       seq_done_i,
    input  logic                       seq_error_i,
    input  logic [7:0]                 seq_error_code_i,
    input  logic [31:0]                dispatched_i,
    input  logic                       rd_error_i,
    input  logic                       wr_error_i,
    input  logic                       progress_i,       // anything moved in this cycle
    // statistics
    input  logic                       rd_beat_i,
    input  logic                       wr_beat_i,
    input  logic [N_ENGINES-1:0]       done_i,
    input  logic [N_ENGINES-1:0]       busy_i,
    input  logic [N_ENGINES-1:0]       waiting_i,
    input  logic [N_ENGINES-1:0]       stall_in_i,
    input  logic [N_ENGINES-1:0]       stall_out_i,
    input  logic [15:0]                requant_layer_i,
    input  logic [15:0]                store_layer_i,
    output logic [N_ENGINES-1:0][15:0] count_o
);

  typedef enum logic [1:0] {
    IDLE,
    RUN,
    FAILED,
    RESET
  } state_e;

  state_e state_q;
  logic done_q;
  logic [7:0] error_code_q, error_code;
  logic [15:0] error_info_q;
  logic [1:0] irq_enable_q, irq_status_q;
  logic [31:0] watchdog_q, quiet_q;
  logic [1:0] reset_age_q;  // the reset lasts at least four cycles
  logic [4:0][31:0] lo_q;  // PROG, MODEL, INPUT, OUTPUT low words, PROG_LEN
  logic [3:0][7:0] hi_q;
  logic start, reset;

  // ---- write channel: address and data are taken together
  logic write;
  logic [11:0] waddr;
  logic [31:0] mask;
  assign write = s_axi_awvalid && s_axi_wvalid && (!s_axi_bvalid || s_axi_bready);
  assign s_axi_awready = write;
  assign s_axi_wready = write;
  assign s_axi_bresp = 2'b00;
  assign waddr = {s_axi_awaddr[11:2], 2'b00};
  assign mask = {
    {8{s_axi_wstrb[3]}}, {8{s_axi_wstrb[2]}}, {8{s_axi_wstrb[1]}}, {8{s_axi_wstrb[0]}}
  };

  function automatic logic [31:0] merge(input logic [31:0] old, input logic [31:0] data,
                                        input logic [31:0] bits);
    merge = (old & ~bits) | (data & bits);
  endfunction

  assign reset = write && waddr == REG_CTRL && mask[1] && s_axi_wdata[1];
  assign start = write && waddr == REG_CTRL && mask[0] && s_axi_wdata[0] && !reset &&
                 state_q == IDLE;

  always_ff @(posedge clk_i) begin
    if (s_axi_bready) s_axi_bvalid <= 1'b0;
    if (write) begin
      s_axi_bvalid <= 1'b1;
      unique case (waddr)
        REG_IRQ_ENABLE: if (mask[0]) irq_enable_q <= s_axi_wdata[1:0];
        REG_PROG_LO: lo_q[0] <= merge(lo_q[0], s_axi_wdata, mask);
        REG_MODEL_LO: lo_q[1] <= merge(lo_q[1], s_axi_wdata, mask);
        REG_INPUT_LO: lo_q[2] <= merge(lo_q[2], s_axi_wdata, mask);
        REG_OUTPUT_LO: lo_q[3] <= merge(lo_q[3], s_axi_wdata, mask);
        REG_PROG_LEN: lo_q[4] <= merge(lo_q[4], s_axi_wdata, mask);
        REG_PROG_HI: if (mask[0]) hi_q[0] <= s_axi_wdata[7:0];
        REG_MODEL_HI: if (mask[0]) hi_q[1] <= s_axi_wdata[7:0];
        REG_INPUT_HI: if (mask[0]) hi_q[2] <= s_axi_wdata[7:0];
        REG_OUTPUT_HI: if (mask[0]) hi_q[3] <= s_axi_wdata[7:0];
        REG_WATCHDOG: watchdog_q <= merge(watchdog_q, s_axi_wdata, mask);
        default: ;
      endcase
    end
    if (!rst_ni) begin
      s_axi_bvalid <= 1'b0;
      irq_enable_q <= '0;
      lo_q <= '0;
      hi_q <= '0;
      watchdog_q <= '0;
    end
  end

  assign prog_addr_o = {hi_q[0], lo_q[0]};
  assign prog_len_o = lo_q[4];
  assign base_o = {hi_q[3], lo_q[3], hi_q[2], lo_q[2], hi_q[1], lo_q[1]};

  // ---- the run
  always_comb begin
    error_code = ERR_NONE;
    if (seq_error_i) error_code = seq_error_code_i;
    else if (rd_error_i) error_code = ERR_AXI_READ;
    else if (wr_error_i) error_code = ERR_AXI_WRITE;
    else if (watchdog_q != '0 && quiet_q > watchdog_q) error_code = ERR_WATCHDOG;
  end

  assign soft_reset_o = state_q == RESET;
  assign halt_o = state_q == FAILED;

  always_ff @(posedge clk_i) begin
    start_o <= start;
    quiet_q <= (state_q != RUN || progress_i) ? '0 : quiet_q + 1'b1;
    reset_age_q <= state_q == RESET && reset_age_q != '1 ? reset_age_q + 1'b1 : reset_age_q;
    if (write && waddr == REG_IRQ_STATUS && mask[0]) begin
      irq_status_q <= irq_status_q & ~s_axi_wdata[1:0];
    end
    unique case (state_q)
      IDLE:
      if (start) begin
        state_q <= RUN;
        done_q <= 1'b0;
      end
      RUN:
      if (error_code != ERR_NONE) begin
        state_q <= FAILED;
        error_code_q <= error_code;
        error_info_q <= dispatched_i[15:0];
        irq_status_q[1] <= 1'b1;
      end else if (seq_done_i) begin
        state_q <= IDLE;
        done_q <= 1'b1;
        irq_status_q[0] <= 1'b1;
      end
      RESET: if (reset_age_q == '1 && !axi_busy_i) state_q <= IDLE;
      default: ;
    endcase
    if (reset) begin
      state_q <= RESET;
      reset_age_q <= '0;
      done_q <= 1'b0;
      error_code_q <= ERR_NONE;
      error_info_q <= '0;
    end
    if (!rst_ni) begin
      state_q <= IDLE;
      start_o <= 1'b0;
      done_q <= 1'b0;
      error_code_q <= ERR_NONE;
      error_info_q <= '0;
      irq_status_q <= '0;
    end
  end

`ifdef HB_FAULT_CSR
  assign irq_o = |irq_status_q;  // seeded fault: the enables do not count
`else
  assign irq_o = |(irq_status_q & irq_enable_q);
`endif

  // ---- read channel: address, look-up, answer
  logic [11:0] raddr_q;
  logic looking_q;
  logic [1:0] step_q;
  logic [31:0] stats_data, here, status;
  logic in_stats;
  assign s_axi_arready = !looking_q && !s_axi_rvalid;
  assign s_axi_rresp = 2'b00;
  assign status = {16'd0, error_code_q, 5'd0, state_q == FAILED, done_q,
                   state_q == RUN || state_q == RESET};

  always_comb begin
    in_stats = 1'b0;
    here = '0;
    unique case (raddr_q)
      REG_ID: here = ID_VALUE;
      REG_VERSION: here = ISA_VERSION;
      REG_CFG_HASH_LO: here = CfgHashLo;
      REG_CFG_HASH_HI: here = CfgHashHi;
      REG_STATUS: here = status;
      REG_ERROR_INFO: here = {16'd0, error_info_q};
      REG_IRQ_ENABLE: here = {30'd0, irq_enable_q};
      REG_IRQ_STATUS: here = {30'd0, irq_status_q};
      REG_PROG_LO: here = lo_q[0];
      REG_PROG_HI: here = {24'd0, hi_q[0]};
      REG_PROG_LEN: here = lo_q[4];
      REG_MODEL_LO: here = lo_q[1];
      REG_MODEL_HI: here = {24'd0, hi_q[1]};
      REG_INPUT_LO: here = lo_q[2];
      REG_INPUT_HI: here = {24'd0, hi_q[2]};
      REG_OUTPUT_LO: here = lo_q[3];
      REG_OUTPUT_HI: here = {24'd0, hi_q[3]};
      REG_WATCHDOG: here = watchdog_q;
      REG_DISPATCHED: here = dispatched_i;
      default: in_stats = 1'b1;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (s_axi_rready) s_axi_rvalid <= 1'b0;
    if (s_axi_arvalid && s_axi_arready) begin
      looking_q <= 1'b1;
      step_q <= '0;
      raddr_q <= {s_axi_araddr[11:2], 2'b00};
    end
    if (looking_q) begin
      step_q <= step_q + 1'b1;
      if (step_q == 2'd1) begin
        looking_q <= 1'b0;
        s_axi_rvalid <= 1'b1;
        s_axi_rdata <= in_stats ? stats_data : here;
      end
    end
    if (!rst_ni) begin
      looking_q <= 1'b0;
      s_axi_rvalid <= 1'b0;
    end
  end

  hb_stats u_stats (
      .clk_i,
      .rst_ni,
      .clear_i  (start || state_q == RESET),
      .run_i    (state_q == RUN),
      .rd_beat_i,
      .wr_beat_i,
      .done_i,
      .busy_i,
      .waiting_i,
      .stall_in_i,
      .stall_out_i,
      .requant_layer_i,
      .store_layer_i,
      .count_o,
      .rd_addr_i(raddr_q),
      .rd_data_o(stats_data)
  );

  // Registers are words; the low address bits carry nothing.
  logic unused;
  assign unused = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

endmodule
