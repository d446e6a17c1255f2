// C++ harness of the Verilated overlay: clock and reset, AXI4-Lite accesses, AXI4 memory with a DDR model.
//
// Built as a shared library and driven through the C functions at the end (hessbit/sim/rtl.py).
// The memory answers reads in order, `latency` cycles after the address at the earliest, and moves at
// most bw_num/bw_den bytes a cycle, reads and writes together. Random stalls hold every channel back;
// a fault range answers SLVERR, addresses outside the memory DECERR, a dead bus never answers.
// Breaches of the AXI4 rules that the overlay promises to keep are counted and the first is described.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "Vhb_top.h"
#include "verilated.h"
#ifdef HB_TRACE
#include "verilated_fst_c.h"
#endif

namespace {

constexpr uint64_t kMaxBursts = 16;    // address queue of the memory, bursts
constexpr uint64_t kLiteLimit = 2000;  // cycles a register access may take
constexpr uint64_t kBeatBytes = 8;
constexpr int kOkay = 0, kSlvErr = 2, kDecErr = 3;

struct Burst {
  uint64_t addr;
  unsigned left;   // beats still to come
  uint64_t ready;  // first cycle in which data may move
  unsigned id;
  int resp = kOkay;
};

struct Sim {
  VerilatedContext context;
  std::unique_ptr<Vhb_top> top;
#ifdef HB_TRACE
  std::unique_ptr<VerilatedFstC> trace;
#endif
  std::vector<uint8_t> memory;
  uint64_t base, now = 0;
  // DDR model
  uint64_t latency = 40, bw_num = 32, bw_den = 3, tokens = 0, random = 1;
  unsigned stall_percent = 0;
  uint64_t fault_lo = 0, fault_hi = 0;
  bool dead = false;
  // state of the channels
  std::deque<Burst> reads, writes, answers;
  bool r_valid = false, b_valid = false;
  uint64_t r_data = 0;
  int r_resp = 0;
  bool r_last = false;
  // held-stable checks: what the master offered when it was not yet taken
  bool ar_held = false, aw_held = false, w_held = false;
  uint64_t ar_was = 0, aw_was = 0, w_was = 0;
  // AXI4-Lite as sampled before the rising edge
  bool lite_awready = false, lite_wready = false, lite_bvalid = false;
  bool lite_arready = false, lite_rvalid = false;
  uint32_t lite_rdata = 0;
  int lite_bresp = 0, lite_rresp = 0;
  // counters
  uint64_t read_beats = 0, write_beats = 0, violations = 0;
  std::string violation;

  Sim(uint64_t base_, uint64_t size, const char* path) : memory(size), base(base_) {
#ifdef HB_TRACE
    context.traceEverOn(true);
#endif
    top = std::make_unique<Vhb_top>(&context);
#ifdef HB_TRACE
    if (path && *path) {
      trace = std::make_unique<VerilatedFstC>();
      top->trace(trace.get(), 99);
      trace->open(path);
    }
#else
    (void)path;
#endif
  }
  ~Sim() {
#ifdef HB_TRACE
    if (trace) trace->close();
#endif
    top->final();
  }

  void breach(const char* what, uint64_t addr) {
    if (violations++ == 0) {
      char text[160];
      std::snprintf(text, sizeof text, "cycle %llu: %s (address 0x%llx)", (unsigned long long)now, what,
                    (unsigned long long)addr);
      violation = text;
    }
  }

  bool stall() {
    if (!stall_percent) return false;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random % 100 < stall_percent;
  }

  int response(uint64_t addr) const {
    if (addr < base || addr + kBeatBytes > base + memory.size()) return kDecErr;
    return addr < fault_hi && addr + kBeatBytes > fault_lo ? kSlvErr : kOkay;
  }

  void check_burst(const char* what, uint64_t addr, unsigned len, unsigned size, unsigned kind) {
    const uint64_t bytes = (len + 1) * kBeatBytes;
    if (len > 15) breach((std::string(what) + ": more than 16 beats").c_str(), addr);
    if (size != 3) breach((std::string(what) + ": beats are not 8 bytes").c_str(), addr);
    if (kind != 1) breach((std::string(what) + ": not an INCR burst").c_str(), addr);
    if (addr % kBeatBytes) breach((std::string(what) + ": unaligned address").c_str(), addr);
    if (addr / 4096 != (addr + bytes - 1) / 4096) breach((std::string(what) + ": crosses 4 KiB").c_str(), addr);
  }

