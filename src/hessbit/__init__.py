"""hessbit: from a trained PyTorch network to a bit-exact low-bit FPGA accelerator."""

__version__ = "0.1.0"
