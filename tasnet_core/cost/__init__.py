"""What a variant needs to run: parameters, MACs, receptive field, memory, real-time factor.

`formulas` is exact and needs no torch; `count` compares it with what others count; `measure`
measures in a process of its own. Trains nothing.
"""