  // One clock cycle: drive inputs, settle, sample handshakes, rising edge.
  void cycle() {
    Vhb_top& t = *top;
    tokens += bw_num;
    const uint64_t beat = kBeatBytes * bw_den, cap = 16 * beat;
    if (tokens > cap) tokens = cap;

    if (!r_valid && !dead && !reads.empty() && reads.front().ready <= now && tokens >= beat && !stall()) {
      Burst& b = reads.front();
      tokens -= beat;
      r_resp = response(b.addr);
      r_data = 0;
      if (r_resp != kDecErr) std::memcpy(&r_data, &memory[b.addr - base], kBeatBytes);
      r_last = b.left == 1;
      r_valid = true;
    }
    if (!b_valid && !dead && !answers.empty() && answers.front().ready <= now && !stall()) b_valid = true;
    const bool w_open = !dead && !writes.empty() && tokens >= beat && !stall();

    t.m_axi_arready = !dead && reads.size() < kMaxBursts && !stall();
    t.m_axi_rvalid = r_valid;
    t.m_axi_rdata = r_data;
    t.m_axi_rresp = r_resp;
    t.m_axi_rlast = r_valid && r_last;
    t.m_axi_awready = !dead && writes.size() < kMaxBursts && !stall();
    t.m_axi_wready = w_open;
    t.m_axi_bvalid = b_valid;
    t.m_axi_bresp = b_valid ? answers.front().resp : kOkay;
    t.clk_i = 0;
    t.eval();
    dump(2 * now);

    lite_awready = t.s_axi_awready;
    lite_wready = t.s_axi_wready;
    lite_bvalid = t.s_axi_bvalid;
    lite_bresp = t.s_axi_bresp;
    lite_arready = t.s_axi_arready;
    lite_rvalid = t.s_axi_rvalid;
    lite_rdata = t.s_axi_rdata;
    lite_rresp = t.s_axi_rresp;

    if (t.rst_ni) {
      const uint64_t ar = t.m_axi_araddr, aw = t.m_axi_awaddr;
      if (ar_held && (!t.m_axi_arvalid || ar != ar_was)) breach("AR changed before it was taken", ar);
      if (aw_held && (!t.m_axi_awvalid || aw != aw_was)) breach("AW changed before it was taken", aw);
      if (w_held && (!t.m_axi_wvalid || t.m_axi_wdata != w_was)) breach("W changed before it was taken", 0);
      ar_held = t.m_axi_arvalid && !t.m_axi_arready;
      aw_held = t.m_axi_awvalid && !t.m_axi_awready;
      w_held = t.m_axi_wvalid && !t.m_axi_wready;
      ar_was = ar, aw_was = aw, w_was = t.m_axi_wdata;

      if (t.m_axi_arvalid && t.m_axi_arready) {
        check_burst("AR", ar, t.m_axi_arlen, t.m_axi_arsize, t.m_axi_arburst);
        reads.push_back({ar, t.m_axi_arlen + 1u, now + latency, 0});
      }
      if (r_valid && t.m_axi_rready) {
        read_beats++;
        r_valid = false;
        Burst& b = reads.front();
        b.addr += kBeatBytes;
        if (--b.left == 0) reads.pop_front();
      }
      if (t.m_axi_wvalid && t.m_axi_wready) {
        Burst& b = writes.front();
        const int resp = response(b.addr);
        if (resp != kOkay) b.resp = resp;
        for (unsigned i = 0; resp == kOkay && i < kBeatBytes; i++)
          if (t.m_axi_wstrb >> i & 1) memory[b.addr - base + i] = uint8_t(t.m_axi_wdata >> (8 * i));
        if (bool(t.m_axi_wlast) != (b.left == 1)) breach("WLAST on the wrong beat", b.addr);
        tokens -= beat;
        write_beats++;
        b.addr += kBeatBytes;
        if (--b.left == 0) {
          b.ready = now + latency;
          answers.push_back(b);
          writes.pop_front();
        }
      }
      if (t.m_axi_awvalid && t.m_axi_awready) {
        check_burst("AW", aw, t.m_axi_awlen, t.m_axi_awsize, t.m_axi_awburst);
        writes.push_back({aw, t.m_axi_awlen + 1u, 0, 0});
      }
      if (b_valid && t.m_axi_bready) {
        b_valid = false;
        answers.pop_front();
      }
    } else {
      ar_held = aw_held = w_held = false;
    }
    t.clk_i = 1;
    t.eval();
    dump(2 * now + 1);
    now++;
  }

