"""Devices, compiled layers for a CPU, recorded steps for a GPU, and what fits in memory.

`fused.speed_up` lets a network compute by kernels.cpp, which `build` makes when it is first needed;
`devices` says what a word such as auto stands for. Knows the layers of the network, and never what
they are trained on.
"""
