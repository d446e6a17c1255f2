"""Bit-exact Python twins of the RTL modules."""