  void dump(uint64_t time) {
#ifdef HB_TRACE
    if (trace) trace->dump(time);
#else
    (void)time;
#endif
  }

  void reset() {
    Vhb_top& t = *top;
    reads.clear(), writes.clear(), answers.clear();
    r_valid = b_valid = false;
    t.s_axi_awvalid = t.s_axi_wvalid = t.s_axi_arvalid = 0;
    t.s_axi_bready = t.s_axi_rready = 1;
    t.s_axi_wstrb = 15;
    t.rst_ni = 0;
    for (int i = 0; i < 8; i++) cycle();
    t.rst_ni = 1;
    cycle();
  }

  int lite_write(uint32_t addr, uint32_t data) {
    Vhb_top& t = *top;
    bool aw = true, w = true;
    t.s_axi_awaddr = addr;
    t.s_axi_wdata = data;
    for (uint64_t i = 0; i < kLiteLimit; i++) {
      t.s_axi_awvalid = aw;
      t.s_axi_wvalid = w;
      cycle();
      if (aw && lite_awready) aw = false;
      if (w && lite_wready) w = false;
      t.s_axi_awvalid = aw;
      t.s_axi_wvalid = w;
      if (lite_bvalid) return lite_bresp;
    }
    t.s_axi_awvalid = t.s_axi_wvalid = 0;
    return -1;
  }

  int lite_read(uint32_t addr, uint32_t* data) {
    Vhb_top& t = *top;
    t.s_axi_araddr = addr;
    bool ar = true;
    for (uint64_t i = 0; i < kLiteLimit; i++) {
      t.s_axi_arvalid = ar;
      cycle();
      if (ar && lite_arready) ar = false;
      t.s_axi_arvalid = ar;
      if (lite_rvalid) {
        *data = lite_rdata;
        return lite_rresp;
      }
    }
    t.s_axi_arvalid = 0;
    return -1;
  }
};

}  // namespace

extern "C" {

void* hb_new(uint64_t base, uint64_t size, const char* trace_path) {
  return new Sim(base, size, trace_path);
}
void hb_free(void* p) { delete static_cast<Sim*>(p); }
uint8_t* hb_memory(void* p) { return static_cast<Sim*>(p)->memory.data(); }
void hb_configure(void* p, uint64_t latency, uint64_t bw_num, uint64_t bw_den, unsigned stall_percent,
                  uint64_t seed) {
  Sim& s = *static_cast<Sim*>(p);
  s.latency = latency, s.bw_num = bw_num, s.bw_den = bw_den, s.tokens = 0;
  s.stall_percent = stall_percent;
  s.random = seed * 0x9e3779b97f4a7c15u | 1u;
}
void hb_fault(void* p, uint64_t lo, uint64_t hi, int dead) {
  Sim& s = *static_cast<Sim*>(p);
  s.fault_lo = lo, s.fault_hi = hi, s.dead = dead != 0;
}
void hb_reset(void* p) { static_cast<Sim*>(p)->reset(); }
// Register accesses: the AXI response, or -1 when there is none.
int hb_write(void* p, uint32_t addr, uint32_t data) { return static_cast<Sim*>(p)->lite_write(addr, data); }
int hb_read(void* p, uint32_t addr, uint32_t* data) { return static_cast<Sim*>(p)->lite_read(addr, data); }
// Runs until the interrupt line is high, at most `cycles`; returns the cycles run.
uint64_t hb_run(void* p, uint64_t cycles) {
  Sim& s = *static_cast<Sim*>(p);
  uint64_t n = 0;
  while (n < cycles && !s.top->irq_o) s.cycle(), n++;
  return n;
}
int hb_irq(void* p) { return static_cast<Sim*>(p)->top->irq_o; }
uint64_t hb_cycles(void* p) { return static_cast<Sim*>(p)->now; }
uint64_t hb_read_beats(void* p) { return static_cast<Sim*>(p)->read_beats; }
uint64_t hb_write_beats(void* p) { return static_cast<Sim*>(p)->write_beats; }
uint64_t hb_violations(void* p) { return static_cast<Sim*>(p)->violations; }
const char* hb_violation(void* p) { return static_cast<Sim*>(p)->violation.c_str(); }

}  // extern "C"
