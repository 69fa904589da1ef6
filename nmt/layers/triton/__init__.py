"""Triton kernels for CUDA: the recurrences in a quarter of the launches and none of the large temporaries.

`gate_kernels` and `attention_kernels` are what the GPU runs; `operators` makes of them operators that torch knows, so
that a trace counts them; `recurrence` and `decoder` are the GRU and the conditional GRU made of them, with backward
passes written by hand. Where Triton is missing, or the device is another one, `available` says so, and what stands
beside this folder computes.
"""
