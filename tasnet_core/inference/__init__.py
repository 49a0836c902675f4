"""Trained networks at work: recordings of any length, audio as it arrives, examples kept of a test.

`separate` reads and writes files in blocks, `overlap_add` joins what was separated in pieces,
`stream` keeps the state of a causal network. Never trains.
"""
